"""Reads the store, also while the service writes to it."""

from __future__ import annotations

import functools
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cxr_edge.errors import StoreError, UsageError
from cxr_edge.files import printable, why_no_file
from cxr_edge.service.store import chain
from cxr_edge.service.store.rows import APPLICATION, TABLES, VERSION, Delivery, StoredResult

COLUMNS = ", ".join((*chain.COLUMNS, "hash"))
"""Of the table of results, in the order of :class:`StoredResult`."""


def to_result(row: tuple[Any, ...]) -> StoredResult:
    """The result of a row of :data:`COLUMNS`.

    Raises:
        UsageError: its document is none.
    """
    *values, text, digest = row
    try:
        document = json.loads(text)
    except (TypeError, ValueError) as err:
        raise UsageError(f"result {values[0]} is damaged; see --audit") from err
    if not isinstance(document, dict) or "ok" not in document:
        raise UsageError(f"result {values[0]} is damaged; see --audit")
    return StoredResult(*(*values, document, digest))


def schema_of(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    """Everything that a database holds: type, name, table and definition."""
    query = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY name"
    return connection.execute(query).fetchall()


@functools.cache
def _expected_schema() -> list[tuple[str, ...]]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(TABLES)
    schema = schema_of(connection)
    connection.close()
    return schema


class StoreReader:
    """A database of results. Each thread reads through a connection of its own."""

    def __init__(self, file: Path) -> None:
        """Open the database.

        Raises:
            UsageError: it is no store, is damaged, of a newer version, or not there.
            StoreError: it cannot be opened now.
        """
        if reason := why_no_file(file):
            raise UsageError(f"{printable(file)}: {reason}; name the store.file of the service")
        self._begin(file, read_only=True)
        self._check()

    def _begin(self, file: Path, *, read_only: bool) -> None:
        self.file, self._read_only = file, read_only
        self._threads = threading.local()
        self._opened: list[sqlite3.Connection] = []

    def _open(self) -> sqlite3.Connection:
        with self.reported():
            if self._read_only:
                where = f"{self.file.absolute().as_uri()}?mode=ro"
                connection = sqlite3.connect(where, uri=True, timeout=10, check_same_thread=False)
            else:
                connection = sqlite3.connect(self.file, timeout=10, check_same_thread=False)
            # Text that somebody damaged is shown, and breaks the chain; it raises nothing.
            connection.text_factory = lambda data: data.decode(errors="backslashreplace")
            connection.isolation_level = None  # transactions begin where they are written
            self._opened.append(connection)
            return connection

    def _check(self) -> None:
        """Refuse a database that is no store of this version.

        Raises:
            UsageError: it is another database, or of a newer version.
        """
        name = printable(self.file)
        with self.reported():
            connection = self._reader()
            # First: the service may be making them, in one transaction.
            schema = schema_of(connection)
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        if not schema:
            raise UsageError(f"{name}: holds no results; start the service first")
        if application != APPLICATION:
            raise UsageError(f"{name}: a database of another program; name another file")
        if version > VERSION:
            raise UsageError(
                f"{name}: version {version}, this cxr-edge reads up to {VERSION}; update cxr-edge"
            )
        # A view, a trigger or an index of somebody else's could show other results than there are.
        if version != VERSION or schema != _expected_schema():
            raise UsageError(f"{name}: its tables are not those of the service; restore a copy")

    def close(self) -> None:
        """Close every connection; no other thread may be reading."""
        for connection in self._opened:
            connection.close()
        self._opened.clear()

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Raise our errors for SQLite's.

        Raises:
            UsageError: the file is no database, or damaged.
            StoreError: it cannot be read or written now.
        """
        name = printable(self.file)
        try:
            yield
        except sqlite3.OperationalError as err:
            raise StoreError(f"{name}: cannot be used: {err}") from err
        except sqlite3.DatabaseError as err:
            raise UsageError(
                f"{name}: no database, or damaged ({err}); restore a copy, or name another file"
            ) from err

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = self._threads.connection = self._open()
        return connection

    def newest(self, limit: int, *, before: int | None = None) -> list[StoredResult]:
        """The last results, the newest first; with ``before``, those with a smaller id."""
        where = "" if before is None else "WHERE id < ?"
        return self._select(
            f"{where} ORDER BY id DESC LIMIT ?", *(() if before is None else (before,)), limit
        )

    def newest_time(self) -> str:
        """When the newest result was finished; empty: there is none."""
        query = "SELECT finished FROM results ORDER BY id DESC LIMIT 1"
        with self.reported():
            row = self._reader().execute(query).fetchone()
        return str(row[0]) if row else ""

    def find(self, id: int) -> StoredResult | None:
        """The result with this id."""
        return next(iter(self._select("WHERE id = ?", id)), None)

    def find_delivery(self, delivery: Delivery) -> StoredResult | None:
        """The result of a delivery; None: it has none yet."""
        values = (delivery.source, delivery.path, delivery.content)
        return next(
            iter(self._select("WHERE source = ? AND path = ? AND content = ?", *values)), None
        )

    def after(self, id: int, limit: int, *, since: str = "") -> list[StoredResult]:
        """Results with a larger id that were finished at ``since`` or later, the oldest first."""
        return self._select("WHERE id > ? AND finished >= ? ORDER BY id LIMIT ?", id, since, limit)

    def _select(self, clause: str, *values: object) -> list[StoredResult]:
        with self.reported():
            rows = self._reader().execute(f"SELECT {COLUMNS} FROM results {clause}", values)  # noqa: S608
            return [to_result(row) for row in rows.fetchall()]

    def audit(self) -> chain.Audit:
        """Check the whole audit chain, and the file itself."""
        self._check()
        with self.reported():
            return chain.audit(self._reader())

    def size_bytes(self) -> int:
        """Bytes of the database in use: without its free pages and its log."""
        with self.reported():
            connection = self._reader()
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            free = connection.execute("PRAGMA freelist_count").fetchone()[0]
            size: int = connection.execute("PRAGMA page_size").fetchone()[0]
            return int(pages - free) * size

    def find_stuck(self, path: str, signature: str) -> str | None:
        """Where a file belongs that could not be moved, if it has not changed since."""
        query = "SELECT target FROM stuck WHERE path = ? AND signature = ?"
        with self.reported():
            row = self._reader().execute(query, (path, signature)).fetchone()
        return row[0] if row else None

    def stuck_paths(self) -> list[str]:
        """The files that could not be moved."""
        with self.reported():
            return [row[0] for row in self._reader().execute("SELECT path FROM stuck").fetchall()]
