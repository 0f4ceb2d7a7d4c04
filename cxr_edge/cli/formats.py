"""Predictions as text: a table for people; JSON, JSON lines and CSV with a documented schema.

The schema is described in ``docs/predictions.md``; its version changes when a key does.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Iterator
from typing import Literal

from cxr_edge.files import printable
from cxr_edge.results import Failure, Prediction
from cxr_edge.spec import ModelSpec

Format = Literal["table", "json", "jsonl", "csv"]
Result = Prediction | Failure

SCHEMA = "cxr-edge.predictions/1"
"""Name and version of the schema."""


def render(results: Iterable[Result], spec: ModelSpec, kind: Format) -> Iterator[str]:
    """Turn results into text, piece by piece, as they come."""
    return _RENDERERS[kind](results, spec)


def _table(results: Iterable[Result], spec: ModelSpec) -> Iterator[str]:
    """Predictions only: what failed is said on stderr."""
    width = max(len("decision"), *(len(label) for label in spec.labels))
    head = f"P({spec.positive_label})" if spec.positive_label else "P(decision)"
    predictions = (result for result in results if isinstance(result, Prediction))
    for number, result in enumerate(predictions):
        if number == 0:
            yield f"{'decision':{width}}  {head}  file\n"
        note = "  (uncertain)" if result.uncertain else ""
        note += "  (out of domain)" if result.out_of_domain else ""
        name = printable(result.source or "-")
        yield f"{result.label:{width}}  {result.score:{len(head)}.4f}  {name}{note}\n"


def _json(results: Iterable[Result], spec: ModelSpec) -> Iterator[str]:
    yield f'{{"schema": {json.dumps(SCHEMA)}, "results": ['
    for number, result in enumerate(results):
        yield (",\n" if number else "\n") + json.dumps(_document(result))
    yield "\n]}\n"


def _jsonl(results: Iterable[Result], spec: ModelSpec) -> Iterator[str]:
    for result in results:
        yield json.dumps({"schema": SCHEMA, **_document(result)}) + "\n"


def _csv(results: Iterable[Result], spec: ModelSpec) -> Iterator[str]:
    names = [field.name for field in dataclasses.fields(Prediction) if field.name != "scores"]
    columns = [*names, *(f"P({label})" for label in spec.labels), "error", "message"]
    yield _row(columns)
    for result in results:
        cells = {name: getattr(result, name, None) for name in [*names, "error", "message"]}
        if isinstance(result, Prediction):
            cells |= {f"P({label})": p for label, p in result.scores.items()}
        yield _row([cells.get(column) for column in columns])


def _document(result: Result) -> dict[str, object]:
    """Both kinds have ``ok``; the other keys are the fields of the dataclass."""
    return {"ok": isinstance(result, Prediction), **dataclasses.asdict(result)}


def _row(cells: list[object] | list[str]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(["" if c is None else c for c in cells])
    return line.getvalue()


_RENDERERS = {"table": _table, "json": _json, "jsonl": _jsonl, "csv": _csv}
