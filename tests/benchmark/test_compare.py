"""What became slower between two reports is told from noise and from another machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cxr_edge.benchmark.compare import compare_reports, comparison_text
from cxr_edge.benchmark.report import Latency, Report, Row, parse_report
from cxr_edge.errors import BenchmarkError

REPORT = Path(__file__).parents[2] / "benchmarks" / "report.json"


@pytest.fixture(scope="module")
def report() -> Report:
    """The committed report; all of its rows were measured."""
    return parse_report(REPORT.read_bytes(), REPORT.name)


def slowed(report: Report, factor: float, noise: float = 0.001, **changes: object) -> Report:
    """The same report with every time multiplied, and rounds that differ by a share."""

    def scale(row: Row) -> Row:
        latency = row.latency
        assert latency
        p50 = factor * latency.p50_ms
        rounds = tuple(p50 * (1 + noise * (-1) ** n) for n in range(40))
        changed = Latency(40, p50, p50, None, p50, p50, 0.0, rounds, rounds)
        return dataclasses.replace(row, latency=changed)

    return dataclasses.replace(report, rows=tuple(map(scale, report.rows)), **changes)  # type: ignore[arg-type]


def test_a_row_is_slower_beyond_the_limit_and_beyond_noise(report: Report) -> None:
    old = slowed(report, 1.0)
    assert not compare_reports(old, slowed(report, 1.05), 1.1).slower
    assert not compare_reports(old, slowed(report, 0.5), 1.1).slower
    slower = compare_reports(old, slowed(report, 1.2), 1.1)
    assert [change.name for change in slower.slower] == [row.name for row in report.rows]
    for change in slower.changes:
        assert change.ratio == pytest.approx(1.2) and 0 < change.noise < 0.01
    noisy = compare_reports(old, slowed(report, 1.2, noise=0.5), 1.1)
    assert all(change.noise > 0.2 for change in noisy.changes) and not noisy.slower
    text = comparison_text(slower, 1.1)
    assert text.count("SLOWER") == len(report.rows) and "1.200" in text


def test_rows_that_come_and_go_are_named(report: Report) -> None:
    first, *others = report.rows
    report = dataclasses.replace(report, baseline=None, layers={}, answers=(), truth=None)
    fewer = dataclasses.replace(report, rows=tuple(others))
    assert compare_reports(report, fewer, 1.1).gone == (first.name,)
    assert compare_reports(fewer, report, 1.1).new == (first.name,)
    text = comparison_text(compare_reports(report, fewer, 1.1), 1.1)
    assert f"only in the old report: {first.name}" in text
    with pytest.raises(BenchmarkError, match="no measured row in common"):
        compare_reports(dataclasses.replace(report, rows=(first,)), fewer, 1.1)


def test_another_machine_is_compared_by_ratios_to_the_same_baseline(report: Report) -> None:
    elsewhere = dataclasses.replace(report.machine, key="f" * 16)
    unanchored = dataclasses.replace(report, baseline=None)
    with pytest.raises(BenchmarkError, match="no baseline in common"):
        compare_reports(unanchored, dataclasses.replace(unanchored, machine=elsewhere), 1.1)

    def with_ratio(ratio: float) -> Report:
        rows = tuple(dataclasses.replace(row, of_baseline=ratio) for row in report.rows)
        return dataclasses.replace(report, rows=rows)

    noisy = slowed(with_ratio(0.6), 9.0, noise=0.5, machine=elsewhere)
    quiet = slowed(with_ratio(0.6), 9.0, machine=elsewhere).rows
    rows = [
        one if one.name == report.baseline else other
        for one, other in zip(noisy.rows, quiet, strict=True)
    ]
    beside_noise = dataclasses.replace(noisy, rows=tuple(rows))
    changes = compare_reports(slowed(with_ratio(0.4), 1.0), beside_noise, 1.1).changes
    assert all(change.noise > 0.2 for change in changes)

    old, new = slowed(with_ratio(0.4), 1.0), slowed(with_ratio(0.6), 9.0, machine=elsewhere)
    comparison = compare_reports(old, new, 1.1)
    assert not comparison.same_machine
    assert all(change.ratio == pytest.approx(1.5) for change in comparison.slower)
    assert len(comparison.slower) == len(report.rows)
