"""Tables on stdout: coloured on a terminal, plain columns in a pipe or a file.

Rich is imported only to draw on a terminal, so that scripts do not wait for it, and named tuples
are defined faster than dataclasses. ``NO_COLOR`` and ``TERM=dumb`` are respected. No cell is cut:
what does not fit continues on the next line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from cxr_edge.cli.streams import no_colour
from cxr_edge.files import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Style = Literal["plain", "good", "warning", "bad", "faint"]

_RICH_STYLES: dict[Style, str] = {
    "plain": "",
    "good": "green",
    "warning": "bold yellow",
    "bad": "bold red",
    "faint": "dim",
}


class Column(NamedTuple):
    """Heading and layout of a column."""

    title: str = ""
    """Heading; a table whose titles are all empty has none."""
    width: int = 0
    """Least width, characters; at least the title's."""
    align: Literal["left", "right"] = "left"
    """``right`` for numbers."""


class Styled(NamedTuple):
    """Text of a cell that stands out on a terminal."""

    text: str
    style: Style


Cell = str | Styled


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table whose columns are as wide as their longest cell.

    Args:
        columns: one for each cell of a row.
        rows: printed when the last is there.
    """
    rows = list(rows)
    if sys.stdout.isatty():
        _print_rich_table(columns, rows)
        return
    widths = [
        max(column.width, len(column.title), *(len(_text(row[place])) for row in rows))
        if rows
        else max(column.width, len(column.title))
        for place, column in enumerate(columns)
    ]
    _print_lines(columns, widths, rows)


def stream_table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
    """Print each row when it comes, and the heading before the first; nothing without rows.

    Args:
        columns: one for each cell of a row; a cell longer than its column's width shifts the next.
        rows: may be slow, and may raise.
    """
    _print_lines(columns, [max(column.width, len(column.title)) for column in columns], rows)


def _print_lines(
    columns: Sequence[Column], widths: Sequence[int], rows: Iterable[Sequence[Cell]]
) -> None:
    console = _console() if sys.stdout.isatty() else None
    heading = [Styled(column.title, "faint") for column in columns]
    for number, row in enumerate(rows):
        lines = [heading, row] if number == 0 and any(c.title for c in columns) else [row]
        for cells in lines:
            aligned = [
                _align(cell, column, width)
                for cell, column, width in zip(cells, columns, widths, strict=True)
            ]
            if console:
                console.print(_rich_line(aligned), soft_wrap=True)
            else:
                print("  ".join(_text(cell) for cell in aligned).rstrip(), flush=True)


def _align(cell: Cell, column: Column, width: int) -> Cell:
    text = _text(cell)
    text = text.rjust(width) if column.align == "right" else text.ljust(width)
    return Styled(text, cell.style) if isinstance(cell, Styled) else text


def _text(cell: Cell) -> str:
    """The text on one line: a name in it may hold a line break or an escape sequence."""
    return printable(cell.text if isinstance(cell, Styled) else cell)


def _print_rich_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        show_header=any(column.title for column in columns),
        show_edge=False,
        pad_edge=False,
        header_style="dim",
    )
    for column in columns:
        table.add_column(
            column.title, justify=column.align, overflow="fold", min_width=column.width
        )
    for row in rows:
        table.add_row(*(_rich_text(cell) for cell in row))
    _console().print(table)


def _console() -> Console:
    from rich.console import Console

    # Without colours, rich would still write bold and dim.
    system: Literal["auto"] | None = None if no_colour() else "auto"
    return Console(file=sys.stdout, highlight=False, color_system=system)


def _rich_line(cells: Sequence[Cell]) -> Text:
    from rich.text import Text

    line = Text("  ").join(_rich_text(cell) for cell in cells)
    line.rstrip()
    return line


def _rich_text(cell: Cell) -> Text:
    from rich.text import Text

    style: Style = cell.style if isinstance(cell, Styled) else "plain"
    return Text(_text(cell), style=_RICH_STYLES[style])
