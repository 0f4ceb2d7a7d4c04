"""Folders of labelled images: one folder a class, its name the label."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import DataError, ImageError
from cxr_edge.files import printable
from cxr_edge.image import SUFFIXES, read_image
from cxr_edge.preprocess import Pixels, resize_to_input
from cxr_edge.reporting import Reporter, Silent
from cxr_edge.spec import InputSpec

SPLITS = ("train", "val", "test")
"""Names of the folders that hold a data set's parts."""

Labels = npt.NDArray[np.intp]
"""(N,) indices into the labels."""


@dataclass(frozen=True, slots=True)
class LabelledFolder:
    """The files of one folder of classes; nothing is read yet."""

    root: Path
    """The folder that holds a folder for each class."""
    labels: tuple[str, ...]
    """Names of the classes."""
    files: tuple[Path, ...]
    """Image files, sorted within each class."""
    indices: tuple[int, ...]
    """For each file the index of its label."""

    @property
    def counts(self) -> dict[str, int]:
        """Files by label."""
        return {name: self.indices.count(i) for i, name in enumerate(self.labels)}


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Decoded images of a folder, in its order, without those that could not be read."""

    pixels: Pixels
    """(N, height, width, channels) uint8."""
    labels: Labels
    """(N,) indices into the folder's labels."""
    files: tuple[Path, ...]
    """The N files."""
    unreadable: tuple[tuple[Path, str], ...]
    """Files left out, each with the reason."""


def find_images(folder: Path) -> list[Path]:
    """Image files below a folder, by suffix, sorted; hidden ones and linked folders left out.

    Raises:
        DataError: the folder cannot be listed.
    """
    found = []
    try:
        for root, folders, names in os.walk(folder, onerror=_raise):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            found += [
                Path(root, name)
                for name in sorted(names)
                if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
            ]
    except OSError as err:
        raise DataError(f"{printable(folder)}: cannot be listed: {err.strerror}") from err
    return found


def open_folder(root: Path, labels: Sequence[str] | None = None) -> LabelledFolder:
    """List a folder of classes.

    Args:
        root: holds one folder for each class.
        labels: the classes in the model's order; None: the folder's own, sorted.

    Raises:
        DataError: the folder is absent, has no class folders or others than ``labels``, or a class
            without images.
    """
    present = _class_names(root)
    names = tuple(present if labels is None else labels)
    if len(present) < 2 or set(present) != set(names):
        expected = f"the folders {', '.join(names)}" if labels else "a folder for each class"
        raise DataError(
            f"{printable(root)}: found {_listing(present)}, expected {expected} with its images"
        )
    by_label = [find_images(root / name) for name in names]
    for name, files in zip(names, by_label, strict=True):
        if not files:
            raise DataError(
                f"{printable(root / name)}: holds no images ({_listing(sorted(SUFFIXES))})"
            )
    return LabelledFolder(
        root,
        names,
        tuple(path for files in by_label for path in files),
        tuple(index for index, files in enumerate(by_label) for _ in files),
    )


def find_split(data: Path, split: str) -> Path | None:
    """The folder of one part of a data set, or None where it has no such part.

    Raises:
        DataError: the data set's folder cannot be opened.
    """
    try:
        return data / split if (data / split).is_dir() else None
    except OSError as err:
        raise DataError(f"{printable(data)}: cannot be opened: {err.strerror}") from err


def read_folder(
    folder: LabelledFolder, spec: InputSpec, reporter: Reporter | None = None
) -> LabelledImages:
    """Read every image of a folder at the network's size.

    Args:
        folder: from :func:`open_folder`.
        spec: size, channels and geometry.
        reporter: shows progress, and the files that are left out.

    Returns:
        The images that could be read, and for the others why not.

    Raises:
        DataError: a class has no readable image.
    """
    reporter = reporter or Silent()
    pixels, kept, unreadable = [], [], []
    with reporter.bar(f"reading {folder.root.name}") as advance:
        for index, path in enumerate(folder.files):
            try:
                pixels.append(resize_to_input(read_image(path, channels=spec.channels), spec))
                kept.append(index)
            except ImageError as err:
                unreadable.append((path, str(err)))
            advance(index + 1, len(folder.files))
    for _, reason in unreadable:
        reporter.say(f"left out: {reason}")
    labels = np.asarray([folder.indices[i] for i in kept], np.intp)
    for index, name in enumerate(folder.labels):
        if index not in labels:
            raise DataError(f"{printable(folder.root / name)}: none of its images can be read")
    files = tuple(folder.files[i] for i in kept)
    return LabelledImages(np.concatenate(pixels), labels, files, tuple(unreadable))


def _class_names(root: Path) -> list[str]:
    """Names of the folders in a folder, sorted, hidden ones left out."""
    try:
        if not root.is_dir():
            raise DataError(f"{printable(root)}: no such folder")
        return sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as err:
        raise DataError(f"{printable(root)}: cannot be listed: {err.strerror}") from err


def _raise(err: OSError) -> None:
    raise err


def _listing(names: Iterable[str], limit: int = 8) -> str:
    shown = list(names)
    more = ", …" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more if shown else "nothing"
