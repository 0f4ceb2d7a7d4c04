"""Which JSON has a page, and what is said of any other."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from cxr_edge.benchmark.report import dump_report
from cxr_edge.errors import BenchmarkError, MissingExtraError, UsageError
from cxr_edge.report.documents import draw_page

DRAWN = runpy.run_path(str(Path(__file__).parents[1] / "benchmark/drawn.py"))


@pytest.fixture
def report_json(tmp_path) -> Path:
    path = tmp_path / "evaluation.json"  # the document says what it is, not its name
    path.write_bytes(dump_report(DRAWN["draw_report"]()))
    return path


def test_a_benchmark_is_recognised_by_its_schema(report_json):
    assert b"<h1>Benchmark of chest-xray-reference</h1>" in draw_page(report_json)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not JSON", "is not JSON"),
        ("\x00\xff", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "it has no schema"),
        ('"cxr-edge.benchmark/2"', "it has no schema"),
        ("{}", "it has no schema"),
        ('{"schema": 2}', "its schema is 2"),
        ('{"schema": "cxr-edge.benchmarks/2"}', "its schema is 'cxr-edge.benchmarks/2'"),
        ('{"schema": "</script>"}', "its schema is '</script>'"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, text, reason):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        draw_page(path)
    assert reason in str(caught.value)
    assert "expected the JSON that `cxr-edge benchmark`" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_a_wrong_call(tmp_path):
    with pytest.raises(UsageError, match=r"none\.json"):
        draw_page(tmp_path / "none.json")


def test_a_damaged_benchmark_is_refused(report_json):
    document = json.loads(report_json.read_bytes())
    for change in ({"rows": 1}, {"schema": "cxr-edge.benchmark/9"}, {"surprise": True}):
        report_json.write_text(json.dumps({**document, **change}))
        with pytest.raises(BenchmarkError, match=r"evaluation\.json"):
            draw_page(report_json)


def test_without_the_extra_the_error_names_it(report_json, monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(MissingExtraError, match=r"cxr-edge\[report\]"):
        draw_page(report_json)
