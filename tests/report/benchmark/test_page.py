"""The benchmark's page: what it says, in which order, for every kind of report."""

from __future__ import annotations

import dataclasses
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

from cxr_edge.benchmark.report import dump_report, parse_report
from cxr_edge.bundle.manifest import NOTICE
from cxr_edge.report.benchmark.columns import COLUMNS, FLIPS, KEY_COLUMNS, MAX_DELTA, P50, TIMES
from cxr_edge.report.benchmark.page import report_page

Markup = runpy.run_path(str(Path(__file__).parents[1] / "conftest.py"))["Markup"]


def stored_charts(page: bytes) -> dict[str, dict]:
    (text,) = re.findall(r'id="charts">(.*?)</script>', page.decode(), re.S)
    return json.loads(text)["charts"]


def text_of(page: bytes) -> str:
    """Everything that is shown, in order."""
    hidden = ("script", "style", "title")
    return "\n".join(text for tag, text in Markup(page).texts if tag not in hidden)


def test_the_drawn_report_is_one(any_report):
    assert parse_report(dump_report(any_report), "drawn") == any_report


def test_every_report_has_a_well_formed_page(any_report):
    page = report_page(any_report)
    markup = Markup(page)
    shown = [a["data-chart"] for a in markup.attributes("div") if "data-chart" in a]
    charts = stored_charts(page) if b'id="charts"' in page else {}
    assert len(set(shown)) == len(shown)
    assert shown == list(charts)
    assert not {"img", "link", "iframe"} & {tag for tag, _ in markup.tags}
    assert [a["href"] for a in markup.attributes("a")] == ["#again"]


def test_markup_in_data_is_text(draw_report, drawn):
    page = report_page(drawn.hostile(draw_report()))
    assert drawn.HOSTILE.encode() not in page
    assert text_of(page).count(drawn.HOSTILE) > 20
    page = report_page(draw_report(model='"><img src=x>', command="</code></pre><b>"))
    markup = Markup(page)
    assert not {"img", "b"} & {tag for tag, _ in markup.tags}
    assert "</code></pre><b>" in markup.of("code")


def test_what_comes_first(whole_page):
    text = text_of(whole_page)
    order = [
        NOTICE,
        "Benchmark of chest-xray-reference",
        "tflite-dynamic on litert runs one inference",
        "Measured 2025-06-01 12:00 UTC",
        "The load average was 1.05",
        "Results",
        "All figures of every row",
        "What the columns mean",
        "Speed",
        "Latency and its spread",
        "Speed against accuracy",
        "Start of a process",
        "Score differences",
        "ROC of PNEUMONIA",
        "Reliability of the scores",
        "From an image file to a decision",
        "Share of the roofline",
        "Slowest operations of onnx-int8",
        "make bench",
        "Machine and measurement",
        "Command to reproduce this page",
        "cxr-edge benchmark --images",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_the_verdict_is_about_the_fastest_file_with_the_same_decisions(whole_page):
    text = text_of(whole_page)
    assert (
        "tflite-dynamic on litert runs one inference in 5.10 ms (median), 1.61 times as fast as "
        "the float32 baseline (stock ONNX, onnxruntime), and makes the same decisions as the "
        "original model on 304 inputs (the images): 0 flips." in text
    )
    assert (
        "4 of 12 exported rows change decisions, at most 2 of 304 (tflite-int8 on litert)" in text
    )
    assert "onnx-int8 on onnxruntime is faster (3.21 ms) but changes 1 of 304 decisions." in text


def test_the_verdict_admits_flips_and_missing_comparisons(draw_report, drawn):
    row = drawn.draw_row(0)
    page = text_of(report_page(draw_report(rows=(row,), baseline=None)))
    assert "and changes 1 of the original model's decisions (flips) on 304 inputs" in page
    page = text_of(report_page(draw_report(rows=(dataclasses.replace(row, parity=None),))))
    assert "its scores were not compared with the original model's" in page
    page = text_of(report_page(drawn.nothing_measured(draw_report())))
    assert "No exported file could be measured here" in page


def test_all_files_with_the_same_decisions_are_said_to_be_so(draw_report, drawn):
    rows = (drawn.draw_row(1), drawn.draw_row(2))
    text = text_of(report_page(draw_report(rows=rows)))
    assert "All 2 exported rows make the same decisions as the original (0 flips)." in text


def test_speed_up_flips_and_differences_are_among_the_first_columns(whole_page):
    headings = [c.heading for c in KEY_COLUMNS]
    assert headings[0] == "row"
    for columns in (KEY_COLUMNS, COLUMNS):
        assert {P50, TIMES, FLIPS, MAX_DELTA} <= set(columns[:7])
    markup = Markup(whole_page)
    texts = markup.of("button")
    assert texts[: len(headings)] == headings
    assert texts[len(headings) : len(headings) + len(COLUMNS)] == [c.heading for c in COLUMNS]


def test_every_column_has_its_definition_on_hover_and_in_the_list(whole_page):
    markup = Markup(whole_page)
    hovers = {attributes.get("title") for attributes in markup.attributes("th")}
    listed = markup.of("dd")
    for column in COLUMNS:
        assert column.definition in hovers
        assert listed.count(column.definition) == 1


def test_rows_that_were_not_measured_say_why(draw_report, drawn):
    row = dataclasses.replace(drawn.draw_row(0), problems=("start: the process crashed",))
    report = draw_report()
    markup = Markup(report_page(dataclasses.replace(report, rows=(row, *report.rows[1:]))))
    items = markup.of("li")
    assert f"{row.name}: measured: start: the process crashed" in items
    assert "onnx-fp16, onnxruntime, 1 thread: failed: EngineError: no kernel for it" in items
    assert "tflite-int8, openvino, 1 thread: skipped: openvino reads no int8 .tflite" in items


def test_changed_decisions_stand_out(draw_report, drawn):
    markup = Markup(report_page(draw_report(rows=(drawn.draw_row(0), drawn.draw_row(1)))))
    tones = [a["class"] for a in markup.attributes("td") if a["data-value"] in ("0", "1")]
    assert "number warning" in tones
    assert "number good" in tones


def test_the_best_row_is_marked(whole_page):
    markup = Markup(whole_page)
    assert [a.get("class") for a in markup.attributes("tr")].count("best") == 2  # in both tables


def test_without_warnings_there_is_no_box(draw_report):
    assert b'role="note"' not in report_page(draw_report(warnings=()))


def test_without_labels_there_is_no_roc(draw_report, drawn):
    for change in (drawn.unlabelled, drawn.many_labels):
        charts = stored_charts(report_page(change(draw_report())))
        assert not {"roc", "reliability"} & set(charts)
        assert "scores-1" in charts


def test_more_than_two_labels_have_neither_threshold_nor_positive_label(draw_report, drawn):
    page = report_page(drawn.many_labels(draw_report()))
    text = text_of(page)
    assert "the label with the largest score" in text
    assert "The score is the probability of the decided label." in text
    assert "P(decided label) by the original" in page.decode()
    assert "threshold" not in text
    assert "PNEUMONIA" not in text.replace("189 PNEUMONIA", "")


def test_what_was_not_measured_is_said_so(draw_report, drawn):
    row = drawn.draw_row(1)
    latency = dataclasses.replace(row.latency, inferences=120, p99_ms=None)
    start = dataclasses.replace(row.start, to_first_ms=None, average_mb=None)
    row = dataclasses.replace(row, latency=latency, start=start, of_baseline=None)
    page = report_page(draw_report(rows=(row,), platform=None))
    cells = Markup(page).of("td")
    # In both tables: ratio, p99, first answer, average memory.
    assert cells.count("not measured") == 8
    text = text_of(page)
    assert "float32 is not measured: the stock float32 ONNX on onnxruntime" in text
    assert "p99 is left out: 120 inferences for each row, and it needs 300." in text


def test_markdown_needs_no_extra():
    code = (
        "import sys, cxr_edge.report.benchmark.markdown; "
        "print({'altair', 'jinja2', 'vl_convert', 'cxr_edge.report.page'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_measuring_imports_nothing_of_the_report():
    code = (
        "import sys, cxr_edge.benchmark.runner; "
        "print([name for name in sys.modules if name.startswith('cxr_edge.report.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
