from __future__ import annotations

import re

import pytest

from cxr_edge.report.benchmark.columns import COLUMNS, COMPACT_COLUMNS, delta, figure, percent
from cxr_edge.report.benchmark.markdown import compact_table, plain, report_markdown


def tables(text: str) -> list[list[list[str]]]:
    """The cells of each table, by lines."""
    blocks = [block for block in text.split("\n\n") if block.startswith("| ")]
    cells = [
        [re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()] for block in blocks
    ]
    return [[[cell.strip() for cell in line] for line in table] for table in cells]


def test_tables_are_as_wide_as_their_heads(any_report):
    text = report_markdown(any_report)
    assert text.endswith("\n")
    for table in tables(text):
        assert {len(line) for line in table} == {len(table[0])}


def test_the_report_says_all(draw_report):
    text = report_markdown(draw_report())
    for line in (
        "# Benchmark of chest-xray-reference",
        "**Research software, not a medical device. Not for diagnosis or treatment.**",
        "- The load average was 1.05: something else ran.",
        "| Usable CPUs | 2 |",
        "## From a file to a decision, ms",
        "## Slowest operations of onnx-int8, onnxruntime, 1 thread",
        "    cxr-edge benchmark --images ../shared/data/test --threads 1 --threads 2 -o report",
    ):
        assert line in text.splitlines()
    assert "1.61 times as fast as the float32 baseline (stock ONNX, onnxruntime)" in text
    for column in COLUMNS:
        assert f"- **{plain(column.heading)}**: {plain(column.definition)}" in text


def test_markup_in_data_is_text(draw_report, drawn):
    text = report_markdown(drawn.hostile(draw_report()))
    outside = [line for line in text.splitlines() if not line.startswith("    ")]
    assert "<" not in "".join(outside)
    assert r"failed: \`&lt;script&gt;alert(1)&lt;/script&gt;\` \| and \*more\*" in text


def test_a_command_stays_a_block_of_code(draw_report):
    text = report_markdown(draw_report(command="one\n```\n# two"))
    assert text.endswith("\n\n    one\n    ```\n    # two\n")


def test_the_readme_shows_one_thread_and_what_was_measured(draw_report, drawn):
    table = tables(compact_table(draw_report(), COMPACT_COLUMNS))[0]
    names = [line[0] for line in table[2:]]
    assert len(names) == 10
    assert names[0] == "onnx-int8, onnxruntime, 1 thread"
    assert drawn.KERAS in names
    assert not any("2 threads" in name or "fp16" in name for name in names)
    heads = table[0]
    assert dict(zip(heads[5:], table[2][5:], strict=True)) == {
        "\u00d7 float32": "2.55",
        "first answer, ms": "122",
        "peak, MB": "99",
        "average, MB": "90",
        "images/s, 1 worker": "115",
        "images/s, all CPUs": "207",
        r"max \|Δscore\|": "4.9e-02",
        "flips": "1 of 304",
    }
    keras = table[2 + names.index(drawn.KERAS)]
    assert keras[5:] == ["0.20", *["not measured"] * 5, "", ""] and keras[1] == ""


def test_the_readme_shows_the_fewest_threads_where_one_was_not_tried(draw_report, drawn):
    table = tables(
        compact_table(draw_report(rows=(drawn.draw_row(7), drawn.draw_row(8))), COMPACT_COLUMNS)
    )[0]
    assert len(table) == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.01234, "0.0123"), (0.5, "0.50"), (9.999, "10.0"), (99.97, "100"),
     (1234.5, "1,234")],
)  # fmt: skip
def test_figures_have_three_digits(value, text):
    assert figure(value) == text


def test_differences_and_shares():
    assert (delta(0), delta(0.0488)) == ("0", "4.9e-02")
    assert (percent(0.034), percent(0.59), percent(1.08)) == ("3.4 %", "59 %", "108 %")
