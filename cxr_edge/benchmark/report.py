"""``report.json``: the document of one benchmark. This module is its schema.

Times are in milliseconds, sizes in bytes, scores in 0..1. ``null`` means "not measured": the
row's ``reason`` or ``problems``, or the report's ``warnings``, say why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cxr_edge import documents
from cxr_edge.benchmark.report_parts import (
    CHECK,
    MOST_LABEL_CHARACTERS,
    EndToEnd,
    FirstAnswer,
    Kind,
    Latency,
    Layer,
    MachineState,
    Platform,
    Roofline,
    Row,
    RowParity,
    Settings,
)
from cxr_edge.benchmark.upgrade import SCHEMA, upgraded
from cxr_edge.device.machine import Machine
from cxr_edge.errors import BenchmarkError
from cxr_edge.files import PathLike, printable, read_file

_MAX_BYTES = 2**26

__all__ = [
    "SCHEMA",
    "Answers",
    "EndToEnd",
    "FirstAnswer",
    "Kind",
    "Latency",
    "Layer",
    "MachineState",
    "Platform",
    "Report",
    "Roofline",
    "Row",
    "RowParity",
    "Settings",
    "SuiteRow",
    "Truth",
    "dump_report",
    "parse_report",
]


@dataclass(frozen=True, slots=True)
class Answers:
    """Scores of the original and of one row, input by input, for the plots."""

    row: str
    """Name of the row; its scores are ``exported``."""
    original: tuple[float, ...]
    """P(positive label) by the original; with more than two labels, P(decided label)."""
    exported: tuple[float, ...]
    flipped: tuple[bool, ...]

    def __post_init__(self) -> None:
        CHECK.not_empty(original=self.original)
        CHECK.equal_lengths(original=self.original, exported=self.exported, flipped=self.flipped)
        CHECK.all_shares(original=self.original, exported=self.exported)


@dataclass(frozen=True, slots=True)
class Truth:
    """True labels of the inputs, for models with two labels."""

    positive: tuple[bool, ...]
    """Whether each input has the positive label, in the order of the answers."""


@dataclass(frozen=True, slots=True)
class SuiteRow:
    """Median and interquartile range of one benchmark of ``make bench``."""

    group: str
    """The benchmarks it is compared with."""
    name: str
    """What was timed."""
    median_ms: float
    iqr_ms: float
    rounds: int

    def __post_init__(self) -> None:
        CHECK.durations(median_ms=self.median_ms, iqr_ms=self.iqr_ms)
        CHECK.counts(rounds=self.rounds)


@dataclass(frozen=True, slots=True)
class Report:
    """One benchmark."""

    schema: Literal["cxr-edge.benchmark/3"]
    """:data:`~cxr_edge.benchmark.upgrade.SCHEMA`."""
    label: str
    """What the user calls this run, at most 40 characters; empty: nothing."""
    created: str
    """Date and time, UTC, ISO 8601."""
    command: str
    """The command that makes this report again."""
    model: str
    bundle_sha256: str
    """Hash of the bundle's manifest."""
    files_sha256: dict[str, str]
    """Hash of each model file, by artifact."""
    threshold: float | None
    """Smallest score that is decided positive; null for more than two labels."""
    positive_label: str | None
    """The label that the score is the probability of; null for more than two labels."""
    revision: str | None
    """Git revision of the project; null: not run from a checkout."""
    versions: dict[str, str]
    """Versions of engines and packages."""
    machine: Machine
    platform: Platform | None
    """null: a report of version 1 or 2."""
    before: MachineState
    after: MachineState
    """Before and after all timing."""
    warnings: tuple[str, ...]
    """What makes the figures less trustworthy, and what could not be measured for any row."""
    settings: Settings
    limits: Roofline | None
    """The best this machine can do; null: it could not be measured, see ``warnings``."""
    baseline: str | None
    """Name of the row that the others are compared with, the stock float32 ONNX on onnxruntime;
    null: it was not measured."""
    rows: tuple[Row, ...]
    """Artifacts first, then baselines."""
    layers: dict[str, tuple[Layer, ...]]
    """The slowest operations, by name of the row."""
    answers: tuple[Answers, ...]
    """Scores of the artifacts run with one thread."""
    suite: tuple[SuiteRow, ...]
    """From a separate run; empty: none were given."""
    truth: Truth | None
    """Labels of the inputs in ``answers``; null: unlabelled, or more than two labels."""

    def __post_init__(self) -> None:
        if len(self.label) > MOST_LABEL_CHARACTERS:
            raise BenchmarkError(
                f"label has {len(self.label)} characters, expected at most {MOST_LABEL_CHARACTERS}"
            )
        CHECK.shares(threshold=self.threshold)
        if (self.threshold is None) != (self.positive_label is None):
            raise BenchmarkError("threshold and positive_label: both are null, or neither")
        names = [row.name for row in self.rows]
        if len(set(names)) < len(names):
            raise BenchmarkError("rows: two rows have the same name")
        if self.baseline is not None:
            CHECK.known_names("baseline", [self.baseline], names)
        CHECK.known_names("layers", self.layers, names)
        CHECK.known_names("answers", [answers.row for answers in self.answers], names)
        CHECK.equal_lengths(
            **{f"answers[{n}]": answers.original for n, answers in enumerate(self.answers)},
            **({"truth": self.truth.positive} if self.truth else {}),
        )
        if self.truth and self.positive_label is None:
            raise BenchmarkError("truth is there without a positive_label; expected null")


def dump_report(report: Report) -> bytes:
    """Write a report as JSON."""
    return documents.dump(report)


def parse_report(data: bytes, name: str) -> Report:
    """Read a report of this version or of an older one.

    What an older version did not measure is null.

    Args:
        data: UTF-8 JSON.
        name: name of the file, for error messages.

    Raises:
        BenchmarkError: it is malformed or of a newer version.
    """
    with documents.reported_as(name, BenchmarkError):
        document = upgraded(documents.load_json(data))
        report: Report = documents.Builder(None).build(document, Report, "")
    return report


def read_report(path: PathLike) -> Report:
    """Read the file of a report of this version or of an older one.

    Raises:
        BenchmarkError: it is absent, malformed or of a newer version.
    """
    data = read_file(path, max_bytes=_MAX_BYTES, error=BenchmarkError)
    return parse_report(data, printable(path))
