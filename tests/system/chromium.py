"""One headless Chromium for tests of pages, spoken to in its DevTools protocol.

From a shell, ``python tests/system/chromium.py PAGE.html OUT.png [WIDTH] [light|dark]`` takes a
picture of a whole page.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--remote-debugging-pipe",
)
# Chromium talks over the descriptors 3 and 4; Python gives a child the numbers that it has itself.
LAUNCH = (
    "import os, sys\n"
    "for given, wanted in zip(sys.argv[1:3], (3, 4)): os.dup2(int(given), wanted)\n"
    "os.execv(sys.argv[3], sys.argv[3:])\n"
)


class Browser:
    """One headless Chromium, spoken to in its DevTools protocol."""

    def __init__(self, chromium: str, folder: Path) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # Above 9, so that the launcher never overwrites one with the other.
        given = [fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in (theirs_in, theirs_out)]
        command = [sys.executable, "-c", LAUNCH, *map(str, given), chromium, *FLAGS]
        self.process = subprocess.Popen(
            [*command, f"--user-data-dir={folder}"], pass_fds=given, stderr=subprocess.DEVNULL
        )
        for each in (theirs_in, theirs_out, *given):
            os.close(each)
        self._buffer, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Have the browser do something and return what it answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def open(self, page: Path | str, width: int, scheme: str) -> None:
        """Show a page, a file or an address, as a window of some width would, light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900,
                  deviceScaleFactor=1, mobile=False)  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call("Page.bringToFront")  # another test may have opened a tab over it
        # So that requests which the page before it still makes are not counted as this one's.
        for url in ("about:blank", page if isinstance(page, str) else page.as_uri()):
            self.events.clear()
            self.call("Page.navigate", url=url)
            while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
                self.events.append(self._receive())

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call(
            "Runtime.evaluate",
            expression=script,
            returnByValue=True,
            allowUnsafeEvalBlockedByCSP=False,
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")  # None: undefined

    def complaints(self) -> list[str]:
        """Errors and warnings since the page was opened, and what its policy refused."""
        texts = []
        for event in self.events:
            values = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                texts.append(values["exceptionDetails"]["text"])
            elif event.get("method") == "Runtime.consoleAPICalled":
                texts.append(" ".join(str(each.get("value")) for each in values["args"]))
            elif event.get("method") == "Log.entryAdded":
                texts.append(values["entry"]["text"])
        return texts

    def requests(self) -> list[str]:
        """Addresses that the page asked for since it was opened, itself included."""
        sent = [e for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def screenshot(self) -> bytes:
        """The whole page as a PNG."""
        self.call("Emulation.setScrollbarsHidden", hidden=True)
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def close(self) -> None:
        """End it."""
        os.close(self._out)
        self.process.terminate()
        self.process.wait(20)
        os.close(self._in)

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + 60
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], until - time.monotonic())
            assert ready, "chromium does not answer"
            data = os.read(self._in, 1 << 20)
            assert data, "chromium ended"
            self._buffer += data
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)


def main(page: str, picture: str, width: str = "1280", scheme: str = "light") -> None:
    """Write a picture of a page, and print what it complained about and asked for."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(shutil.which("chromium") or "chromium", Path(folder))
        browser.open(Path(page).resolve(), int(width), scheme)
        time.sleep(0.5)
        Path(picture).write_bytes(browser.screenshot())
        print(browser.complaints(), browser.requests())
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
