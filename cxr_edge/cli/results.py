"""``cxr-edge results``."""

from __future__ import annotations

import csv
import datetime
import io
import json
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cxr_edge.cli.output.tables import Cell, Column, Style, Styled, stream_table
from cxr_edge.errors import BundleError, UsageError
from cxr_edge.files import printable

if TYPE_CHECKING:
    from cxr_edge.service.store.reader import StoreReader
    from cxr_edge.service.store.rows import StoredResult

_BATCH = 500
_FOLLOW_S = 0.5
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d{1,3})?)?)?)?Z?")
_AGO = re.compile(r"(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_REMARKS = {"uncertain": "(uncertain)", "out_of_domain": "(out of domain)"}
_TABLE = (
    Column("finished (UTC)", 19),
    Column("decision", 10),
    Column("score", 6, align="right"),
    Column("file", 24),
    Column(),  # remarks
)
_COLUMNS = (
    *("id", "received", "finished", "via", "path", "ok", "label", "score", "threshold"),
    *("uncertain", "out_of_domain", "error", "message", "latency_ms", "artifact", "engine"),
    *("bundle", "content", "hash"),
)


def results(
    store: Annotated[
        Path,
        typer.Argument(
            metavar="DB", help="Database of the service, its store.file.", readable=False
        ),
    ],
    since: Annotated[
        str,
        typer.Option(
            help="Only results from this time on: 2026-11-26, 2026-11-26T06:30 (UTC), or 30m, 12h, "
            "7d ago.",
            show_default="all",
        ),
    ] = "",
    format: Annotated[
        Literal["table", "jsonl", "csv"], typer.Option("--format", "-f", help="Output format.")
    ] = "table",
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with new results until interrupted.")
    ] = False,
    audit: Annotated[
        bool,
        typer.Option(
            "--audit", help="Check that no result was changed, taken out or put in; prints none."
        ),
    ] = False,
) -> None:
    """Print the results of the service, also while it runs.

    The exit code of --audit is 5 where the chain of results is broken.
    """
    if audit and (since or follow):
        raise UsageError("--audit checks all results; leave out --since and --follow")
    from cxr_edge.service.store.reader import StoreReader
    from cxr_edge.service.store.rows import to_document

    reader = StoreReader(store)
    if audit:
        _audit(reader)
        return
    rows = _rows(reader, _start(since), follow=follow)
    if format == "jsonl":
        for row in rows:
            print(json.dumps(to_document(row)), flush=follow)
    elif format == "csv":
        print(_csv_line(_COLUMNS), flush=True)
        for row in rows:
            print(_csv_line(_cells(row)), flush=follow)
    else:
        stream_table(_TABLE, (_table_row(row) for row in rows))


def _audit(reader: StoreReader) -> None:
    found = reader.audit()
    if found.problem:
        raise BundleError(f"{printable(reader.file)}: {found.problem}")
    count = f"{found.results:,} results"
    span = f", from {found.first} on" if found.first not in (None, 1) else ""
    print(f"{count}{span}: none was changed since it was stored; the last hash is {found.head}")


def _start(since: str) -> str:
    """The time that ``--since`` means, as the store keeps times.

    Raises:
        UsageError: it is no time.
    """
    if ago := _AGO.fullmatch(since):
        from cxr_edge.service.clock import stamp

        return stamp(max(0, time.time() - int(ago[1]) * _SECONDS[ago[2]]))
    wrong = UsageError(
        f"--since is {since!r:.60}, expected a time such as 2026-11-26, 2026-11-26T06:30, or 12h"
    )
    if since and not _TIME.fullmatch(since):
        raise wrong
    try:
        datetime.datetime.fromisoformat(since or "2026-01-01")
    except ValueError:
        raise wrong from None
    return since.removesuffix("Z").replace(" ", "T")


def _rows(reader: StoreReader, since: str, *, follow: bool) -> Iterator[StoredResult]:
    last = 0
    while True:
        batch = reader.after(last, _BATCH, since=since)
        yield from batch
        if batch:
            last = batch[-1].id
        elif follow:
            time.sleep(_FOLLOW_S)
        else:
            return


def _table_row(row: StoredResult) -> list[Cell]:
    """A row for people; what failed has its message instead of a decision."""
    document = row.document
    finished, path = row.finished[:19].replace("T", " "), printable(row.path)
    if not document["ok"]:
        return [finished, Styled(_word(row), "bad"), "", path, Styled(_reason(row), "bad")]
    remarks = [text for key, text in _REMARKS.items() if document.get(key)]
    style: Style = "bad" if document.get("out_of_domain") else "warning"
    score = f"{document['score']:.4f}"
    return [finished, str(document["label"]), score, path, Styled("  ".join(remarks), style)]


def _word(row: StoredResult) -> str:
    return "left out" if row.document["error"] == "LeftOut" else "failed"


def _reason(row: StoredResult) -> str:
    """Why a file failed, without its name."""
    return str(row.document["message"]).removeprefix(f"{row.path}: ")


def _cells(row: StoredResult) -> Iterable[object]:
    document = {**row.document, "via": row.source}
    return (getattr(row, name, document.get(name)) for name in _COLUMNS)


def _csv_line(cells: Iterable[object]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="").writerow("" if cell is None else cell for cell in cells)
    return line.getvalue()
