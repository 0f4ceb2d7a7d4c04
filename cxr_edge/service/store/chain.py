"""The audit chain: the hash of each result covers the hash of the one before it.

A row that is changed, taken out or put in breaks the chain from there on. Whoever can write to the
database could compute the chain anew from a row on, or let it begin later as retention does: a last
hash that was noted elsewhere shows the first, and a first number the second.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from cxr_edge.files import printable, sha256

START = "0" * 64
"""What the first result of a store follows."""

COLUMNS = (
    *("id", "source", "path", "content", "received", "finished", "bundle", "artifact", "engine"),
    *("latency_ms", "kept", "document"),
)
"""The columns that a hash covers, in this order."""


def link(previous: str, values: Sequence[object]) -> str:
    """Hash of a row: SHA-256 of the previous row's hash and the row's values as JSON.

    Args:
        previous: the hash of the row before, :data:`START` for the first.
        values: of :data:`COLUMNS`.
    """
    return sha256(json.dumps([previous, *values], ensure_ascii=True).encode())


@dataclass(frozen=True, slots=True)
class Audit:
    """What checking a chain found."""

    results: int
    """Rows that were checked."""
    first: int | None
    """Id of the first; earlier ones were deleted by age or size. None: there is none."""
    head: str
    """Hash of the last row, which stands for all before it."""
    problem: str
    """One line: where the chain breaks; empty: it is whole."""


def audit(connection: sqlite3.Connection) -> Audit:
    """Check every row of a store in one snapshot.

    Raises:
        sqlite3.Error: the database cannot be read.
    """
    connection.execute("BEGIN")
    try:
        return _audit(connection)
    finally:
        connection.rollback()


def _audit(connection: sqlite3.Connection) -> Audit:
    for (fault,) in connection.execute("PRAGMA integrity_check(1)"):
        if fault != "ok":  # an index that says something else than its table, among others
            return Audit(0, None, START, f"the database is damaged: {printable(str(fault))[:100]}")
    ends = connection.execute("SELECT * FROM chain").fetchall()
    if len(ends) != 1 or [type(value) for value in ends[0]] != [int, str, int, str]:
        return Audit(0, None, START, "the ends of the chain were changed")
    before, previous, last, head = ends[0]
    count, first, expected = 0, None, before + 1
    rows = connection.execute(f"SELECT hash, {', '.join(COLUMNS)} FROM results ORDER BY id")  # noqa: S608
    for digest, *values in rows:
        if values[0] != expected:
            return Audit(count, first, previous, _missing(expected, values[0] - 1))
        if any(isinstance(value, bytes) for value in values) or link(previous, values) != digest:
            return Audit(count, first, previous, f"result {expected} was changed after it was made")
        count, first, previous, expected = count + 1, first or values[0], digest, expected + 1
    if last < expected and (expected - 1, previous) != (last, head):
        return Audit(count, first, previous, "the ends of the chain were changed")
    if (expected - 1, previous) != (last, head):
        return Audit(count, first, previous, _missing(expected, last))
    return Audit(count, first, previous, "")


def _missing(first: int, last: object) -> str:
    span = f"{first}" if first == last else f"{first} to {last}"
    return f"missing: {span}; the store was changed"
