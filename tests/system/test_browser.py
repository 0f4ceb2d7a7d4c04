"""Pages in a browser: nothing cut, nothing fetched, no complaints. Needs Debian's chromium."""

from __future__ import annotations

import base64
import dataclasses
import json
import runpy
import time
from pathlib import Path
from typing import Any

import pytest

from cxr_edge.report.benchmark.page import report_page
from cxr_edge.report.evaluation.page import evaluation_page
from cxr_edge.report.evaluation.seeds import seeds_page
from cxr_edge.report.machines.merge import merge_reports
from cxr_edge.report.machines.page import machines_page

pytestmark = pytest.mark.system

HERE = Path(__file__).parent
DRAWN = runpy.run_path(str(HERE.parent / "benchmark/drawn.py"))
MACHINES = runpy.run_path(str(HERE.parent / "report/machines/conftest.py"))
EVALUATED = runpy.run_path(str(HERE.parent / "metrics/drawn.py"))
EVALUATIONS = {
    "two labels": EVALUATED["draw_document"](),
    "three labels": EVALUATED["draw_document"](EVALUATED["THREE_SPEC"]),
    "markup as names": EVALUATED["hostile"](EVALUATED["draw_document"]()),
}
SIZES = (1280, 400, 360)
MIN_LETTER_PX = 9

FINDINGS = """
(() => {
  const box = element => element.getBoundingClientRect();
  const page = document.documentElement;
  const name = text => `${text.closest("figure").id}: ${text.textContent}`;
  const findings = {overflow: page.scrollWidth - page.clientWidth, empty: [], cut: [],
                    overlaps: [], small: [], wide: []};
  for (const chart of document.querySelectorAll("[data-chart]")) {
    const svg = chart.querySelector("svg");
    if (!svg || box(svg).width < 200 || box(svg).height < 40) {
      findings.empty.push(chart.dataset.chart);
      continue;
    }
    const frame = box(svg);
    const texts = [...svg.querySelectorAll("text")].filter(text =>
      text.textContent.trim() && getComputedStyle(text).opacity !== "0");  // labels without room
    const boxes = texts.map(box);
    boxes.forEach((one, n) => {
      const inside = one.left >= frame.left - 1 && one.right <= frame.right + 1 &&
                     one.top >= frame.top - 1 && one.bottom <= frame.bottom + 1;
      if (!inside) findings.cut.push(name(texts[n]));
      const letter = parseFloat(getComputedStyle(texts[n]).fontSize);
      if (letter < MIN) findings.small.push(name(texts[n]));
      boxes.slice(n + 1).forEach((other, m) => {
        const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
        const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
        if (across > 1 && down > 4)  // a line of text has room above its letters
          findings.overlaps.push(`${name(texts[n])} | ${texts[n + 1 + m].textContent}`);
      });
    });
  }
  // Inside a chart, marks beyond its axes are clipped.
  for (const element of document.body.querySelectorAll(":not(.scroll *, svg *)"))
    if (box(element).right > page.clientWidth + .5)
      findings.wide.push(element.outerHTML.slice(0, 80));
  return findings;
})()
""".replace("MIN", str(MIN_LETTER_PX))

HEADINGS = """
[...document.querySelector("table.sortable").tHead.rows[0].cells].map(
  cell => [cell.textContent, cell.getBoundingClientRect().right <= innerWidth])
"""

SORT = """
(heading => {
  const table = document.querySelectorAll("table.sortable")[1];
  const heads = [...table.tHead.rows[0].cells];
  const column = heads.findIndex(head => head.textContent === heading);
  const state = () => ({
    aria: heads.map(head => head.ariaSort).filter(aria => aria !== "none"),
    cells: [...table.tBodies[0].rows].map(row => row.cells[column].textContent)});
  heads[column].querySelector("button").click();
  const up = state();
  heads[column].querySelector("button").click();
  return [up, state()];
})
"""

MARK = """
(() => {
  const mark = document.querySelector("#latency svg .layer_2_marks path");
  mark.scrollIntoView({block: "center"});
  const box = mark.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
})()
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of every kind of report, by the name of the kind."""
    folder = tmp_path_factory.mktemp("pages")
    pages = {}
    for variant, change in DRAWN["VARIANTS"].items():
        pages[variant] = folder / f"{variant}.html"
        pages[variant].write_bytes(report_page(change(DRAWN["draw_report"]())))
    for name, document in EVALUATIONS.items():
        pictures = folder / name
        EVALUATED["write_pictures"](document, pictures)
        pages[name] = folder / f"{name}.html"
        pages[name].write_bytes(evaluation_page(document, pictures))
    pages["seeds"] = folder / "seeds.html"
    pages["seeds"].write_bytes(seeds_page(EVALUATED["draw_seeds"]()))
    pages["machines"] = folder / "machines.html"
    pages["machines"].write_bytes(draw_machines_page())
    return pages


def draw_machines_page() -> bytes:
    """A server and a Raspberry Pi."""
    server = DRAWN["draw_report"]()
    rows = tuple(MACHINES["slower"](row, 4) for row in server.rows)
    pi = dataclasses.replace(server, machine=MACHINES["PI"], rows=rows)
    return machines_page(merge_reports([("server.json", server), ("pi.json", pi)]))


def wait_for_charts(browser: Any) -> None:
    """Until every chart is drawn; a chart that never is fails the test of empty ones."""
    drawn = "[...document.querySelectorAll('[data-chart]')].every(c => c.querySelector('svg'))"
    until = time.monotonic() + 20
    while not browser.run(drawn) and time.monotonic() < until:
        time.sleep(0.05)


@pytest.mark.parametrize("variant", [*DRAWN["VARIANTS"], *EVALUATIONS, "seeds", "machines"])
@pytest.mark.parametrize("width", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_or_overlaps_or_fetched(browser, pages, variant, width, scheme):
    browser.open(pages[variant], width, scheme)
    wait_for_charts(browser)
    findings = browser.run(FINDINGS)
    assert browser.complaints() == []
    fetched = [url for url in browser.requests() if not url.startswith("data:image/")]
    assert fetched == [pages[variant].as_uri()]  # pictures lie inside the page
    assert findings == {key: [] for key in findings} | {"overflow": 0}


def test_the_policy_refuses_what_the_page_was_not_written_with(browser, pages):
    browser.open(pages["one row"], 1280, "light")
    browser.run(
        "document.body.append(Object.assign(document.createElement('script'),"
        " {textContent: 'window.ran = true'})); fetch('https://example.org').catch(() => 0)"
    )
    with pytest.raises(AssertionError, match="EvalError"):
        browser.run("new Function('return 1')()")
    assert browser.run("window.ran === undefined")
    assert any("Content Security Policy" in text for text in browser.complaints())


def test_colours_follow_the_scheme_while_the_page_is_open(browser, pages):
    browser.open(pages["whole"], 1280, "light")
    wait_for_charts(browser)
    colours = (
        "[getComputedStyle(document.body).backgroundColor,"
        " getComputedStyle(document.querySelector('#latency svg text')).fill]"
    )
    light = browser.run(colours)
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.call("Emulation.setEmulatedMedia", features=features)
    dark = browser.run(colours)
    assert light[0] == "rgb(255, 255, 255)"
    assert dark[0] == "rgb(20, 24, 28)"
    assert light[1] != dark[1]


def test_the_main_columns_are_on_the_screen_of_a_laptop(browser, pages):
    browser.open(pages["whole"], 1280, "light")
    headings = browser.run(HEADINGS)
    assert [heading for heading, _ in headings][:2] == ["row", "p50, ms"]
    assert {"\u00d7 float32", "flips", "max |Δscore|"} <= {heading for heading, _ in headings}
    assert all(visible for _, visible in headings)


def test_speed_up_and_flips_are_on_the_screen_of_a_telephone(browser, pages):
    browser.open(pages["whole"], 400, "light")
    visible = {heading for heading, visible in browser.run(HEADINGS) if visible}
    assert {"row", "p50, ms", "\u00d7 float32", "flips"} <= visible


@pytest.mark.parametrize("heading", ["p50, ms", "size, kB", "max |Δscore|", "flips", "load, ms"])
def test_numbers_sort_as_numbers_and_empty_cells_last(browser, pages, heading):
    browser.open(pages["whole"], 1280, "light")
    up, down = browser.run(f"{SORT}({json.dumps(heading)})")
    assert (up["aria"], down["aria"]) == (["ascending"], ["descending"])
    for state, falling in ((up, False), (down, True)):
        cells = state["cells"]
        is_empty = [cell in ("", "not measured") for cell in cells]
        filled = [
            float(cell.replace(",", "").partition(" of ")[0])
            for cell, empty in zip(cells, is_empty, strict=True)
            if not empty
        ]
        assert filled == sorted(filled, reverse=falling)
        assert any(is_empty) and all(is_empty[len(filled) :])
    assert up["cells"] != down["cells"]


def test_texts_sort_as_texts(browser, pages):
    browser.open(pages["whole"], 1280, "light")
    up, down = browser.run(f"{SORT}('engine')")
    assert up["cells"] == sorted(up["cells"])
    assert down["cells"] == sorted(down["cells"], reverse=True)


@pytest.mark.parametrize("variant", ["whole", "hostile"])
def test_a_mark_tells_its_values(browser, pages, variant):
    browser.open(pages[variant], 1280, "light")
    wait_for_charts(browser)
    x, y = browser.run(MARK)
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    tooltip = "document.querySelector('#vg-tooltip-element.visible')"
    until = time.monotonic() + 5
    while not browser.run(f"!!{tooltip}") and time.monotonic() < until:
        time.sleep(0.05)
    text = browser.run(f"{tooltip}.textContent")
    assert "p50, ms" in text and "p99, ms" in text
    assert browser.run(f"{tooltip}.querySelector('script') === null")
    assert variant == "whole" or DRAWN["HOSTILE"] in text
    assert browser.complaints() == []


def test_charts_follow_the_window(browser, pages):
    browser.open(pages["whole"], 1280, "light")
    wait_for_charts(browser)
    browser.call("Emulation.setDeviceMetricsOverride", width=400, height=900,
                 deviceScaleFactor=1, mobile=False)  # fmt: skip
    time.sleep(1)
    findings = browser.run(FINDINGS)
    assert findings == {key: [] for key in findings} | {"overflow": 0}


@pytest.mark.parametrize("variant", ["whole", "machines"])
def test_it_prints_with_everything_open(browser, pages, variant):
    browser.open(pages[variant], 1280, "dark")
    wait_for_charts(browser)
    answer = browser.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
    assert base64.b64decode(answer["data"]).startswith(b"%PDF")
    # A table that has a page in landscape takes its heading along.
    headings = "[...document.querySelectorAll('details:has(table) > summary')]"
    assert browser.run(f"{headings}.length")
    assert browser.run("[...document.querySelectorAll('details')].every(each => each.open)")
    # The widest table has a page in landscape: 297 mm less its margins, 96 pixels an inch.
    browser.call("Emulation.setDeviceMetricsOverride", width=1054, height=700,
                 deviceScaleFactor=1, mobile=False)  # fmt: skip
    browser.call("Emulation.setEmulatedMedia", media="print")
    pages_of_headings = f"{headings}.map(each => getComputedStyle(each.parentElement).page)"
    assert set(browser.run(pages_of_headings)) == {"landscape"}
    page = "document.documentElement"
    fits = f"{page}.scrollWidth <= {page}.clientWidth"
    until = time.monotonic() + 20  # charts follow the width a moment later
    while not browser.run(fits) and time.monotonic() < until:
        time.sleep(0.05)
    assert browser.run(fits)
    browser.call("Emulation.setEmulatedMedia", media="")
