"""Two reports, row by row: what became slower by more than measurement noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cxr_edge.benchmark.report import Latency, Report, Row
from cxr_edge.errors import BenchmarkError

_SIGMAS = 3.0
# Standard error of the median of normal samples: their standard deviation is 1.4826 times the
# median absolute deviation, and a median's error is sqrt(pi / 2) times a mean's.
_MEDIAN_ERROR = 1.4826 * float(np.sqrt(np.pi / 2))


@dataclass(frozen=True, slots=True)
class RowChange:
    """One row in two reports."""

    name: str
    """Name of the row."""
    old_ms: float
    """Median latency in the old report."""
    new_ms: float
    """Median latency in the new report."""
    ratio: float
    """New over old: of the medians on the same machine, of the ratios to the baseline
    on different machines."""
    noise: float
    """How far the ratio may be from 1 by chance: three standard errors, from the rounds."""
    is_slower: bool
    """Whether the ratio exceeds both the accepted slowdown and the noise."""


@dataclass(frozen=True, slots=True)
class ReportComparison:
    """The rows of two reports."""

    same_machine: bool
    """Whether latencies are compared; otherwise their ratios to the baseline."""
    changes: tuple[RowChange, ...]
    """Rows measured in both reports."""
    gone: tuple[str, ...]
    """Rows measured in the old report only."""
    new: tuple[str, ...]
    """Rows measured in the new report only."""

    @property
    def slower(self) -> tuple[RowChange, ...]:
        """Rows that became slower."""
        return tuple(change for change in self.changes if change.is_slower)


def compare_reports(old: Report, new: Report, max_slowdown: float) -> ReportComparison:
    """Compare the latencies of rows with the same name.

    Args:
        old: the reference.
        new: the report to judge.
        max_slowdown: the largest accepted ratio, at least 1.

    Raises:
        BenchmarkError: no row was measured in both, or the machines differ and the reports have
            no baseline in common.
    """
    same_machine = old.machine.key == new.machine.key
    if not same_machine and (old.baseline is None or old.baseline != new.baseline):
        raise BenchmarkError(
            f"the reports are from two machines ({old.machine.processor}; "
            f"{new.machine.processor}) and have no baseline in common; "
            "benchmark both where TensorFlow is installed"
        )
    old_rows, new_rows = dict(_measured_rows(old)), dict(_measured_rows(new))
    common = [name for name in old_rows if name in new_rows]
    if not common:
        raise BenchmarkError("the reports have no measured row in common")
    changes = []
    for name in common:
        (old_row, old_latency), (new_row, new_latency) = old_rows[name], new_rows[name]
        if same_machine:
            ratio = new_latency.p50_ms / old_latency.p50_ms
        elif old_row.of_baseline and new_row.of_baseline:
            ratio = new_row.of_baseline / old_row.of_baseline
        else:
            continue
        errors = [_relative_error(old_latency), _relative_error(new_latency)]
        if not same_machine:
            baseline = str(old.baseline)
            errors += [_relative_error(rows[baseline][1]) for rows in (old_rows, new_rows)]
        noise = _SIGMAS * float(np.linalg.norm(errors))
        is_slower = ratio > max_slowdown and ratio - 1 > noise
        changes.append(
            RowChange(name, old_latency.p50_ms, new_latency.p50_ms, ratio, noise, is_slower)
        )
    gone = tuple(name for name in old_rows if name not in new_rows)
    added = tuple(name for name in new_rows if name not in old_rows)
    return ReportComparison(same_machine, tuple(changes), gone, added)


def comparison_text(comparison: ReportComparison, max_slowdown: float) -> str:
    """A table of all changes, with rows that are slower marked."""
    compared = "medians" if comparison.same_machine else "ratios to the baseline"
    lines = [f"new over old {compared}; slower: above {max_slowdown:g} and beyond noise", ""]
    lines.append(f"{'old ms':>8}  {'new ms':>8}  {'ratio':>6}  {'noise':>6}  row")
    for change in comparison.changes:
        note = "  SLOWER" if change.is_slower else ""
        lines.append(
            f"{change.old_ms:8.3f}  {change.new_ms:8.3f}  {change.ratio:6.3f}  "
            f"{change.noise:6.3f}  {change.name}{note}"
        )
    lines += [f"only in the old report: {name}" for name in comparison.gone]
    lines += [f"only in the new report: {name}" for name in comparison.new]
    return "\n".join(lines)


def _measured_rows(report: Report) -> Iterator[tuple[str, tuple[Row, Latency]]]:
    for row in report.rows:
        if row.latency is not None:
            yield row.name, (row, row.latency)


def _relative_error(latency: Latency) -> float:
    """Standard error of the median, estimated from its rounds, divided by the median."""
    rounds = np.asarray(latency.rounds_ms)
    spread = np.median(np.abs(rounds - np.median(rounds)))
    return _MEDIAN_ERROR * float(spread) / latency.p50_ms / float(np.sqrt(len(rounds)))
