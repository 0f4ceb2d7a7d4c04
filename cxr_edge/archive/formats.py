"""Parts of the results: Parquet, or JSON lines, which need no further package."""

from __future__ import annotations

import dataclasses
import json
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from cxr_edge.archive.rows import COLUMNS, SCHEMA, Row
from cxr_edge.errors import OutputError
from cxr_edge.extras import require
from cxr_edge.files import printable, why

FormatName = Literal["parquet", "jsonl"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a row says about whether its image is done."""

    id: str
    path: str
    sha256: str | None
    bundle_sha256: str
    attempt: int
    ok: bool
    error: str | None

    def __post_init__(self) -> None:
        """Check what was read.

        Raises:
            ValueError: a value is none that was written.
        """
        texts = (self.id, self.path, self.bundle_sha256, self.sha256 or "", self.error or "")
        if (
            not all(isinstance(text, str) and len(text) <= _LONGEST_TEXT for text in texts)
            or type(self.attempt) is not int
            or not 1 <= self.attempt < 2**31
            or not isinstance(self.ok, bool)
            or not _ID.fullmatch(self.id)
        ):
            raise ValueError(f"a row has the id {self.id!r:.50} or another value that is none")
        for text in texts:
            text.encode()  # half of a surrogate pair cannot be


_LONGEST_TEXT = 2**16
_LONGEST_LINE = 2**24  # 10,000 labels of 200 characters, escaped, have their scores in 12.5 MB
_MOST_BYTES = 2**28  # of the columns of a part that are read, once unpacked
_BATCH = 256  # rows
_ID = re.compile("[0-9a-f]{32}(-[0-9]{1,9})?")
_STANDING = tuple(field.name for field in dataclasses.fields(Standing))


class PartFormat(Protocol):
    """Writes and reads the files of a results folder."""

    suffix: str

    def write(self, rows: Sequence[Row], file: Path) -> None:
        """Write rows to a new file.

        Raises:
            OSError: it cannot be written.
        """

    def standings(self, file: Path) -> Iterator[Standing]:
        """Read what the rows of a file say, in their order.

        Raises:
            OutputError: the file is damaged, or none of ours.
        """


def part_format(name: FormatName) -> PartFormat:
    """The format of that name.

    Raises:
        MissingExtraError: ``parquet`` needs pyarrow, which is not installed.
    """
    return Parquet() if name == "parquet" else JsonLines()


class JsonLines:
    """A JSON object a line."""

    suffix = ".jsonl"

    def write(self, rows: Sequence[Row], file: Path) -> None:
        """See :meth:`PartFormat.write`."""
        with file.open("w", encoding="utf-8") as stream:
            for row in rows:
                document = {name: getattr(row, name) for name in COLUMNS}
                stream.write(json.dumps({"schema": SCHEMA, **document}) + "\n")

    def standings(self, file: Path) -> Iterator[Standing]:
        """See :meth:`PartFormat.standings`."""
        try:
            _check_regular(file)
            with file.open(encoding="utf-8") as stream:
                while line := stream.readline(_LONGEST_LINE):
                    document = json.loads(line)
                    yield Standing(**{name: document[name] for name in _STANDING})
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as err:
            raise _unreadable(file, err) from err


class Parquet:
    """Columns, as pandas, DuckDB, Spark and Ray read them.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """

    suffix = ".parquet"

    def __init__(self) -> None:
        self._arrow = require("pyarrow", "archive")
        self._parquet = require("pyarrow.parquet", "archive")
        self._schema = arrow_schema()

    def write(self, rows: Sequence[Row], file: Path) -> None:
        """See :meth:`PartFormat.write`."""
        self._parquet.write_table(to_table(rows), file, compression="zstd")

    def standings(self, file: Path) -> Iterator[Standing]:
        """See :meth:`PartFormat.standings`."""
        try:
            _check_regular(file)
            with self._parquet.ParquetFile(file) as part:
                _check_unpacked_size(part.metadata)
                for batch in part.iter_batches(_BATCH, columns=list(_STANDING)):
                    columns = batch.to_pydict()
                    for values in zip(*(columns[name] for name in _STANDING), strict=True):
                        yield Standing(*values)
        except (OSError, ValueError, KeyError, self._arrow.ArrowException) as err:
            raise _unreadable(file, err) from err


def arrow_schema() -> Any:
    """The columns with their types, of pyarrow."""
    arrow = require("pyarrow", "archive")
    text, whole, real, truth = arrow.string(), arrow.int64(), arrow.float64(), arrow.bool_()
    kinds = {
        "bytes": whole,
        "modified_ns": whole,
        "attempt": arrow.int32(),
        "ok": truth,
        "score": real,
        "scores": arrow.map_(text, real),
        "threshold": real,
        "uncertain": truth,
        "out_of_domain": truth,
    }
    schema = arrow.schema([(name, kinds.get(name, text)) for name in COLUMNS])
    return schema.with_metadata({"schema": SCHEMA})


def to_table(rows: Iterable[Row]) -> Any:
    """Rows as a table of pyarrow."""
    arrow = require("pyarrow", "archive")
    schema, rows = arrow_schema(), list(rows)
    columns: dict[str, list[object]] = {n: [getattr(row, n) for row in rows] for n in COLUMNS}
    columns["scores"] = [None if row.scores is None else list(row.scores.items()) for row in rows]
    arrays = [arrow.array(columns[name], type=schema.field(name).type) for name in COLUMNS]
    return arrow.Table.from_arrays(arrays, schema=schema)


def _check_regular(file: Path) -> None:
    """Raise ValueError for what is not a file: reading a pipe waits, and a device has no end."""
    if not stat.S_ISREG(file.stat().st_mode):
        raise ValueError("not a regular file")


def _check_unpacked_size(metadata: Any) -> None:
    """Raise ValueError for columns that unpack to more than a part of ours ever has."""
    chunks = (
        metadata.row_group(group).column(column)
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    total = sum(c.total_uncompressed_size for c in chunks if c.path_in_schema in _STANDING)
    if total > _MOST_BYTES:
        raise ValueError(f"its columns unpack to {total:,} bytes")


def _unreadable(file: Path, err: Exception) -> OutputError:
    if isinstance(err, OSError) and err.strerror:
        return OutputError(f"{printable(file)}: cannot be read: {why(err)}")
    reason = " ".join(str(err).split())[:120] or type(err).__name__
    return OutputError(
        f"{printable(file)}: is no part of these results ({printable(reason)}); "
        "move it away, and its images are classified again"
    )
