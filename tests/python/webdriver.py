"""A browser, driven by plain WebDriver over HTTP: Debian's Chromium through its chromedriver, no other packages."""

import base64
import json
import re
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

START_LIMIT_S = 60
REQUEST_LIMIT_S = 120
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


class Browser:
    """One headless Chromium; use it in a `with` statement, which ends it."""

    def __init__(self) -> None:
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.base = f"http://127.0.0.1:{self._port()}"
        options = {
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        }
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = f"/session/{answer['sessionId']}"

    def _port(self) -> int:
        assert self.driver.stdout is not None
        until = time.monotonic() + START_LIMIT_S
        for line in self.driver.stdout:
            found = re.search(r"started successfully on port (\d+)", line)
            if found:
                return int(found.group(1))
            if time.monotonic() > until:
                break
        raise AssertionError("chromedriver does not start")

    def _call(self, method: str, path: str, body: dict | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=REQUEST_LIMIT_S) as answer:
            return json.load(answer)["value"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._call("DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait()

    def chrome(self, command: str, **parameters: object) -> Any:
        """Sends a command of Chromium's own protocol."""
        return self._call("POST", f"{self.session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def look_like(self, width: int, height: int, scheme: str) -> None:
        """Sets the size of the page and whether the person prefers dark or light."""
        self.chrome("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.chrome("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url: str) -> None:
        self._call("POST", f"{self.session}/url", {"url": url})

    def run(self, script: str) -> Any:
        """Runs the body of a function in the page and returns its value."""
        return self._call("POST", f"{self.session}/execute/sync", {"script": script, "args": []})

    def run_async(self, script: str) -> Any:
        """Runs the body of a function in the page; its last argument takes the value when it is there."""
        return self._call("POST", f"{self.session}/execute/async", {"script": script, "args": []})

    def barriers(self, axe: str) -> list[str]:
        """Returns what keeps people out of the page, by WCAG 2.2 AA, as far as axe sees it; `axe` is its source."""
        self.run(axe)
        found = self.run_async(
            "const done = arguments[arguments.length - 1];"
            f"axe.run(document, {{ runOnly: {json.dumps(WCAG)}, resultTypes: ['violations'] }})"
            "  .then((r) => done(r.violations), (e) => done([{ id: String(e), nodes: [] }]));"
        )
        return [f"{fault['id']}: {node['html'][:200]}" for fault in found for node in fault["nodes"] or [{"html": ""}]]

    def complaints(self) -> list[str]:
        """Returns what the console said since the last call, warnings and errors only."""
        log = self._call("POST", f"{self.session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in log if entry["level"] in ("SEVERE", "WARNING")]

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", f"{self.session}/screenshot")))
