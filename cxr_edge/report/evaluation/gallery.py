"""Pictures beside ``evaluation.json``, inlined where they are there and small enough."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cxr_edge.errors import DataError
from cxr_edge.files import read_file
from cxr_edge.metrics.evaluation import EVALUATION_NAME, Evaluation, GalleryEntry, GalleryGroup

MAX_PICTURE_BYTES = 2**20
MAX_PICTURES = 200
"""In one page, heat maps among them; a longer gallery is cut, and the page says so."""
MAX_TOTAL_BYTES = 2**25
"""Of all pictures in one page, before they are encoded as text."""

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


@dataclass(slots=True)
class PictureReader:
    """Reads the pictures of one page, as far as its limits reach."""

    folder: Path
    """Of the JSON; nothing outside it is read."""
    pictures_left: int = MAX_PICTURES
    bytes_left: int = MAX_TOTAL_BYTES
    missing: list[str] = field(default_factory=list)
    """Names of pictures that are not there, since :meth:`take_problems`."""
    refused: list[str] = field(default_factory=list)
    """Why others are not shown."""

    def read(self, names: tuple[str, ...]) -> tuple[str, ...] | None:
        """Read the pictures of one card.

        Args:
            names: paths relative to the folder, with ``/``.

        Returns:
            Data URIs, empty where a picture cannot be shown; None: the page has no room for them.
        """
        if len(names) > self.pictures_left:
            return None
        pictures = [self._read_one(name) for name in names]
        size = sum(map(len, pictures))
        if size > self.bytes_left:
            return None
        self.pictures_left -= len(names)
        self.bytes_left -= size
        return tuple(map(_data_uri, pictures))

    def take_problems(self) -> Iterator[str]:
        """What could not be read since the last call: one sentence for a reason."""
        missing, refused = self.missing, self.refused
        self.missing, self.refused = [], []
        if missing:
            folders = dict.fromkeys(str(PurePosixPath(name).parent) for name in missing)
            subject = f"{len(missing):,} pictures are" if len(missing) > 1 else "1 picture is"
            places = ", ".join(f"{folder:.100}" for folder in list(folders)[:3])
            what = f"the folder {places}" if places != "." else f"{missing[0]:.100}"
            yield f"{subject} not there; copy {what} beside {EVALUATION_NAME}"
        if len(refused) > 1:
            yield f"{len(refused):,} pictures of the gallery are not shown; {refused[0]}"
        else:
            yield from refused

    def _read_one(self, name: str) -> bytes:
        """The file; empty, and a problem more, where it cannot be shown."""
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            return self._refuse(f"{name!r:.100} lies outside the folder of the JSON")
        try:
            target = (self.folder / path).resolve(strict=True)
        except FileNotFoundError:
            self.missing.append(name)
            return b""
        except (OSError, ValueError, RuntimeError):  # too long, a NUL, a circle of links
            return self._refuse(f"{name!r:.100} is not the name of a file")
        if not target.is_relative_to(self.folder.resolve()):
            return self._refuse(f"{name!r:.100} leads outside the folder of the JSON")
        try:
            data = read_file(
                self.folder / path,
                max_bytes=MAX_PICTURE_BYTES,
                error=DataError,
                follow_symlinks=False,
            )
        except DataError as err:
            return self._refuse(str(err))
        if _media_type(data) is None:
            return self._refuse(f"{name!r:.100} is neither PNG nor JPEG")
        return data

    def _refuse(self, reason: str) -> bytes:
        self.refused.append(reason)
        return b""


def read_gallery(evaluation: Evaluation, reader: PictureReader) -> Gallery:
    """Read the pictures that an evaluation names.

    Args:
        evaluation: with or without a gallery.
        reader: of the page; what it has read for other parts counts too.
    """
    groups: list[CardGroup] = []
    problems: list[str] = []
    for group in evaluation.gallery or ():
        cards: list[Card] = []
        for entry in group.entries:
            card = _card(entry, reader)
            if card is None:
                break
            cards.append(card)
        title = _TITLES[group.kind]
        if cards:
            groups.append(CardGroup(title, _note(group, len(cards)), tuple(cards)))
        if cut := len(group.entries) - len(cards):
            problems.append(
                f"{title}: {cut:,} of {len(group.entries):,} images are left out; a page shows at "
                f"most {MAX_PICTURES} pictures, of {MAX_TOTAL_BYTES // 2**20} MiB together"
            )
    return Gallery(tuple(groups), (*reader.take_problems(), *problems))


def _note(group: GalleryGroup, shown: int) -> str:
    whole = shown == len(group.entries)
    if group.total == shown or (group.kind == "nearest" and whole):
        return f"{shown:,} images"
    total = len(group.entries) if group.kind == "nearest" else group.total
    return f"{shown:,} of {total:,} images"


def _card(entry: GalleryEntry, reader: PictureReader) -> Card | None:
    names = (entry.picture, *((entry.heatmap,) if entry.heatmap else ()))
    pictures = reader.read(names)
    if pictures is None:
        return None
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
        picture=pictures[0],
        heatmap=pictures[1] if entry.heatmap else "",
    )


def _media_type(data: bytes) -> str | None:
    return next((kind for magic, kind in _TYPES.items() if data.startswith(magic)), None)


def _data_uri(data: bytes) -> str:
    """Empty for an empty picture."""
    return f"data:{_media_type(data)};base64,{base64.b64encode(data).decode()}" if data else ""
