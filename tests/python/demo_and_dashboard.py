#!/usr/bin/env python3
"""Runs `pinnace demo` with blows, looks at its dashboard in Chromium, and sees everything end with it.

usage: demo_and_dashboard.py PINNACE [SCREENS_DIR]

1. The demo is told to its end, although a station and the control plane are killed with signal 9 on the way.
2. Every page loads in Chromium: status 200, an empty console, no sideways scrolling at 400 px, in light and dark,
   nothing that axe objects to (WCAG 2.2 AA), and what happens appears by itself. Screenshots go to SCREENS_DIR
   (target/screens).
3. SIGTERM ends the demo with status 0 and leaves no process; killing it with signal 9 leaves none either.
4. `demo --exit`, undisturbed, ends by itself with status 0.

One line per check; exits 1 at the first that fails.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from webdriver import Browser

ROOT = Path(__file__).resolve().parent.parent.parent
STORY_LIMIT_S = 600
STEP_LIMIT_S = 90
END_LIMIT_S = 30
LOOK_S = 0.05
DEVICES = 8
SIZES = {"narrow": (400, 800), "wide": (1280, 900)}
SCHEMES = ("light", "dark")
Found = TypeVar("Found")


def wait_until(what: str, seconds: float, look: Callable[[], Found | None]) -> Found:
    """Looks until `look` returns something, and returns that."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = look()
        if found is not None and found is not False:
            return found
        time.sleep(LOOK_S)
    raise AssertionError(f"{what} did not happen within {seconds} s")


class Demo:
    """A running demo and what it has said."""

    def __init__(self, pinnace: Path, data: Path, *more: str) -> None:
        words = [str(pinnace), "demo", "--http", "127.0.0.1:0", "--devices", str(DEVICES), "--data", str(data), *more]
        self.data = data
        self.lines: list[str] = []
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def said(self, pattern: str, limit: float) -> re.Match[str]:
        """Waits until a line matches."""

        def look() -> re.Match[str] | None:
            found = (re.search(pattern, line) for line in list(self.lines))
            match = next((m for m in found if m), None)
            if match is None and self.process.poll() is not None:
                raise AssertionError(f"the demo ended before it said {pattern!r}:\n" + "\n".join(self.lines))
            return match

        try:
            return wait_until(f"the line {pattern!r}", limit, look)
        except AssertionError as fault:
            raise AssertionError(f"{fault}:\n" + "\n".join(self.lines)) from None

    def children(self) -> dict[int, str]:
        """Returns the processes that work below the demo's folder: id and command line."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == self.process.pid:
                continue
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
            except (OSError, IndexError):
                continue
            if f"{self.data}/" in command and state != "Z":
                found[int(entry.name)] = command
        return found

    def kill_9(self, word: str) -> int:
        """Kills the one child whose command line has this word, and returns its id."""
        pids = [pid for pid, command in self.children().items() if word in command]
        if len(pids) != 1:
            raise AssertionError(f"one process with {word!r} was expected, there are {pids}")
        os.kill(pids[0], signal.SIGKILL)
        return pids[0]

    def gone(self) -> None:
        def look() -> bool | None:
            return True if not self.children() else None

        try:
            wait_until("the end of every process", END_LIMIT_S, look)
        except AssertionError as fault:
            raise AssertionError(f"{fault}: {self.children()}") from None


def get(url: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(url, timeout=STEP_LIMIT_S) as answer:
        return answer.status, answer.read()


def tell(text: str) -> None:
    print(text, flush=True)


def blows(demo: Demo) -> str:
    """Watches the story, kills a station and the control plane, and returns the dashboard's address."""
    url = demo.said(r"dashboard: (http://[0-9.:]+)/", STEP_LIMIT_S).group(1)
    demo.said(r"stations have joined", STORY_LIMIT_S)
    demo.kill_9("station-3")
    demo.said(r"station-3 ended .*started again", STEP_LIMIT_S)
    demo.said(r"stations predict rain", STORY_LIMIT_S)
    demo.kill_9(" up ")
    demo.said(r"control-plane ended .*started again", STEP_LIMIT_S)
    demo.said(r"Everything goes on", STORY_LIMIT_S)
    for must in (r"drift|Drift", r"rain/v2", r"rain/v3", rf"All {DEVICES} stations run rain/v2"):
        demo.said(must, 1)
    tell("demo: told to its end; a station and the control plane were killed with signal 9 on the way")
    return url


def counted_once(url: str) -> None:
    """No window was refused or lost although processes were killed."""
    devices = json.loads(get(f"{url}/v1/devices")[1])["devices"]
    lost = 0
    for device in devices:
        page = json.loads(get(f"{url}/v1/devices/{device['device']}")[1])
        lost += page["device"]["health"]["windows_lost"] + page["device"]["rejected_windows"]
    if lost or len(devices) != DEVICES:
        raise AssertionError(f"{lost} windows were lost or refused, {len(devices)} devices are known")
    tell(f"demo: no window of {DEVICES} devices was lost or refused")


def pages(url: str) -> list[str]:
    rollouts = [rollout["id"] for rollout in json.loads(get(f"{url}/v1/rollouts")[1])]
    bundles = [bundle["bundle"] for bundle in json.loads(get(f"{url}/v1/bundles")[1])]
    if len(rollouts) != 3 or len(bundles) != 3:
        raise AssertionError(f"three rollouts and bundles were expected: {rollouts}, {bundles}")
    found = ["/", "/rollouts", "/devices/station-1", "/models", "/drift", "/events", "/health"]
    found += [f"/rollouts/{rollout}" for rollout in rollouts]
    for bundle in bundles:
        name = f"/models/{bundle['family']}/v{bundle['version']}"
        found += [name, f"{name}/drift"]
    return found


def axe_source() -> str:
    """Returns the newest axe-core, which lies in a wheel of another tool; none of that tool's code runs."""
    found = list(Path(sys.prefix).glob("lib/python3*/site-packages/axe_playwright_python/axe.min.js"))
    if len(found) != 1:
        raise AssertionError(f"axe-core is not installed in {sys.prefix}; hint: tests/run setup")
    return found[0].read_text()


def screens(browser: Browser, url: str, folder: Path) -> None:
    """Opens every page in both sizes and both schemes."""
    folder.mkdir(parents=True, exist_ok=True)
    axe = axe_source()
    paths = pages(url)
    backgrounds = {}
    for path in paths:
        status, body = get(url + path)
        if status != 200 or b"<title>" not in body:
            raise AssertionError(f"{path}: status {status}")
        for size, (width, height) in SIZES.items():
            for scheme in SCHEMES:
                browser.look_like(width, height, scheme)
                browser.open(url + path)
                complaints = browser.complaints()
                if complaints:
                    raise AssertionError(f"{path} ({size}, {scheme}): the console says {complaints}")
                wanted, given = browser.run(
                    "const e = document.documentElement; return [e.scrollWidth, e.clientWidth];"
                )
                if wanted > given:
                    raise AssertionError(f"{path} ({size}, {scheme}): {wanted} px wide on {given} px")
                if not browser.run("return document.querySelector('h1, h2') !== null;"):
                    raise AssertionError(f"{path}: no heading")
                barriers = browser.barriers(axe)
                if barriers:
                    raise AssertionError(f"{path} ({size}, {scheme}): axe objects:\n" + "\n".join(barriers))
                backgrounds[scheme] = browser.run("return getComputedStyle(document.body).backgroundColor;")
                name = path.strip("/").replace("/", "-") or "fleet"
                browser.screenshot(folder / f"{name}-{size}-{scheme}.png")
    if backgrounds["light"] == backgrounds["dark"]:
        raise AssertionError(f"dark and light look alike: {backgrounds}")
    tell(f"dashboard: {len(paths)} pages, {len(SIZES)} sizes, light and dark: no complaint, nothing too wide, axe content")


def live(browser: Browser, url: str, token: str) -> None:
    """What happens appears on an open page without loading it again."""
    browser.look_like(*SIZES["wide"], "light")
    browser.open(f"{url}/events")
    browser.run("window.openedOnce = true;")
    body = json.dumps({"labels": ["site=seen-by-itself"]}).encode()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/devices/station-1/labels", body, headers, method="PUT")
    with urllib.request.urlopen(request, timeout=STEP_LIMIT_S) as answer:
        if answer.status != 204:
            raise AssertionError(f"labels: status {answer.status}")
    wait_until(
        "the new entry on the open page",
        STEP_LIMIT_S,
        lambda: browser.run("return document.body.innerText.includes('seen-by-itself') && window.openedOnce;") or None,
    )
    tell("dashboard: what happens appears by itself")


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    pinnace = Path(sys.argv[1]).resolve()
    folder = Path(sys.argv[2]) if len(sys.argv) == 3 else ROOT / "target" / "screens"
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        demo = Demo(pinnace, Path(work, "demo"))
        try:
            url = blows(demo)
            counted_once(url)
            with Browser() as browser:
                screens(browser, url, folder)
                live(browser, url, Path(work, "demo", "plane", "admin.token").read_text().strip())
            if len(demo.children()) != DEVICES + 1:
                raise AssertionError(f"{DEVICES} stations and a control plane should run: {demo.children()}")
            demo.process.send_signal(signal.SIGTERM)
            status = demo.process.wait(timeout=END_LIMIT_S)
            if status != 0:
                raise AssertionError(f"the demo ended with {status}:\n" + "\n".join(demo.lines))
            demo.gone()
            tell("demo: SIGTERM ends it well, no process is left")
        finally:
            demo.process.kill()
            demo.process.wait()

        killed = Demo(pinnace, Path(work, "killed"), "--exit")
        killed.said(r"stations have joined", STORY_LIMIT_S)
        if len(killed.children()) != DEVICES + 1:
            raise AssertionError(f"{DEVICES} stations and a control plane should run: {killed.children()}")
        killed.process.kill()
        killed.process.wait()
        killed.gone()
        tell("demo: killed with signal 9, no process is left")

        undisturbed = Demo(pinnace, Path(work, "undisturbed"), "--exit")
        status = undisturbed.process.wait(timeout=STORY_LIMIT_S)
        undisturbed.gone()
        if status != 0 or not any("The loop is closed" in line for line in undisturbed.lines):
            raise AssertionError(f"`demo --exit` ended with {status}:\n" + "\n".join(undisturbed.lines))
        tell("demo: `--exit` ends with status 0 when the story is told")
    tell(f"all well after {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (AssertionError, OSError, subprocess.TimeoutExpired) as fault:
        print(f"FAILED: {fault}", file=sys.stderr)
        sys.exit(1)
