"""Tables of a page: a click on a heading sorts them, a pointer on it shows what it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heading:
    """The head of a column. All texts are text, not markup."""

    text: str
    """With its unit."""
    definition: str = ""
    """What the column's values are; empty: the heading says it."""
    numeric: bool = False
    """Sorted as numbers, and set flush right."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a table."""

    text: str
    """As shown; empty where there is no value."""
    value: str | float | None = None
    """What it is sorted by; None sorts last."""
    tone: str = ""
    """A CSS class: ``good``, ``warning``, ``muted`` or none."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of a table; its first cell is its heading."""

    cells: tuple[Cell, ...]
    tone: str = ""
    """A CSS class: ``best``, ``muted`` or none."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; all rows have as many cells as there are headings."""

    headings: Sequence[Heading]
    rows: Sequence[TableRow]
    caption: str
    """What it lists, for readers who cannot see it."""
    sortable: bool = True
    """Whether the order of its rows is the reader's choice."""
