"""Tables as plain text: what a column, a cell and a line of them are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from cxr_edge.files import printable

Style = Literal["plain", "good", "warning", "bad", "faint"]


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


def fitting_widths(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[int]:
    """Width of each column, characters: that of its longest cell."""
    return [
        max(column.width, len(column.title), *(len(cell_text(row[place])) for row in rows), 0)
        for place, column in enumerate(columns)
    ]


def aligned(row: Sequence[Cell], columns: Sequence[Column], widths: Sequence[int]) -> list[Cell]:
    """The cells of a row, padded to the widths of their columns."""
    return [
        _align(cell, column, width)
        for cell, column, width in zip(row, columns, widths, strict=True)
    ]


def has_heading(columns: Sequence[Column]) -> bool:
    """Whether a column has a title."""
    return any(column.title for column in columns)


def heading(columns: Sequence[Column]) -> list[Styled]:
    """The titles as a row."""
    return [Styled(column.title, "faint") for column in columns]


def table_lines(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[str]:
    """A whole table, heading first; columns are as wide as their longest cell."""
    widths = fitting_widths(columns, rows)
    shown = [heading(columns), *rows] if has_heading(columns) and rows else rows
    return [line(aligned(row, columns, widths)) for row in shown]


def line(cells: Sequence[Cell]) -> str:
    """The line of aligned cells."""
    return "  ".join(cell_text(cell) for cell in cells).rstrip()


def cell_text(cell: Cell) -> str:
    """The text on one line: a name in it may hold a line break or an escape sequence."""
    return printable(cell.text if isinstance(cell, Styled) else cell)


def _align(cell: Cell, column: Column, width: int) -> Cell:
    text = cell_text(cell)
    text = text.rjust(width) if column.align == "right" else text.ljust(width)
    return Styled(text, cell.style) if isinstance(cell, Styled) else text
