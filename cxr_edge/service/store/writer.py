"""The store: a row in SQLite for each delivered file, committed before the file is moved.

A delivery is a source, a path and a content; it has at most one row, whatever dies when. The one
writer is the worker's thread; any number of threads and processes may read at the same time.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cxr_edge.errors import StoreError
from cxr_edge.files import printable
from cxr_edge.service.store import chain
from cxr_edge.service.store.reader import COLUMNS, StoreReader, to_result
from cxr_edge.service.store.rows import (
    APPLICATION,
    TABLES,
    VERSION,
    Delivery,
    NewResult,
    StoredResult,
)

_FORGET_ATTEMPTS = "DELETE FROM attempts WHERE source = ? AND path = ? AND content = ?"


class Store(StoreReader):
    """A database of results that is written too."""

    def __init__(self, file: Path) -> None:
        """Open the database; make it if it is not there.

        Raises:
            UsageError: it is no store, is damaged, or of a newer version.
            StoreError: it cannot be opened or written now.
        """
        self._begin(file, read_only=False)
        with self.reported():
            self._writer = self._open()
            self._prepare(self._writer)
            self._opened_as = self._identities()
        self._check()

    def _identities(self) -> list[tuple[int, int] | None]:
        """Device and inode of the database and of its log; None: not there."""
        return [_identity(self.file), _identity(self._log)]

    @property
    def _log(self) -> Path:
        return self.file.with_name(f"{self.file.name}-wal")

    def check_in_place(self) -> None:
        """Refuse to go on with a database, or its log, that was deleted or replaced.

        Raises:
            StoreError: it was; what is written now would be lost.
        """
        if self._identities() != self._opened_as:
            name = printable(self.file)
            raise StoreError(f"{name}: was deleted or replaced; restart the service")

    def close(self) -> None:
        """Close every connection; no other thread may be reading.

        Where another database is in place, the log of the one before is removed: SQLite would
        write it into the new one.
        """
        database, log = self._identities()
        is_replaced = database not in (None, self._opened_as[0])
        super().close()
        if is_replaced and log == self._opened_as[1]:
            self._log.unlink(missing_ok=True)
            self.file.with_name(f"{self.file.name}-shm").unlink(missing_ok=True)

    @staticmethod
    def _prepare(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # The log is cut back after each checkpoint, so that a burst does not keep the disk.
        connection.execute(f"PRAGMA journal_size_limit = {2**22}")
        connection.execute("BEGIN IMMEDIATE")
        try:
            tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            if not tables:
                for statement in TABLES.split(";"):
                    connection.execute(statement)
                connection.execute(
                    "INSERT INTO chain VALUES (0, ?, 0, ?)", (chain.START, chain.START)
                )
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction of the writer.

        Args:
            durable: whether it survives a power cut; else only the end of the process.

        Raises:
            StoreError: it could not be committed; nothing of it is stored.
        """
        connection = self._writer
        self.check_in_place()
        with self.reported():
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def begin(self, delivery: Delivery) -> int:
        """Count an attempt to classify a delivery, before it is made.

        Returns:
            The attempts with this one.

        Raises:
            StoreError: it could not be counted.
        """
        values = (delivery.source, delivery.path, delivery.content)
        with self._transaction(durable=False) as connection:
            row = connection.execute(
                "INSERT INTO attempts VALUES (?, ?, ?, 1) "
                "ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count",
                values,
            ).fetchone()
        return int(row[0])

    def give_up(self, delivery: Delivery) -> None:
        """Forget the attempts at a delivery that is left for later.

        Raises:
            StoreError: they could not be forgotten.
        """
        values = (delivery.source, delivery.path, delivery.content)
        with self._transaction(durable=False) as connection:
            connection.execute(_FORGET_ATTEMPTS, values)

    def forget_attempts(self) -> None:
        """Forget all attempts: no process ended in one.

        Raises:
            StoreError: they could not be forgotten.
        """
        with self._transaction(durable=False) as connection:
            connection.execute("DELETE FROM attempts")

    def record(self, new: NewResult) -> StoredResult:
        """Store a result; when this returns, it survives a power cut.

        Raises:
            StoreError: it could not be stored.
        """
        delivery = new.delivery
        names = (delivery.source, delivery.path, delivery.content)
        document = json.dumps(new.document, ensure_ascii=False)
        with self._transaction() as connection:
            last, previous = connection.execute("SELECT last_id, last_hash FROM chain").fetchone()
            values = (
                *(last + 1, *names, new.received, new.finished),
                *(new.bundle, new.artifact, new.engine, new.latency_ms, new.kept, document),
            )
            digest = chain.link(previous, values)
            marks = ", ".join("?" * (len(values) + 1))
            connection.execute(
                f"INSERT INTO results ({COLUMNS}) VALUES ({marks})",  # noqa: S608
                (*values, digest),
            )
            connection.execute("UPDATE chain SET last_id = ?, last_hash = ?", (last + 1, digest))
            connection.execute(_FORGET_ATTEMPTS, names)
        return to_result((*values, digest))

    def beat(self, checked: str, *, ok: bool) -> None:
        """Write when the health was checked, which shows that results can be stored.

        Raises:
            StoreError: they cannot.
        """
        with self._transaction() as connection:
            connection.execute("DELETE FROM health")
            connection.execute("INSERT INTO health VALUES (?, ?)", (checked, int(ok)))

    def note_stuck(self, path: str, signature: str, target: str) -> None:
        """Note where a file of the inbox belongs that has a result and could not be moved.

        Raises:
            StoreError: it could not be noted.
        """
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO stuck VALUES (?, ?, ?)", (path, signature, target)
            )

    def forget_stuck(self, path: str) -> None:
        """Note that a file was moved, or is gone."""
        with self._transaction(durable=False) as connection:
            connection.execute("DELETE FROM stuck WHERE path = ?", (path,))

    def delete_oldest(self, count: int, *, before: str | None = None) -> int:
        """Delete the oldest results in one transaction; the chain goes on from the last of them.

        Args:
            count: how many at most.
            before: only those that were finished before this time; None: any.

        Returns:
            How many were deleted.
        """
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT id, hash, finished FROM results ORDER BY id LIMIT ?", (count,)
            ).fetchall()
            if before is not None:  # a clock that was set back does not reorder results
                rows = rows[: next((i for i, r in enumerate(rows) if r[2] >= before), len(rows))]
            if rows:
                last, digest, _ = rows[-1]
                connection.execute("DELETE FROM results WHERE id <= ?", (last,))
                connection.execute(
                    "UPDATE chain SET deleted_id = ?, deleted_hash = ?", (last, digest)
                )
        with self.reported():
            self._writer.executescript("PRAGMA incremental_vacuum")  # execute frees one page only
        return len(rows)


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
