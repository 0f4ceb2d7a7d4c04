"""The benchmark's page in a browser: nothing cut, nothing overlapping. Needs Debian's chromium."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import runpy
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cxr_edge.benchmark.page import report_page

pytestmark = pytest.mark.system

DRAWN = runpy.run_path(str(Path(__file__).parent.parent / "benchmark/drawn.py"))
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
SIZES = (1280, 400, 360)
EXPECTED = {"pareto", "latency", "end-to-end", "operations-1", "parity", "roc", "reliability",
            "limit"}  # fmt: skip

FINDINGS = """
(() => {
  const box = element => element.getBoundingClientRect();
  const name = text => `${text.closest("figure").id}: ${text.textContent}`;
  const found = {overflow: document.documentElement.scrollWidth -
                 document.documentElement.clientWidth, empty: [], cut: [],
                 overlaps: [], charts: [...document.querySelectorAll("figure")].map(f => f.id),
                 small: [], wide: []};
  for (const svg of document.querySelectorAll("figure svg:not(.key)")) {
    const frame = box(svg);
    if (!(frame.width > 100 && frame.height > 40)) found.empty.push(svg.ariaLabel);
    const texts = [...svg.querySelectorAll("text")];
    const boxes = texts.map(box);
    boxes.forEach((one, n) => {
      const inside = one.left >= frame.left - .5 && one.right <= frame.right + .5 &&
                     one.top >= frame.top - .5 && one.bottom <= frame.bottom + .5;
      if (!inside) found.cut.push(name(texts[n]));
      if (frame.width / svg.viewBox.baseVal.width * 13 < 9) found.small.push(name(texts[n]));
      boxes.slice(n + 1).forEach((other, m) => {
        const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
        const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
        if (across > .5 && down > 2.5)  // a line of text has room above its letters
          found.overlaps.push(`${name(texts[n])} | ${texts[n + 1 + m].textContent}`);
      });
    });
  }
  for (const each of document.body.querySelectorAll(":not(.wide *)"))
    if (box(each).right > innerWidth + .5) found.wide.push(each.outerHTML.slice(0, 80));
  return found;
})()
"""

SORT = """
(heading => {
  const heads = [...document.querySelectorAll("table.sort thead th")];
  const place = heads.findIndex(head => head.textContent === heading);
  const seen = () => {
    const rows = [...document.querySelectorAll("table.sort tbody tr")];
    return {aria: heads.map(head => head.ariaSort).filter(aria => aria !== "none"),
            cells: rows.map(row => row.cells[place].textContent)};
  };
  heads[place].querySelector("button").click();
  const up = seen();
  heads[place].querySelector("button").click();
  return [up, seen()];
})
"""


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
        for domain in ("Page", "Runtime", "Log"):
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

    def open(self, page: Path, width: int, scheme: str) -> None:
        """Show a page as a window of some width would, light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900,
                  deviceScaleFactor=1, mobile=False)  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"]["value"]

    def complaints(self) -> list[dict[str, Any]]:
        """What the page wrote to the console since it was opened, and what it may not do."""
        kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [event for event in self.events if event.get("method") in kinds]

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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("chromium is missing: apt-get install chromium")
    found = Browser(chromium, tmp_path_factory.mktemp("chromium"))
    yield found
    found.close()


def write_page(folder: Path, variant: str) -> Path:
    page = folder / "report.html"
    page.write_bytes(report_page(DRAWN["VARIANTS"][variant](DRAWN["draw_report"]())))
    return page


@pytest.mark.parametrize("variant", DRAWN["VARIANTS"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
def test_nothing_is_cut_or_overlaps(browser, tmp_path, variant, scheme, width):
    browser.open(write_page(tmp_path, variant), width, scheme)
    found = browser.run(FINDINGS)
    assert browser.complaints() == []
    charts = set(found.pop("charts"))
    assert found == {"overflow": 0, "empty": [], "cut": [], "overlaps": [], "small": [], "wide": []}
    assert variant != "whole" or charts == EXPECTED


def test_colours_follow_the_scheme(browser, tmp_path):
    page = write_page(tmp_path, "whole")
    found = []
    for scheme in ("light", "dark"):
        browser.open(page, 1280, scheme)
        found.append(browser.run("getComputedStyle(document.body).backgroundColor"))
    assert found == ["rgb(255, 255, 255)", "rgb(22, 25, 28)"]


@pytest.mark.parametrize("heading", ["p50, ms", "size, kB", "max |Δscore|", "flips", "load, ms"])
def test_numbers_sort_as_numbers_and_empty_cells_last(browser, tmp_path, heading):
    browser.open(write_page(tmp_path, "whole"), 1280, "light")
    up, down = browser.run(f"{SORT}({json.dumps(heading)})")
    assert (up["aria"], down["aria"]) == (["ascending"], ["descending"])
    for seen, falling in ((up, False), (down, True)):
        cells = seen["cells"]
        filled = [float(cell.replace(",", "")) for cell in cells if cell]
        assert filled == sorted(filled, reverse=falling)
        assert "" in cells
        assert not any(cells[len(filled) :])
    assert up["cells"] != down["cells"]


def test_texts_sort_as_texts(browser, tmp_path):
    browser.open(write_page(tmp_path, "whole"), 1280, "light")
    up, down = browser.run(f"{SORT}('engine')")
    assert up["cells"] == sorted(up["cells"])
    assert down["cells"] == sorted(down["cells"], reverse=True)


def test_it_prints(browser, tmp_path):
    browser.open(write_page(tmp_path, "whole"), 1280, "dark")
    answer = browser.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
    assert base64.b64decode(answer["data"]).startswith(b"%PDF")
    assert browser.run("document.querySelector('details').open")
