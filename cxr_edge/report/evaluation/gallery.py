"""Pictures beside ``evaluation.json``, inlined where they are there and small enough."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cxr_edge.errors import DataError
from cxr_edge.files import read_file
from cxr_edge.metrics.evaluation import Evaluation, GalleryEntry, GalleryGroup

MAX_PICTURE_BYTES = 2**20
MAX_PICTURES = 200
"""In one page; a longer gallery is cut, and the page says so."""

_TYPES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_TITLES = {
    "wrong": "Decided wrongly, the most certain first",
    "nearest": "Nearest to another decision",
    "right": "Decided right, spread over the folder",
}


@dataclass(frozen=True, slots=True)
class Card:
    """One image of the gallery."""

    file: str
    """Empty: it was no file."""
    label: str
    decision: str
    is_right: bool
    score: str
    marks: str
    """``uncertain``, ``out of domain``, both or empty."""
    picture: str
    """A data URI; empty: the picture is not there."""
    heatmap: str
    """A data URI; empty: there is none, or it is not there."""


@dataclass(frozen=True, slots=True)
class CardGroup:
    """Cards chosen for one reason."""

    title: str
    note: str
    """How many there are in all."""
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Gallery:
    """All groups, and what is missing."""

    groups: tuple[CardGroup, ...]
    problems: tuple[str, ...]


def read_gallery(evaluation: Evaluation, folder: Path) -> Gallery:
    """Read the pictures that an evaluation names.

    Args:
        evaluation: with or without a gallery.
        folder: of its JSON; nothing outside it is read.
    """
    budget = MAX_PICTURES
    groups: list[CardGroup] = []
    problems: list[str] = []
    for group in evaluation.gallery or ():
        entries = group.entries[:budget]
        budget -= len(entries)
        cards = tuple(_card(entry, folder, problems) for entry in entries)
        if cards:
            groups.append(CardGroup(_TITLES[group.kind], _note(group, len(cards)), cards))
    if len(problems) > 1:
        problems = [f"{len(problems)} pictures of the gallery are not shown; {problems[0]}"]
    return Gallery(tuple(groups), tuple(problems))


def _note(group: GalleryGroup, shown: int) -> str:
    if group.kind == "nearest" or group.total == shown:
        return f"{shown:,} images"
    return f"{shown:,} of {group.total:,} images"


def _card(entry: GalleryEntry, folder: Path, problems: list[str]) -> Card:
    marks = [
        text
        for text, holds in (
            ("uncertain", entry.uncertain),
            ("out of domain", entry.out_of_domain),
        )
        if holds
    ]
    return Card(
        file=entry.file or "",
        label=entry.label,
        decision=entry.decision,
        is_right=entry.label == entry.decision,
        score=f"{entry.score:.3f}",
        marks=", ".join(marks),
        picture=_data_uri(entry.picture, folder, problems),
        heatmap=_data_uri(entry.heatmap, folder, problems) if entry.heatmap else "",
    )


def _data_uri(name: str, folder: Path, problems: list[str]) -> str:
    """The picture as a data URI; empty, and a problem more, where it cannot be shown."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        problems.append(f"{name!r:.200} lies outside the folder of the JSON")
        return ""
    try:
        data = read_file(
            folder / path, max_bytes=MAX_PICTURE_BYTES, error=DataError, follow_symlinks=False
        )
    except DataError as err:
        problems.append(str(err))
        return ""
    kind = next((kind for magic, kind in _TYPES.items() if data.startswith(magic)), None)
    if kind is None:
        problems.append(f"{name!r:.200} is neither PNG nor JPEG")
        return ""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
