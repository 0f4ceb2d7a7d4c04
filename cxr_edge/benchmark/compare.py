"""Two reports, row by row: what became slower, beyond what the measurements themselves vary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cxr_edge.benchmark.report import Latency, Report, Row
from cxr_edge.errors import BenchmarkError

_SIGMAS = 3.0
# A median's standard error from the spread of what it is taken of, if that is normal:
# 1.4826 median absolute deviations are a standard deviation, sqrt(pi / 2) that of a median.
_MEDIAN_ERROR = 1.4826 * float(np.sqrt(np.pi / 2))


@dataclass(frozen=True, slots=True)
class Change:
    """One row, then and now."""

    name: str
    """The row."""
    old_ms: float
    """Its median then."""
    new_ms: float
    """Its median now."""
    ratio: float
    """Now over then: of the medians on the same machine, of the shares of the headline row on
    another one."""
    noise: float
    """What the ratio may differ from 1 by chance: three standard errors, from the rounds."""
    is_slower: bool
    """Whether it is slower by more than allowed, and by more than noise."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two reports."""

    same_machine: bool
    """Whether times themselves are compared; otherwise shares of the headline row."""
    changes: tuple[Change, ...]
    """Rows that both measured."""
    gone: tuple[str, ...]
    """Rows that were measured then and are not now."""
    new: tuple[str, ...]
    """Rows that are measured now and were not then."""

    @property
    def slower(self) -> tuple[Change, ...]:
        """The rows that became slower."""
        return tuple(change for change in self.changes if change.is_slower)


def compare_reports(old: Report, new: Report, max_slowdown: float) -> Comparison:
    """Compare rows of the same name.

    Args:
        old: the report to hold against.
        new: the one of now.
        max_slowdown: the largest ratio that is accepted, at least 1.

    Raises:
        BenchmarkError: there is no row in common, or the machines differ and a headline row is
            missing or not the same.
    """
    same = old.machine.key == new.machine.key
    if not same and (old.headline is None or old.headline != new.headline):
        raise BenchmarkError(
            f"the reports are of two machines ({old.machine.processor}; {new.machine.processor}) "
            "and have no baseline in common; measure both with Keras or a stock file"
        )
    before, after = dict(_measured(old)), dict(_measured(new))
    both = [name for name in before if name in after]
    if not both:
        raise BenchmarkError("the reports have no measured row in common")
    changes = []
    for name in both:
        (old_row, then), (new_row, now) = before[name], after[name]
        if same:
            ratio = now.p50_ms / then.p50_ms
        elif old_row.of_headline and new_row.of_headline:
            ratio = new_row.of_headline / old_row.of_headline
        else:
            continue
        noise = _SIGMAS * float(np.hypot(_relative_error(then), _relative_error(now)))
        is_slower = ratio > max_slowdown and ratio - 1 > noise
        changes.append(Change(name, then.p50_ms, now.p50_ms, ratio, noise, is_slower))
    gone = tuple(name for name in before if name not in after)
    added = tuple(name for name in after if name not in before)
    return Comparison(same, tuple(changes), gone, added)


def comparison_text(comparison: Comparison, max_slowdown: float) -> str:
    """The table that a person reads."""
    what = "medians" if comparison.same_machine else "shares of the headline row"
    lines = [f"ratios of {what}; slower: above {max_slowdown:g} and beyond noise", ""]
    lines.append(f"{'then ms':>8}  {'now ms':>8}  {'ratio':>6}  {'noise':>6}  row")
    for change in comparison.changes:
        note = "  SLOWER" if change.is_slower else ""
        lines.append(
            f"{change.old_ms:8.3f}  {change.new_ms:8.3f}  {change.ratio:6.3f}  "
            f"{change.noise:6.3f}  {change.name}{note}"
        )
    lines += [f"not measured any more: {name}" for name in comparison.gone]
    lines += [f"not measured before: {name}" for name in comparison.new]
    return "\n".join(lines)


def _measured(report: Report) -> Iterator[tuple[str, tuple[Row, Latency]]]:
    for row in report.rows:
        if row.latency is not None:
            yield row.name, (row, row.latency)


def _relative_error(latency: Latency) -> float:
    """Standard error of the median over its rounds, as a share of it."""
    rounds = np.asarray(latency.rounds_ms)
    spread = np.median(np.abs(rounds - np.median(rounds)))
    return _MEDIAN_ERROR * float(spread) / latency.p50_ms / float(np.sqrt(len(rounds)))
