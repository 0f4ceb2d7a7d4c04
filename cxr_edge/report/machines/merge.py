"""Reports of several machines, or of several runs of one, as one: rows aligned, files compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

from cxr_edge.benchmark.report import Report, Row, parse_report
from cxr_edge.errors import UsageError
from cxr_edge.files import printable, read_file
from cxr_edge.report.theme import SERIES

MOST_RUNS = len(SERIES)
"""Runs on a page: each has a colour."""
_MAX_BYTES = 2**26

_Key = tuple[str, str, str, int, int]


@dataclass(frozen=True, slots=True)
class Run:
    """One report among several."""

    letter: str
    """A, B, ...: in the headings of tables."""
    name: str
    """The label that it was given, or its processor; different from the names of other runs."""
    file: str
    """Name of the file that it was read from."""
    report: Report

    @property
    def title(self) -> str:
        """Letter and name."""
        return f"{self.letter}: {self.name}"


@dataclass(frozen=True, slots=True)
class MergedRow:
    """One way to run the network, on every machine."""

    name: str
    rows: tuple[Row | None, ...]
    """The row of each run; None: the run has no such row."""
    same_file: tuple[bool, ...]
    """Whether each run had the same model file as the first run that has the row."""

    def ratio(self, run: int) -> float | None:
        """The median of a run divided by the first run's; None: not measured, or another file."""
        first, other = self.rows[0], self.rows[run]
        if not (first and other and first.latency and other.latency and self.same_file[run]):
            return None
        return other.latency.p50_ms / first.latency.p50_ms


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Reports to be shown together."""

    runs: tuple[Run, ...]
    """At least two."""
    rows: tuple[MergedRow, ...]
    """Every row of any run, those of the first run first."""

    @property
    def one_bundle(self) -> bool:
        """Whether all runs measured the same bundle."""
        return len({run.report.bundle_sha256 for run in self.runs}) == 1

    @property
    def one_machine(self) -> bool:
        """Whether all runs are of the same kind of machine: CPU model, instructions and CPUs."""
        return len({run.report.machine.key for run in self.runs}) == 1


def read_reports(paths: Sequence[Path]) -> SideBySide:
    """Read benchmarks and put them side by side.

    Raises:
        BenchmarkError: one is no report that this version reads.
        UsageError: one cannot be read or is given twice, or there are too many.
    """
    if len(paths) > MOST_RUNS:
        raise UsageError(f"{len(paths)} benchmarks, expected at most {MOST_RUNS} side by side")
    reports: list[Report] = []
    for path in paths:
        data = read_file(path, max_bytes=_MAX_BYTES, error=UsageError)
        report = parse_report(data, printable(path))
        if report in reports:
            raise UsageError(
                f"{printable(path)}: the same report as {printable(paths[reports.index(report)])}; "
                "expected reports of different runs"
            )
        reports.append(report)
    return merge_reports([(printable(p.name), r) for p, r in zip(paths, reports, strict=True)])


def merge_reports(reports: Sequence[tuple[str, Report]]) -> SideBySide:
    """Put reports side by side.

    Args:
        reports: name of the file and report, from 2 to :data:`MOST_RUNS`.
    """
    names = _names([report for _, report in reports])
    runs = tuple(
        Run(letter, name, file, report)
        for letter, name, (file, report) in zip(ascii_uppercase, names, reports, strict=False)
    )
    by_run = [_by_key(run.report.rows) for run in runs]
    keys = dict.fromkeys(key for rows in by_run for key in rows)
    return SideBySide(runs, tuple(_merged(key, by_run, runs) for key in keys))


def _merged(key: _Key, by_run: Sequence[dict[_Key, Row]], runs: Sequence[Run]) -> MergedRow:
    rows = tuple(rows.get(key) for rows in by_run)
    files = [_file(row, run.report) if row else None for row, run in zip(rows, runs, strict=True)]
    first = next(file for file in files if file is not None)
    name = next(row.name for row in rows if row)
    return MergedRow(name, rows, tuple(file == first for file in files))


def _by_key(rows: Sequence[Row]) -> dict[_Key, Row]:
    """Rows by artifact, engine and threads, a baseline by its name; equal ones are numbered."""
    seen = Counter[tuple[str, str, str, int]]()
    by_key: dict[_Key, Row] = {}
    for row in rows:
        key = row.kind, row.artifact or row.name, row.engine, row.threads
        by_key[(*key, seen[key])] = row
        seen[key] += 1
    return by_key


def _file(row: Row, report: Report) -> str:
    """Identifies the model that a row ran; a baseline is the original of its bundle."""
    return report.files_sha256.get(row.artifact or "", report.bundle_sha256)


def _names(reports: Sequence[Report]) -> list[str]:
    """A name for each run; several of one name are numbered."""
    names = [report.label or _machine_name(report) for report in reports]
    counts, seen = Counter(names), Counter[str]()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(f"{name}, run {seen[name]}" if counts[name] > 1 else name)
    return numbered


def _machine_name(report: Report) -> str:
    cpus = report.machine.cpus
    return f"{report.machine.processor}, {cpus} CPU{'s' if cpus != 1 else ''}"
