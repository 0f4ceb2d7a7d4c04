"""The page, the Markdown and the tables of several benchmarks."""

from __future__ import annotations

import dataclasses
import json
import re
import runpy
from pathlib import Path

import pytest

from cxr_edge.benchmark.report import parse_report
from cxr_edge.report.charts import png
from cxr_edge.report.machines import tables
from cxr_edge.report.machines.charts import machine_figures
from cxr_edge.report.machines.markdown import machines_markdown
from cxr_edge.report.machines.merge import merge_reports
from cxr_edge.report.machines.page import machines_page

TESTS = Path(__file__).parents[2]
Markup = runpy.run_path(str(TESTS / "report/conftest.py"))["Markup"]


def merge(*reports):
    return merge_reports([(f"{number}.json", report) for number, report in enumerate(reports)])


def cells(table, name):
    """Texts of a row by heading."""
    (row,) = [row for row in table.rows if row.cells[0].text == name]
    return {h.text: c.text for h, c in zip(table.headings, row.cells, strict=True)}


def test_every_figure_of_a_row_stands_beside_the_other_machine_s(server, pi):
    merged = merge(server, pi)
    assert cells(tables.speed_table(merged), "onnx-int8, onnxruntime, 1 thread") == {
        "row": "onnx-int8, onnxruntime, 1 thread",
        "A: p50, ms": "3.21",
        "B: p50, ms": "12.8",
        "B / A": "4.00",
        "A: \u00d7 float32": "2.55",
        "B: \u00d7 float32": "2.55",
        "A: flips": "1 of 304",
        "B: flips": "1 of 304",
        "A: max |Δscore|": "4.9e-02",
        "B: max |Δscore|": "4.9e-02",
    }
    absent = cells(tables.speed_table(merged), "onnx-fp32, openvino, 1 thread")
    assert (absent["A: p50, ms"], absent["B: p50, ms"], absent["B / A"]) == (
        ("6.60", "no row", "not measured")
    )
    failed = cells(tables.speed_table(merged), "onnx-fp16, onnxruntime, 1 thread")
    assert failed["A: p50, ms"] == failed["B: flips"] == "failed"


def test_memory_start_and_throughput_stand_side_by_side(server, pi):
    row = cells(tables.resources_table(merge(server, pi)), "onnx-int8, onnxruntime, 1 thread")
    assert [row[f"A: {name}"] for name in (
        "first answer, ms", "peak, MB", "average, MB", "images/s, 1 worker", "images/s, all CPUs"
    )] == ["122", "99", "90", "115", "207"]  # fmt: skip


def test_a_report_of_an_older_version_says_what_it_did_not_measure(server):
    kept = Path(__file__).parent / "data/version-2.json"
    old = parse_report(kept.read_bytes(), kept.name)
    row = cells(tables.resources_table(merge(server, old)), "onnx-int8, onnxruntime, 1 thread")
    assert row["B: average, MB"] == row["B: first answer, ms"] == "not measured"
    assert row["B: peak, MB"] == "85" and row["A: peak, MB"] == "99"


def test_another_file_is_said_to_be_one(server, other_bundle):
    table = tables.speed_table(merge(server, other_bundle))
    assert cells(table, "onnx-fp32, onnxruntime, 1 thread")["B / A"] == "other file"
    assert cells(table, "onnx-int8, onnxruntime, 1 thread")["B / A"] == "4.00"


def test_every_run_has_every_figure_in_the_long_table(server, pi):
    table = tables.all_figures_table(merge(server, pi))
    assert len(table.rows) == len(server.rows) + len(pi.rows)
    assert {len(row.cells) for row in table.rows} == {len(table.headings)}


@pytest.mark.parametrize("count", [2, 3, 8])
def test_a_page_is_well_formed_and_fetches_nothing(server, pi, other_bundle, count):
    others = [dataclasses.replace(other_bundle, label=str(n)) for n in range(count - 2)]
    page = machines_page(merge(server, pi, *others))
    markup = Markup(page)
    assert not {"img", "link", "iframe", "a"} & {tag for tag, _ in markup.tags}
    (text,) = re.findall(r'id="charts">(.*?)</script>', page.decode(), re.S)
    shown = [a["data-chart"] for a in markup.attributes("div") if "data-chart" in a]
    assert shown == list(json.loads(text)["charts"])
    assert shown == ["latency", "float32", "first", "memory", "throughput"]
    loud = [text for text in markup.of("h1") if "DIFFERENT BUNDLES" in text]
    assert bool(loud) == (count > 2)
    assert markup.of("h2")[0] == ("Different bundles" if count > 2 else "Warnings")


def test_every_chart_is_valid_and_draws_a_picture(server, pi):
    for figure in machine_figures(merge(server, pi)):
        figure.chart.to_dict(validate=True)
    assert png(figure.chart, width_px=360, scale=1).startswith(b"\x89PNG")


def test_markup_in_data_is_text_in_every_form(server, drawn):
    hostile = drawn.hostile(server)
    merged = merge(hostile, dataclasses.replace(hostile, command="</code><b>", label="|`x`|"))
    page = machines_page(merged)
    assert drawn.HOSTILE.encode() not in page
    assert not {"b", "img"} & {tag for tag, _ in Markup(page).tags}
    assert "<" not in machines_markdown(merged)


@pytest.mark.parametrize("variant", ["whole", "many labels", "one row", "nothing measured"])
def test_whatever_a_report_is_like_has_every_form(server, drawn, variant):
    report = drawn.VARIANTS[variant](server)
    merged = merge(report, dataclasses.replace(report, label="again"))
    text = machines_markdown(merged)
    for block in text.split("\n\n"):
        if block.startswith("| "):
            lines = [re.split(r"(?<!\\)\|", line) for line in block.splitlines()]
            assert len({len(line) for line in lines}) == 1
    Markup(machines_page(merged))


def test_facts_of_machines_are_not_sorted_and_have_no_empty_button(server, pi):
    page = machines_page(merge(server, pi)).decode()
    assert not re.search(r"<button[^>]*></button>", page)
    facts = page[page.index("Machines and measurements</h2>") :]
    assert "<table>" in facts and "aria-sort" not in facts[: facts.index("</table>")]


def test_marks_keep_away_from_the_ends_of_their_axis(server, pi):
    for figure in machine_figures(merge(server, pi)):
        scales = re.findall(
            r'"scale": (\{[^}]*"(?:type|zero)"[^}]*\})', json.dumps(figure.chart.to_dict())
        )
        assert scales and all(json.loads(scale)["padding"] > 0 for scale in scales)
