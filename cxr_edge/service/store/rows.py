"""A row of the store, and its tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from cxr_edge.results import SCHEMA

DeliverySource = Literal["inbox", "http", "dicom"]

VERSION = 1
APPLICATION = 0x43585245
"""``CXRE``: SQLite keeps it in the file's header."""

TABLES = """
CREATE TABLE results (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    path TEXT NOT NULL,
    content TEXT NOT NULL,
    received TEXT NOT NULL,
    finished TEXT NOT NULL,
    bundle TEXT NOT NULL,
    artifact TEXT NOT NULL,
    engine TEXT NOT NULL,
    latency_ms REAL NOT NULL,
    kept TEXT,
    document TEXT NOT NULL,
    hash TEXT NOT NULL,
    UNIQUE (source, path, content)
);
CREATE INDEX results_by_time ON results (finished);
CREATE TABLE attempts (
    source TEXT NOT NULL, path TEXT NOT NULL, content TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (source, path, content)
) WITHOUT ROWID;
CREATE TABLE stuck (
    path TEXT PRIMARY KEY, signature TEXT NOT NULL, target TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE chain (
    deleted_id INTEGER NOT NULL, deleted_hash TEXT NOT NULL,
    last_id INTEGER NOT NULL, last_hash TEXT NOT NULL
);
CREATE TABLE health (checked TEXT NOT NULL, ok INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What makes a file the same file."""

    source: DeliverySource
    path: str
    """Relative to the inbox, or the name of the upload."""
    content: str
    """SHA-256 of the bytes, 64 hexadecimal digits; of size and time for what cannot be read."""


@dataclass(frozen=True, slots=True)
class NewResult:
    """A result that is to be stored."""

    delivery: Delivery
    received: str
    """When the file was taken up: ISO 8601, UTC, milliseconds."""
    finished: str
    bundle: str
    """SHA-256 of the bundle's manifest."""
    artifact: str
    engine: str
    latency_ms: float
    """From the file's bytes to the result."""
    kept: str | None
    """Where the file is kept, relative to the folder of processed or failed files."""
    document: dict[str, object]
    """One result of docs/predictions.md."""


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A row of the store."""

    id: int
    """Rises by one from result to result."""
    source: DeliverySource
    path: str
    content: str
    received: str
    finished: str
    bundle: str
    artifact: str
    engine: str
    latency_ms: float
    kept: str | None
    document: dict[str, object]
    hash: str
    """Of the audit chain, 64 hexadecimal digits."""


def with_stored(result: StoredResult) -> dict[str, Any]:
    """A stored result as JSON: one result of docs/predictions.md, and ``stored``."""
    stored = {
        "id": result.id,
        "received": result.received,
        "finished": result.finished,
        "via": result.source,
        "path": result.path,
        "content": result.content,
        "bundle": result.bundle,
        "latency_ms": result.latency_ms,
        "hash": result.hash,
    }
    return {**result.document, "stored": stored}


def to_document(result: StoredResult) -> dict[str, Any]:
    """A stored result as a JSON document of its own."""
    return {"schema": SCHEMA, **with_stored(result)}
