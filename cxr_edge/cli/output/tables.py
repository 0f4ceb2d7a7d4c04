"""Tables on stdout: coloured on a terminal, plain columns in a pipe or a file.

Rich is imported only to draw on a terminal, so that scripts do not wait for it, and named tuples
are defined faster than dataclasses. ``NO_COLOR`` and ``TERM=dumb`` are respected. No cell is cut:
what does not fit continues on the next line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from cxr_edge.cli.output.streams import no_colour
from cxr_edge.report.text_tables import (
    Cell,
    Column,
    Style,
    Styled,
    aligned,
    cell_text,
    fitting_widths,
    has_heading,
    heading,
    line,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from cxr_edge.report.evaluation.text import Section

__all__ = ["Cell", "Column", "Style", "Styled", "print_sections", "print_table", "stream_table"]

_RICH_STYLES: dict[Style, str] = {
    "plain": "",
    "good": "green",
    "warning": "bold yellow",
    "bad": "bold red",
    "faint": "dim",
}


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
    _print_lines(columns, fitting_widths(columns, rows), rows)


def print_sections(sections: Iterable[Section]) -> None:
    """Print texts with their tables, an empty line between two sections."""
    for number, section in enumerate(sections):
        if number:
            print()
        if section.text:
            print(section.text)
        if section.rows:
            print_table(section.columns, section.rows)


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
    for number, row in enumerate(rows):
        lines = [heading(columns), row] if number == 0 and has_heading(columns) else [row]
        for cells in lines:
            padded = aligned(cells, columns, widths)
            if console:
                console.print(_rich_line(padded), soft_wrap=True)
            else:
                print(line(padded), flush=True)


def _print_rich_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        show_header=has_heading(columns),
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

    text = Text("  ").join(_rich_text(cell) for cell in cells)
    text.rstrip()
    return text


def _rich_text(cell: Cell) -> Text:
    from rich.text import Text

    style: Style = cell.style if isinstance(cell, Styled) else "plain"
    return Text(cell_text(cell), style=_RICH_STYLES[style])
