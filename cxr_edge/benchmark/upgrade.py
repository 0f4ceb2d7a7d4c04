"""Versions of ``report.json``: an older document becomes one of the newest before it is read."""

from __future__ import annotations

import operator
import re
import statistics
from collections.abc import Callable
from typing import Any

from cxr_edge.benchmark.report_parts import LEAST_FOR_P99
from cxr_edge.document_checks import MismatchError

SCHEMA = "cxr-edge.benchmark/3"
"""Name and version; the version rises whenever a key is added, removed or changes its meaning."""

_NAME, _, _NEWEST = SCHEMA.partition("/")
_VERSIONED = re.compile(rf"{re.escape(_NAME)}/([1-9]\d{{0,8}})")

_Object = dict[str, Any]


def upgraded(document: object) -> object:
    """A document of this version from one of this version or an older one.

    Args:
        document: parsed JSON; it is not changed.

    Raises:
        MismatchError: it is of a newer version, or is not what its version says.
    """
    if not isinstance(document, dict) or "schema" not in document:
        return document  # the reader says so
    schema = document["schema"]
    match = _VERSIONED.fullmatch(schema) if isinstance(schema, str) else None
    if match is None:
        raise MismatchError(f"schema is {schema!r:.60}, expected {_NAME}/1 to {_NEWEST}")
    if (version := int(match[1])) > int(_NEWEST):
        raise MismatchError(
            f"schema {schema!r:.60}, this cxr-edge reads up to {_NEWEST}; update cxr-edge"
        )
    for step in _STEPS[version - 1 :]:
        try:
            document = step(document)
        except KeyError as err:
            raise MismatchError(f"the key {err.args[0]!r:.60} is missing") from None
        except (TypeError, AttributeError, ValueError, ArithmeticError, IndexError) as err:
            raise MismatchError(f"is no report of version {version}: {err!s:.100}") from None
    return document


def _to_2(document: _Object) -> _Object:
    """Version 2 added ``problems`` of a row."""
    rows = [_with(row, problems=[]) for row in document["rows"]]
    return {**document, "schema": f"{_NAME}/2", "rows": rows}


def _to_3(document: _Object) -> _Object:
    """Version 3 added labels, the platform, time to the first answer, average memory, one worker.

    It compares with the stock float32 ONNX instead of a headline baseline, and has a p99 only of
    enough inferences.
    """
    kept = _without(document, "headline")
    names = [
        row["name"]
        for row in document["rows"]
        if (row["kind"], row["engine"], row["precision"]) == ("stock", "onnxruntime", "fp32")
        and row["latency"]
    ]
    baseline = names[0] if names else None
    rounds_ms = next(
        (row["latency"]["rounds_ms"] for row in document["rows"] if row["name"] == baseline), None
    )
    rows = [_row_3(row, rounds_ms) for row in document["rows"]]
    added = {"label": "", "platform": None, "baseline": baseline}
    return _with({**kept, "schema": SCHEMA, "rows": rows}, **added)


def _row_3(row: _Object, rounds_ms: list[float] | None) -> _Object:
    kept, ratio = _without(row, "of_headline"), None
    latency, start, end_to_end = row["latency"], row["start"], row["end_to_end"]
    if latency:
        inferences = len(latency["samples_ms"])
        latency = _with(latency, inferences=inferences)
        if inferences < LEAST_FOR_P99:
            latency["p99_ms"] = None
        own_ms = latency["rounds_ms"]
        if rounds_ms and len(own_ms) == len(rounds_ms):
            ratio = statistics.median(map(operator.truediv, own_ms, rounds_ms))
    if start:
        start = _with(start, to_first_ms=None, average_mb=None)
    if end_to_end:
        end_to_end = _with(end_to_end, images_per_second_1=None)
    parts = {"latency": latency, "start": start, "end_to_end": end_to_end}
    return _with({**kept, **parts}, of_baseline=ratio)


def _with(values: _Object, **added: object) -> _Object:
    """The same with keys that this version does not know yet.

    Raises:
        ValueError: one of them is there already.
    """
    if known := values.keys() & added.keys():
        raise ValueError(f"has {min(known)!r}, a key of a later version")
    return {**values, **added}


def _without(values: _Object, key: str) -> _Object:
    """The same without a key.

    Raises:
        LookupError: it is missing.
    """
    values = dict(values)
    del values[key]
    return values


_STEPS: tuple[Callable[[_Object], _Object], ...] = (_to_2, _to_3)
"""From version 1 to 2, from 2 to 3, ..."""
