"""A headless Chromium, driven over its debugging pipe: what tests and benchmarks of pages need of it."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Browser", "chromium", "open_browser"]

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--remote-debugging-pipe",
)
#: The browser listens on descriptor 3 and answers on 4: JSON, each message ended by NUL.
PIPE = 'exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1'


def chromium() -> str | None:
    """Return the path of a Chromium, None if there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """One page of a browser.

    Attributes
    ----------
    events
        All that the browser told since the page was opened.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.events: list[dict[str, Any]] = []
        self._process = process
        self._messages = self._read()
        self._n_calls = 0
        self._session: str | None = None
        targets = self.call("Target.getTargets")["targetInfos"]
        (page,) = (target["targetId"] for target in targets if target["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Call a method of the protocol and wait for its result."""
        self._n_calls += 1
        message = {"id": self._n_calls, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        for answer in self._messages:
            if answer.get("id") == self._n_calls:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)
        raise AssertionError("the browser has ended")

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a page at a width and wait until it has loaded."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(next(self._messages))

    def run(self, script: str) -> Any:  # whatever the page says
        """Return what an expression of JavaScript gives."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def picture(self, path: Path, *, box: tuple[int, int, int, int] | None = None) -> None:
        """Write a picture of the whole page, or of a box (x, y, width, height) of it; PNG or WebP by name."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        x, y, width, height = box or (0, 0, size["width"], size["height"])
        clip = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        kind = path.suffix.removeprefix(".")
        shot = self.call("Page.captureScreenshot", format=kind, captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def complaints(self) -> list[str]:
        """Return errors and warnings of the console, and exceptions."""
        kinds = {"Runtime.exceptionThrown", "Log.entryAdded"}
        found = [json.dumps(event["params"]) for event in self.events if event.get("method") in kinds]
        said = [e["params"] for e in self.events if e.get("method") == "Runtime.consoleAPICalled"]
        return found + [json.dumps(words) for words in said if words["type"] in {"error", "warning"}]

    def requests(self) -> list[str]:
        """Return the addresses that the page asked for."""
        sent = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def _read(self) -> Iterator[dict[str, Any]]:
        assert self._process.stdout is not None
        rest = b""
        while chunk := self._process.stdout.read1(1 << 16):  # type: ignore[attr-defined]  # a buffered reader
            *whole, rest = (rest + chunk).split(b"\0")
            yield from map(json.loads, whole)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start a Chromium with a profile of its own, and end it."""
    path = chromium()
    assert path is not None, "needs a Chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = ["sh", "-c", PIPE, path, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                yield Browser(process)
            finally:
                process.terminate()
