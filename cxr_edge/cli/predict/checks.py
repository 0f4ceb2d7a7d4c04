"""Options of ``cxr-edge predict`` that contradict each other: refused before anything is loaded."""

from __future__ import annotations

from pathlib import Path

from cxr_edge.errors import UsageError
from cxr_edge.files import check_parent, printable


def check_out(paths: list[str], out: Path | None) -> None:
    """Refuse what no image can be, before anything is loaded.

    Raises:
        UsageError: the results would replace an image.
        OutputError: the folder that they are to be written to is not there.
    """
    if out is None:
        return
    if str(out) in paths:
        raise UsageError(f"{printable(out)}: the results would replace this image; name another")
    check_parent(out)


def check_archive_options(
    to: Path | None,
    format: str | None,
    *,
    only_with: dict[str, object],
    never_with: dict[str, object],
) -> None:
    """Refuse options that contradict ``--to``, or mean nothing without it.

    Raises:
        UsageError: there are some.
    """
    if to is None:
        if given := [name for name, value in only_with.items() if value]:
            raise UsageError(f"{given[0]} needs --to, the folder of the results")
        if format == "parquet":
            raise UsageError("--format parquet needs --to; give it, or another format")
        return
    if given := [name for name, value in never_with.items() if value]:
        raise UsageError(f"{given[0]} cannot be given with --to; leave one of them out")
    if format not in (None, "parquet", "jsonl"):
        raise UsageError(f"--format {format} cannot be written with --to; parquet and jsonl can")
