"""Refuses training data in which the same image has two labels: one of them is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from cxr_edge.data.folders import LabelledFolder, LabelledImages
from cxr_edge.errors import DataError, ImageError
from cxr_edge.files import printable, read_file, sha256
from cxr_edge.image import ImageLimits

_LONGEST_NAME = 80

_Sighting = tuple[int, Path]
"""Index of a label, and the file that has it."""


def refuse_contradictions(
    training: LabelledImages,
    hashes: Sequence[str],
    validation: LabelledImages | None,
    test: LabelledFolder | None,
    data: Path,
) -> None:
    """Stop a training whose data calls one image by two labels.

    Images that were read are compared as the network sees them, so a copy in another file format
    is found too; files of the test folder, which are not read yet, by their bytes.

    Args:
        training: the training images, as read.
        hashes: SHA-256 of each of their files.
        validation: the images of another folder to validate on; None: there is none.
        test: the test folder, with the same labels; None: there is none.
        data: the data set; files in the message are relative to it.

    Raises:
        DataError: the message names two of the files.
    """
    by_pixels: dict[str, list[_Sighting]] = defaultdict(list)
    for part in (training, validation) if validation else (training,):
        for pixels, label, path in zip(part.pixels, part.labels.tolist(), part.files, strict=True):
            by_pixels[sha256(pixels.tobytes())].append((label, path))
    _refuse(by_pixels.values(), data, "show the same image")
    if test:
        by_bytes: dict[str, list[_Sighting]] = defaultdict(list)
        for digest, label, path in zip(
            hashes, training.labels.tolist(), training.files, strict=True
        ):
            by_bytes[digest].append((label, path))
        for label, path in zip(test.indices, test.files, strict=True):
            if digest := _hash(path):
                by_bytes[digest].append((label, path))
        _refuse(by_bytes.values(), data, "are the same file")


def _refuse(groups: Iterable[list[_Sighting]], data: Path, relation: str) -> None:
    contradictory = [group for group in groups if len({label for label, _ in group}) > 1]
    if not contradictory:
        return
    label, first = contradictory[0][0]
    second = next(path for other, path in contradictory[0] if other != label)
    count = sum(map(len, contradictory))
    others = f" ({count} files are such contradictions)" if count > 2 else ""
    raise DataError(
        f"{_name(first, data)} and {_name(second, data)} {relation} under two labels{others}; "
        "keep the right one of each"
    )


def _hash(path: Path) -> str:
    """SHA-256 of a file; empty if it cannot be read, which is reported when its image is."""
    try:
        return sha256(read_file(path, max_bytes=ImageLimits().max_bytes, error=ImageError))
    except ImageError:
        return ""


def _name(path: Path, data: Path) -> str:
    """The file relative to the data set, shortened in front, where it says least."""
    name = printable(path.relative_to(data))
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"
