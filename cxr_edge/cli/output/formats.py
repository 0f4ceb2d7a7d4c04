"""Predictions as text: a table for people; JSON, JSON lines and CSV with a documented schema.

``docs/predictions.md`` describes the schema. Its version changes when a key changes its meaning or
goes away.
"""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from cxr_edge.cli.output.tables import Cell, Column, Styled, stream_table
from cxr_edge.files import printable
from cxr_edge.results import SCHEMA, Failure, Prediction, to_document
from cxr_edge.spec import ModelSpec

Format = Literal["table", "json", "jsonl", "csv"]
Result = Prediction | Failure


class Tally:
    """Counts results that pass."""

    def __init__(self, *, has_band: bool) -> None:
        """Begin at 0.

        Args:
            has_band: whether the model can call a score uncertain.
        """
        self.predicted = self.failed = self.left_out = 0
        """Predictions, failures and files left out of a folder, so far."""
        self.first_failure: Failure | None = None
        self._has_band, self._knows_domain = has_band, False
        self._uncertain = self._outside = 0

    def count(self, results: Iterable[Result]) -> Iterator[Result]:
        """Pass results on and count each."""
        for result in results:
            self.add(result)
            yield result

    def add(self, result: Result) -> None:
        """Count one result."""
        if isinstance(result, Failure):
            if result.exit_code:
                self.first_failure = self.first_failure or result
                self.failed += 1
            else:
                self.left_out += 1
        else:
            self.predicted += 1
            self._uncertain += result.uncertain
            self._knows_domain |= result.out_of_domain is not None
            self._outside += bool(result.out_of_domain)

    def __str__(self) -> str:
        """The counts, without those that the model cannot tell."""
        counts = [f"{self.predicted:,} predicted"]
        if self._has_band:
            counts.append(f"{self._uncertain:,} uncertain")
        if self._knows_domain:
            counts.append(f"{self._outside:,} out of domain")
        counts.append(f"{self.failed:,} failed")
        if self.left_out:
            counts.append(f"{self.left_out:,} left out")
        return ", ".join(counts)


def print_results(
    results: Iterable[Result], spec: ModelSpec, kind: Format, ids: bool = False
) -> None:
    """Write results to stdout, each as soon as it is there.

    Args:
        results: in order.
        spec: of the model.
        kind: of text.
        ids: whether to write the SOP Instance UIDs of DICOM files.
    """
    if kind == "table":
        stream_table(prediction_columns(spec, ids=ids), prediction_rows(results, ids=ids))
        return
    for text in render(results, spec, kind, ids=ids):
        sys.stdout.write(text)
        sys.stdout.flush()


def prediction_columns(spec: ModelSpec, *, ids: bool = False) -> list[Column]:
    """The table's columns, the first wide enough for every label of the model."""
    score = "P(decision)"
    if spec.positive_label:
        score = f"P({spec.positive_label}), threshold {spec.threshold:.4g}"
    return [
        Column("decision", max(len(label) for label in spec.labels)),
        Column(score, align="right"),
        Column("file"),
        *([Column("SOP Instance UID")] if ids else []),
        Column(),  # remarks
    ]


def prediction_rows(results: Iterable[Result], *, ids: bool = False) -> Iterator[list[Cell]]:
    """A row of the table for each prediction and each file left out of a folder.

    Failures are reported on stderr instead.
    """
    for result in results:
        file = printable(result.source or "-")
        names: list[Cell] = [file, result.sop_instance_uid or ""] if ids else [file]
        if isinstance(result, Prediction):
            yield [result.label, f"{result.score:.4f}", *names, _remarks(result)]
        elif not result.exit_code:
            reason = Styled(f"({result.message.removeprefix(f'{file}: ')})", "faint")
            yield ["left out", "", *names, reason]


def _remarks(prediction: Prediction) -> Styled:
    remarks = ["(uncertain)"] if prediction.uncertain else []
    if prediction.out_of_domain:
        remarks.append("(out of domain)")
    return Styled("  ".join(remarks), "bad" if prediction.out_of_domain else "warning")


def render(
    results: Iterable[Result],
    spec: ModelSpec,
    kind: Literal["json", "jsonl", "csv"],
    *,
    ids: bool = False,
) -> Iterator[str]:
    """Turn results into text, piece by piece; the pieces joined are the document."""
    return _RENDERERS[kind](results, spec, ids)


def _json(results: Iterable[Result], spec: ModelSpec, ids: bool) -> Iterator[str]:
    yield f'{{"schema": {json.dumps(SCHEMA)}, "results": ['
    for number, result in enumerate(results):
        yield (",\n" if number else "\n") + json.dumps(to_document(result, ids=ids))
    yield "\n]}\n"


def _jsonl(results: Iterable[Result], spec: ModelSpec, ids: bool) -> Iterator[str]:
    for result in results:
        yield json.dumps({"schema": SCHEMA, **to_document(result, ids=ids)}) + "\n"


def _csv(results: Iterable[Result], spec: ModelSpec, ids: bool) -> Iterator[str]:
    left_out = {"scores"} if ids else {"scores", "sop_instance_uid"}
    names = (field.name for field in dataclasses.fields(Prediction))
    fields = [name for name in names if name not in left_out]
    columns = [*fields, *(f"P({label})" for label in spec.labels), "error", "message"]
    yield _csv_line(columns)
    for result in results:
        cells = {name: getattr(result, name, None) for name in [*fields, "error", "message"]}
        if isinstance(result, Prediction):
            cells |= {f"P({label})": p for label, p in result.scores.items()}
        yield _csv_line([cells.get(column) for column in columns])


def _csv_line(cells: list[object] | list[str]) -> str:
    import csv  # a table needs none of it

    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(["" if c is None else c for c in cells])
    return line.getvalue()


_RENDERERS: dict[str, Callable[[Iterable[Result], ModelSpec, bool], Iterator[str]]] = {
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
}
