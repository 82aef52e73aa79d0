#!/usr/bin/env python3
"""Holds what we write against programs that others wrote: python-tuf, ONNX Runtime, the ONNX checker, and the tools
that third parties check a bundle with (model-signing, securesystemslib, CycloneDX).

usage: check_all.py TARGET_DIR        (TARGET_DIR/pinnace, TARGET_DIR/examples/{tuf_repo,train_csv,judge,onnx_worker,
                                       operators_agree,operators_speed})

One line per check; exits 1 when one of them fails.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnxruntime
from tuf.ngclient import Updater

from onnx_engines import model_files
from tuf_accepts import target_paths

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WEATHER = ROOT / "cli" / "data" / "weather_bellevue.csv"
START_LIMIT_S = 120
DIFFERENTIAL_MUTATIONS = 1000
TRAIN_ROWS = "0..3000"
# What a forest at one row may take of ONNX Runtime's time; measured in the same run.
FOREST_LIMIT = 1.2


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


@contextmanager
def control_plane(target: Path, work: Path) -> Iterator[str]:
    """Runs a control plane with its data in work/plane; gives its address."""
    log = work / "plane.log"
    with log.open("w") as out:
        words = [target / "pinnace", "up", "--data", work / "plane", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0"]
        plane = subprocess.Popen([*words, "--mqtt", "127.0.0.1:0"], stdout=out, stderr=out)
    try:
        yield wait_for_address(log, plane)
    finally:
        plane.terminate()
        plane.wait()


def train(target: Path, work: Path, version: int, learner: str) -> Path:
    """Trains a version of the weather model and returns its folder."""
    out = work / f"v{version}"
    run(
        target / "pinnace", "train", WEATHER, "--label", "rain", "--family", "rain", "--version", version,
        "--learner", learner, "--to", 1000, "--out", out,
    )
    return out


def live_repository(target: Path, work: Path) -> str:
    """python-tuf walks the repository of a running control plane over HTTP and downloads all it names."""
    pinnace, data = target / "pinnace", work / "plane"
    bundles = [train(target, work, version, learner) for version, learner in ((1, "logistic"), (2, "boosting"))]
    with control_plane(target, work) as url:
        for bundle in bundles:
            run(pinnace, "publish", bundle, "--url", url, "--data", data)
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


def supply_chain(target: Path, work: Path) -> str:
    """Third parties' tools accept what is exported from a control plane; so does our own check, until a bit flips."""
    pinnace, data, exported = target / "pinnace", work / "plane", work / "exported"
    trained = train(target, work, 1, "boosting")
    with control_plane(target, work) as url:
        run(pinnace, "publish", trained, "--url", url, "--data", data)
        root = work / "1.root.json"
        for name, path in (("1.root.json", root), ("2.targets.json", work / "targets.json")):
            with urllib.request.urlopen(f"{url}/repo/metadata/{name}") as answer:
                path.write_bytes(answer.read())
        run(pinnace, "bundle", "export", "rain/v1", exported, "--root", root, "--url", url)
    # What the trainer has is what was exported; its key comes from here, as a publisher would hand it out.
    for path in trained.iterdir():
        if path.read_bytes() != (exported / path.name).read_bytes():
            raise AssertionError(f"{path.name} is not what was exported")
    key = trained / "trainer.pub.pem"
    run(pinnace, "bundle", "verify", exported, "--key", key)
    said = run(sys.executable, HERE / "supply_chain.py", exported, key, work / "targets.json", WEATHER)
    flipped = exported / "model.onnx"
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    try:
        run(pinnace, "bundle", "verify", exported, "--key", key)
    except AssertionError as refusal:
        if "`model.onnx` was changed" not in str(refusal):
            raise
    else:
        raise AssertionError("pinnace accepts a flipped bit")
    return last_line(said)


def differential(target: Path, _: Path) -> str:
    """python-tuf and our core judge a thousand mutated repositories alike, or the difference is a known one."""
    return last_line(run(sys.executable, HERE / "tuf_differential.py", target, DIFFERENTIAL_MUTATIONS))


def operators(target: Path, _: Path) -> str:
    """tract with our operators answers as ONNX Runtime does, on a hundred exports and three hundred single operators."""
    return last_line(run(sys.executable, HERE / "operators_agree.py", target))


def operators_speed(target: Path, _: Path) -> str:
    """Our forests are not slower than ONNX Runtime's."""
    return "; ".join(run(sys.executable, HERE / "operators_speed.py", target, FOREST_LIMIT).splitlines())


def onnx_engines(target: Path, _: Path) -> str:
    """Both engines pass the backend tests of ONNX that they are known to pass; models of others give the same numbers."""
    return last_line(run(sys.executable, HERE / "onnx_engines.py", target))


def bundle_lint(target: Path, work: Path) -> str:
    """The linter runs every engine, writes down which answered, refuses wrong vectors; its clean copies are sound."""
    pinnace = target / "pinnace"
    trained = train(target, work, 1, "logistic")
    engines = json.loads((trained / "manifest.json").read_bytes())["variants"][0]["engines"]
    said = json.loads(run(pinnace, "bundle", "lint", trained, "-o", "json", "--ort", ort_library()))
    if engines != ["tract", "ort"] or [e["answers"] for e in said["engines"]] != [True, True]:
        raise AssertionError(f"{engines}: {said['engines']}")
    golden = json.loads((trained / "golden.json").read_bytes())
    vectors = work / "golden.json"
    vectors.write_text(json.dumps(golden))
    alone = ("bundle", "lint", trained / "model.onnx", "--golden", vectors, "--ort", ort_library())
    run(pinnace, *alone)
    golden["expected"][0][0] += 0.01
    vectors.write_text(json.dumps(golden))
    try:
        run(pinnace, *alone)
    except AssertionError as refusal:
        if "no engine answers the golden vectors" not in str(refusal):
            raise
    else:
        raise AssertionError("wrong vectors are not noticed")
    cleaned, files = work / "clean.onnx", model_files()
    notes = 0
    for name, path in files.items():
        report = json.loads(run(pinnace, "bundle", "lint", path, "--clean", cleaned, "-o", "json"))["model"]
        before, after = onnx.load(path), onnx.load(cleaned)
        kinds = {(node.domain or "ai.onnx", node.op_type) for node in before.graph.node}
        listed = {(operator["domain"], operator["name"]) for operator in report["operators"]}
        if not kinds <= listed or report["value_infos"] != len(before.graph.value_info):
            raise AssertionError(f"{name}: {sorted(kinds - listed)} are not listed, or notes of shapes are miscounted")
        notes += len(before.graph.value_info)
        del before.graph.value_info[:]
        if before != after:
            raise AssertionError(f"{name}: the clean copy says something else")
    return f"both engines judged, wrong vectors refused, {len(files)} models clean without {notes} notes of shapes"


def ort_library() -> Path:
    return next(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so*"))


CHECKS: list[tuple[str, Callable[[Path, Path], str]]] = [
    ("python-tuf, example repository", example_repository),
    ("python-tuf, running control plane", live_repository),
    ("python-tuf, mutated repositories", differential),
    ("model-signing, SLSA, CycloneDX", supply_chain),
    ("onnxruntime, boosting, classes", onnx_of("boosting", "rain", [])),
    ("onnxruntime, logistic, classes", onnx_of("logistic", "rain", [])),
    ("onnxruntime, boosting, values", onnx_of("boosting", "visibility", ["--value"])),
    ("onnxruntime, exports of scikit-learn, LightGBM and XGBoost", operators),
    ("onnxruntime, speed of forests", operators_speed),
    ("bundle lint, others' models", bundle_lint),
    ("ONNX backend tests, others' models", onnx_engines),
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
