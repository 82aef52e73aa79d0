#!/usr/bin/env python3
"""Holds what we write against programs that others wrote: python-tuf, ONNX Runtime, the ONNX checker.

usage: check_all.py TARGET_DIR        (TARGET_DIR/pinnace, TARGET_DIR/examples/{tuf_repo,train_csv})

One line per check; exits 1 when one of them fails.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tuf.ngclient import Updater

from tuf_accepts import target_paths

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WEATHER = ROOT / "cli" / "data" / "weather_bellevue.csv"
START_LIMIT_S = 120
TRAIN_ROWS = "0..3000"


def run(*words: object) -> str:
    """Runs a command to its end and returns what it said; raises with all of that when it fails."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{words[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def last_line(text: str) -> str:
    return text.splitlines()[-1] if text else ""


def example_repository(target: Path, work: Path) -> str:
    """python-tuf accepts the repository of the example: rotation, delegation, two signers."""
    run(target / "examples" / "tuf_repo", work / "repo")
    return last_line(run(sys.executable, HERE / "tuf_accepts.py", work / "repo"))


def onnx_of(learner: str, label: str, extra: list[str]) -> Callable[[Path, Path], str]:
    def check(target: Path, work: Path) -> str:
        out = work / f"{learner}-{label}"
        run(target / "examples" / "train_csv", WEATHER, label, out, learner, "--rows", TRAIN_ROWS, *extra)
        return run(sys.executable, HERE / "onnx_agrees.py", out / "model.onnx", out / "rows.csv", out / "predictions.csv")

    return check


def wait_for_address(log: Path, plane: subprocess.Popen) -> str:
    """Returns the address of the dashboard once the control plane says it."""
    until = time.monotonic() + START_LIMIT_S
    while time.monotonic() < until:
        found = re.search(r"dashboard (http://[0-9.:]+)/", log.read_text())
        if found:
            return found.group(1)
        if plane.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(f"the control plane did not start: {log.read_text()}")


def live_repository(target: Path, work: Path) -> str:
    """python-tuf walks the repository of a running control plane over HTTP and downloads all it names."""
    pinnace, data, log = target / "pinnace", work / "plane", work / "plane.log"
    for version, learner in ((1, "logistic"), (2, "boosting")):
        run(
            pinnace, "train", WEATHER, "--label", "rain", "--family", "rain", "--version", version,
            "--learner", learner, "--to", 1000, "--out", work / f"v{version}",
        )
    with log.open("w") as out:
        words = [pinnace, "up", "--data", data, "--http", "127.0.0.1:0", "--https", "127.0.0.1:0"]
        plane = subprocess.Popen([*words, "--mqtt", "127.0.0.1:0"], stdout=out, stderr=out)
    try:
        url = wait_for_address(log, plane)
        for version in (1, 2):
            run(pinnace, "publish", work / f"v{version}", "--url", url, "--data", data)
        with urllib.request.urlopen(f"{url}/repo/metadata/1.root.json") as answer:
            root = answer.read()
        stored, downloads = work / "stored", work / "downloads"
        stored.mkdir()
        downloads.mkdir()
        updater = Updater(
            metadata_dir=str(stored),
            metadata_base_url=f"{url}/repo/metadata",
            target_dir=str(downloads),
            target_base_url=f"{url}/repo/targets",
            bootstrap=root,
        )
        updater.refresh()
        # What the targets are called is read from the roles themselves; what they say is judged by python-tuf.
        roles = work / "roles"
        roles.mkdir()
        for name, pin in json.loads((stored / "snapshot.json").read_bytes())["signed"]["meta"].items():
            with urllib.request.urlopen(f"{url}/repo/metadata/{pin['version']}.{name}") as answer:
                (roles / f"{pin['version']}.{name}").write_bytes(answer.read())
        paths = sorted(target_paths(roles, stored))
        for path in paths:
            info = updater.get_targetinfo(path)
            if info is None:
                raise AssertionError(f"{path}: no trusted role names it")
            updater.download_target(info)
        manifests = [path for path in paths if path.endswith(".manifest.json")]
        if len(manifests) != 2:
            raise AssertionError(f"two manifests were published, {manifests} are named")
        return f"{len(paths)} targets of a running control plane accepted, {len(manifests)} manifests among them"
    finally:
        plane.terminate()
        plane.wait()


CHECKS: list[tuple[str, Callable[[Path, Path], str]]] = [
    ("python-tuf, example repository", example_repository),
    ("python-tuf, running control plane", live_repository),
    ("onnxruntime, boosting, classes", onnx_of("boosting", "rain", [])),
    ("onnxruntime, logistic, classes", onnx_of("logistic", "rain", [])),
    ("onnxruntime, boosting, values", onnx_of("boosting", "visibility", ["--value"])),
]


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    target = Path(sys.argv[1]).resolve()
    failed = 0
    for name, check in CHECKS:
        with tempfile.TemporaryDirectory() as work:
            try:
                print(f"{name}: {check(target, Path(work))}", flush=True)
            except Exception as fault:  # noqa: BLE001 - every failure is one line and counts
                failed += 1
                print(f"{name}: FAILED: {type(fault).__name__}: {fault}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
