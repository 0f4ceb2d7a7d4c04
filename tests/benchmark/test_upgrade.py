"""Reports of older versions are read, what they did not measure is null; others are one line."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from cxr_edge.benchmark.report import Report, dump_report, parse_report
from cxr_edge.errors import BenchmarkError

DRAWN = runpy.run_path(str(Path(__file__).parent / "drawn.py"))


@pytest.fixture
def report() -> Report:
    return DRAWN["draw_report"]()  # type: ignore[no-any-return]


def version_2(report: Report) -> dict[str, Any]:
    """The document as version 2 wrote it."""
    document: dict[str, Any] = json.loads(dump_report(report))
    document["schema"] = "cxr-edge.benchmark/2"
    for key in ("label", "platform", "baseline"):
        del document[key]
    document["headline"] = DRAWN["KERAS"]
    for row in document["rows"]:
        row["precision"] = row["precision"].replace("float32", "fp32")
        row["of_headline"] = row.pop("of_baseline")
        for part, keys in (
            ("latency", ("inferences",)),
            ("start", ("to_first_ms", "average_mb")),
            ("end_to_end", ("images_per_second_1",)),
        ):
            for key in keys if row[part] else ():
                del row[part][key]
    return document


def version_1(report: Report) -> dict[str, Any]:
    """Version 2 added the problems of a row."""
    document = version_2(report)
    document["schema"] = "cxr-edge.benchmark/1"
    for row in document["rows"]:
        del row["problems"]
    return document


def read(document: object) -> Report:
    return parse_report(json.dumps(document).encode(), "old.json")


@pytest.mark.parametrize("write", [version_1, version_2])
def test_what_an_older_version_did_not_measure_is_null(report, write):
    old = read(write(report))
    assert (old.label, old.platform, old.baseline) == ("", None, DRAWN["BASELINE"])
    for row, new in zip(old.rows, report.rows, strict=True):
        assert row.name == new.name
        if row.start and new.start:
            assert row.start.to_first_ms is None and row.start.average_mb is None
            assert row.start.peak_mb == new.start.peak_mb
        if row.end_to_end:
            assert row.end_to_end.images_per_second_1 is None
        if row.latency and new.latency:
            assert row.latency == new.latency  # of 300 inferences
            ratio = new.latency.p50_ms / 8.2
            assert row.of_baseline == pytest.approx(ratio, rel=0.03)
    assert parse_report(dump_report(old), "again") == old


def test_a_p99_of_too_few_inferences_and_a_baseline_that_did_not_run_are_left_out(report):
    document = version_2(report)
    document["rows"] = [row for row in document["rows"] if row["name"] != DRAWN["BASELINE"]]
    for row in document["rows"]:
        if row["latency"]:
            del row["latency"]["samples_ms"][299:]
    old = read(document)
    assert old.baseline is None and all(row.of_baseline is None for row in old.rows)
    assert {row.latency.p99_ms for row in old.rows if row.latency} == {None}


def test_the_kept_report_is_read():
    kept = Path(__file__).parents[2] / "benchmarks/report.json"
    report = parse_report(kept.read_bytes(), kept.name)
    assert report.baseline == DRAWN["BASELINE"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": "cxr-edge.benchmark/4"}, "reads up to 3; update cxr-edge"),
        ({"schema": "cxr-edge.benchmark/999999999"}, "reads up to 3; update cxr-edge"),
        ({"schema": "cxr-edge.benchmark/0"}, "expected cxr-edge.benchmark/1 to 3"),
        ({"schema": "cxr-edge.benchmark/3.1"}, "expected cxr-edge.benchmark/1 to 3"),
        ({"schema": "cxr-edge.evaluation/1"}, "expected cxr-edge.benchmark/1 to 3"),
        ({"schema": ["cxr-edge.benchmark/2"]}, "expected cxr-edge.benchmark/1 to 3"),
        ({"rows": 5}, "is no report of version 2"),
        ({"rows": None}, "is no report of version 2"),
        ({"rows": [{}]}, "is missing"),
        ({"platform": None}, "is no report of version 2: has 'platform'"),
        ({"surprise": 1}, "unknown key 'surprise'"),
    ],
)
def test_what_is_no_report_is_refused_in_one_line(report, change, words):
    document = {**version_2(report), **change}
    with pytest.raises(BenchmarkError, match=r"^old\.json: ") as caught:
        read(document)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[: len(data) // 2], "not valid JSON"),
        (lambda data: data.replace(b"0.12,", b"NaN,", 1), "NaN is not a number that JSON knows"),
        (lambda data: data.replace(b"0.12,", b"1e999,", 1), "is not a finite number"),
        (lambda data: data.replace(b'"headline"', b'"schema": 1, "headline"', 1), "occurs twice"),
        (lambda data: b"[" * 2**22, "nested too deeply"),
        (lambda data: b'{"a":' * 2**20, "nested too deeply"),
        (lambda data: b"\xff" + data, "not valid JSON"),
        (lambda data: b"", "not valid JSON"),
    ],
)
def test_damaged_json_of_an_old_version_is_refused_as_of_the_newest(report, damage, words):
    data = damage(json.dumps(version_2(report)).encode())
    with pytest.raises(BenchmarkError, match=r"^old\.json: ") as caught:
        parse_report(data, "old.json")
    assert words in str(caught.value) and "\n" not in str(caught.value)
