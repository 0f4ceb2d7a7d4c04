"""``report.json``: the document of one benchmark. This module is its schema.

Times are in milliseconds, sizes in bytes, scores in 0..1. ``null`` means "not measured": the
row's ``reason`` or ``problems``, or the report's ``warnings``, say why.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from cxr_edge import documents
from cxr_edge.benchmark.report_parts import (
    CHECK,
    Answers,
    EndToEnd,
    FirstAnswer,
    Kind,
    Latency,
    Layer,
    MachineState,
    Roofline,
    Row,
    RowParity,
    Settings,
    SuiteRow,
    Truth,
)
from cxr_edge.device.machine import Machine
from cxr_edge.errors import BenchmarkError
from cxr_edge.files import PathLike, printable, read_file

SCHEMA = "cxr-edge.benchmark/2"
"""Name and version; the version rises whenever a key is added, removed or changes its meaning."""
_SCHEMA_1 = "cxr-edge.benchmark/1"
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
class Report:
    """One benchmark."""

    schema: Literal["cxr-edge.benchmark/2"]
    """:data:`SCHEMA`."""
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
    before: MachineState
    after: MachineState
    """Before and after all timing."""
    warnings: tuple[str, ...]
    """What makes the figures less trustworthy, and what could not be measured for any row."""
    settings: Settings
    limits: Roofline | None
    """The best this machine can do; null: it could not be measured, see ``warnings``."""
    headline: str | None
    """Name of the baseline that rows are compared with; null: no suitable baseline ran."""
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
        CHECK.shares(threshold=self.threshold)
        if (self.threshold is None) != (self.positive_label is None):
            raise BenchmarkError("threshold and positive_label: both are null, or neither")
        names = [row.name for row in self.rows]
        if len(set(names)) < len(names):
            raise BenchmarkError("rows: two rows have the same name")
        if self.headline is not None:
            CHECK.known_names("headline", [self.headline], names)
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
    """Read a report of this version or of version 1.

    Args:
        data: UTF-8 JSON.
        name: name of the file, for error messages.

    Raises:
        BenchmarkError: it is malformed or of another version.
    """
    return documents.parse(_upgraded(data), Report, name=name, error=BenchmarkError)


def read_report(path: PathLike) -> Report:
    """Read the file of a report of this version or of version 1.

    Raises:
        BenchmarkError: it is absent, malformed or of another version.
    """
    data = read_file(path, max_bytes=_MAX_BYTES, error=BenchmarkError)
    return parse_report(data, printable(path))


def _upgraded(data: bytes) -> bytes:
    """Version 1 lacks ``problems`` of a row; anything else is returned unchanged."""
    try:
        document = json.loads(data)
        if document["schema"] != _SCHEMA_1:
            return data
        rows = [{**row, "problems": []} for row in document["rows"]]
        return json.dumps({**document, "schema": SCHEMA, "rows": rows}).encode()
    except (
        ValueError,
        LookupError,
        TypeError,
        RecursionError,
    ):  # documents.parse says why
        return data
