"""A headless Chromium over its debugging pipe: no driver, no package, no port.

Messages are JSON ended by a null byte, commands on the browser's descriptor 3, answers on 4.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CTRL, SHIFT = 2, 8
AXE = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
PATIENCE = 60.0
"""Seconds for one answer."""


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """One page of one browser; use as a context.

    events: everything that the browser said by itself, in order.
    """

    def __init__(self, profile: Path) -> None:
        name = find_chromium()
        assert name is not None, "no Chromium: apt-get install chromium"
        theirs, self._out = os.pipe()
        self._in, back = os.pipe()
        self.process = subprocess.Popen(
            [
                "sh", "-c", f'exec "$@" 3</dev/fd/{theirs} 4>/dev/fd/{back}', "sh", name,
                "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-dev-shm-usage", f"--user-data-dir={profile}", "about:blank",
            ],
            pass_fds=(theirs, back), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs)
        os.close(back)
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Chromium:
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its answer."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            said = self._read()
            if said.get("id") == number:
                assert "error" not in said, f"{method}: {said['error']}"
                result: dict[str, Any] = said["result"]
                return result
            self.events.append(said)

    def open(self, page: Path | str, width: int = 1280, dark: bool = False) -> None:
        """Load a file, or an address, at a width and in a colour scheme; returns when all of it is
        there."""
        url = page if isinstance(page, str) else page.resolve().as_uri()
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        self.events.clear()
        self.call("Page.navigate", url=url)
        until = time.monotonic() + PATIENCE
        while self.evaluate("document.readyState") != "complete" or not self.evaluate(
            "location.protocol !== 'about:'"
        ):
            assert time.monotonic() < until, f"{url}: not loaded"
            time.sleep(0.05)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str, code: int, text: str = "", modifiers: int = 0) -> None:
        """One key, as from a keyboard; modifiers: CTRL, SHIFT."""
        about = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        down = {"text": text} if text else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about, **down)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def type(self, text: str) -> None:
        """Text into what has the focus."""
        self.call("Input.insertText", text=text)

    def give_file(self, selector: str, path: Path) -> None:
        """As somebody who chose a file in the browser's own dialogue."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def until(self, expression: str) -> None:
        """Until a JavaScript expression is true."""
        deadline = time.monotonic() + PATIENCE
        while not self.evaluate(expression):
            assert time.monotonic() < deadline, expression
            time.sleep(0.05)

    def violations(self) -> list[str]:
        """What axe finds wrong with the page as it is: rule, and the first element that breaks
        it."""
        self.evaluate(AXE)
        found = self.evaluate("axe.run().then((result) => result.violations)")
        return [f"{v['id']}: {v['nodes'][0]['html']}" for v in found]

    def screenshot(self, path: Path, whole: bool = True) -> None:
        found = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def said(self, *methods: str) -> list[dict[str, Any]]:
        """Parameters of the events of these names."""
        return [event["params"] for event in self.events if event.get("method") in methods]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], PATIENCE)
            assert ready, "Chromium says nothing"
            chunk = os.read(self._in, 1 << 16)
            assert chunk, "Chromium has ended"
            self._buffer += chunk
        message, self._buffer = self._buffer.split(b"\0", 1)
        said: dict[str, Any] = json.loads(message)
        return said
