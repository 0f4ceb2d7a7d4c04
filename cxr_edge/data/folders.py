"""Folders of labelled images: one folder for each class, named by its label."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_edge.device.batch import map_in_order
from cxr_edge.device.machine import usable_cpus
from cxr_edge.document_checks import MOST_CHARACTERS, is_one_line
from cxr_edge.errors import DataError, ImageError, UsageError
from cxr_edge.files import printable, why
from cxr_edge.image import SUFFIXES, list_images, read_image
from cxr_edge.image.listing import is_litter, unlistable
from cxr_edge.preprocess import Pixels, resize_to_input
from cxr_edge.reporting import Reporter, Silent
from cxr_edge.spec import InputSpec

SPLITS = ("train", "val", "test")
"""Names of a data set's splits."""

_SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What the folder of a split may be called, in any case."""

_FILES_A_TASK = 8  # handing a small image from thread to thread takes longer than decoding it

Labels = npt.NDArray[np.intp]
"""(N,) indices into the labels."""


@dataclass(frozen=True, slots=True)
class LabelledFolder:
    """The files of one split, listed but not read."""

    root: Path
    """The folder that holds a folder for each class."""
    labels: tuple[str, ...]
    """The classes, in the order that ``indices`` refers to."""
    files: tuple[Path, ...]
    """Image files, sorted within each class."""
    indices: tuple[int, ...]
    """For each file, the index of its label."""
    ignored: tuple[str, ...] = ()
    """Folders beside the classes that no person made, such as ``__MACOSX``."""

    @property
    def counts(self) -> dict[str, int]:
        """Label → number of files."""
        return {name: self.indices.count(i) for i, name in enumerate(self.labels)}


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """The readable images of a folder, decoded, in the folder's order."""

    pixels: Pixels
    """(N, height, width, channels) uint8."""
    labels: Labels
    """(N,) indices into the folder's labels."""
    files: tuple[Path, ...]
    """The N files; empty where the images have no names."""
    unreadable: tuple[tuple[Path, str], ...]
    """Files that could not be read, each with the reason."""


def check_outside(out: Path, data: Path) -> None:
    """Refuse an output folder that would lie in the folder of images it is made from.

    Raises:
        UsageError: another folder must be chosen.
    """
    if out.resolve().is_relative_to(data.resolve()):
        raise UsageError(
            f"{printable(out)}: lies among the images of {printable(data)}; write elsewhere (-o)"
        )


def find_images(folder: Path) -> list[Path]:
    """List the image files below a folder by suffix, sorted.

    Hidden files and folders, what archivers leave and our own heat maps are skipped; links to
    folders are not followed.

    Raises:
        DataError: the folder cannot be listed.
    """
    try:
        return list(list_images(folder, by_content=False).images)
    except OSError as err:
        raise unlistable(folder, err) from err


def open_folder(root: Path, labels: Sequence[str] | None = None) -> LabelledFolder:
    """List a folder of classes.

    Args:
        root: holds one folder for each class.
        labels: the classes in the model's order; None: the folder's own, sorted.

    Raises:
        DataError: the folder does not exist, its class folders are not ``labels``, or a class has
            no images.
    """
    folders = _subfolders(root)
    present = [name for name in folders if not is_litter(name)]
    names = tuple(present if labels is None else labels)
    if len(present) < 2 or set(present) != set(names):
        if labels:
            expected = f"the folders {_abbreviate(names)}, each with its images"
        else:
            expected = "a folder for each class, at least two, each with its images"
        raise DataError(f"{printable(root)}: found {_abbreviate(present)}, expected {expected}")
    for name in names:
        if not is_one_line(name):
            raise DataError(
                f"{printable(root / name)}: a label is expected to be 1..{MOST_CHARACTERS} "
                "printable characters, without spaces at its ends; rename it"
            )
    by_label = [find_images(root / name) for name in names]
    for name, files in zip(names, by_label, strict=True):
        if not files:
            raise DataError(
                f"{printable(root / name)}: holds no images, expected files with one of the "
                f"suffixes {', '.join(sorted(SUFFIXES))}"
            )
    return LabelledFolder(
        root,
        names,
        tuple(path for files in by_label for path in files),
        tuple(index for index, files in enumerate(by_label) for _ in files),
        tuple(name for name in folders if is_litter(name)),
    )


def find_split(data: Path, split: str) -> Path | None:
    """The folder of one split of a data set, or None if the data set has no such split.

    Args:
        data: holds ``train``, ``val`` or ``test``, also in capitals or as ``training``, ``valid``,
            ``validation`` or ``testing``.
        split: one of :data:`SPLITS`.

    Raises:
        DataError: the data set's folder cannot be opened, or several folders are this split.
    """
    names = _SPLIT_FOLDERS[split]
    try:
        if not data.is_dir():
            return None
        matching = sorted(p for p in data.iterdir() if p.name.lower() in names and p.is_dir())
    except OSError as err:
        raise DataError(f"{printable(data)}: cannot be opened: {why(err)}") from err
    if len(matching) > 1:
        listing = _abbreviate([path.name for path in matching])
        raise DataError(f"{printable(data)}: has the folders {listing}; keep one of them")
    return matching[0] if matching else None


def training_folder(data: Path) -> Path:
    """The folder of classes to train on: the data set's ``train``, or the data set itself.

    Raises:
        DataError: the data set has another split but no ``train``, or cannot be opened.
    """
    if folder := find_split(data, "train"):
        return folder
    for split in SPLITS:
        if other := find_split(data, split):
            raise DataError(
                f"{printable(data)}: has the folder {printable(other.name)} but no train; "
                "expected train with a folder for each class"
            )
    return data


def read_folder(
    folder: LabelledFolder, spec: InputSpec, reporter: Reporter | None = None
) -> LabelledImages:
    """Read every image of a folder at the network's size, several at a time.

    Args:
        folder: from :func:`open_folder`.
        spec: size, channels and geometry.
        reporter: shows progress, and the files that could not be read.

    Returns:
        The readable images, and the reasons why the others are not.

    Raises:
        DataError: a class has no readable image.
    """
    reporter = reporter or Silent()
    if folder.ignored:
        reporter.say(f"{printable(folder.root)}: ignored: {_abbreviate(folder.ignored)}")
    pixels, kept, unreadable = [], [], []
    starts = range(0, len(folder.files), _FILES_A_TASK)
    tasks = (folder.files[start : start + _FILES_A_TASK] for start in starts)
    read = functools.partial(_read, spec=spec)
    with reporter.bar(f"reading {folder.root.name}") as advance:
        results = itertools.chain.from_iterable(map_in_order(read, tasks, usable_cpus()))
        for index, result in enumerate(results):
            if isinstance(result, ImageError):
                unreadable.append((folder.files[index], str(result)))
            else:
                pixels.append(result)
                kept.append(index)
            advance(index + 1, len(folder.files))
    for _, reason in unreadable:
        reporter.say(f"left out: {reason}")
    labels = np.asarray([folder.indices[i] for i in kept], np.intp)
    for index, name in enumerate(folder.labels):
        if index not in labels:
            raise DataError(f"{printable(folder.root / name)}: none of its images can be read")
    files = tuple(folder.files[i] for i in kept)
    return LabelledImages(np.concatenate(pixels), labels, files, tuple(unreadable))


def _read(files: Sequence[Path], spec: InputSpec) -> list[Pixels | ImageError]:
    """Read some files; an error stands for a file that cannot be read."""
    results: list[Pixels | ImageError] = []
    for path in files:
        try:
            results.append(resize_to_input(read_image(path, channels=spec.channels), spec))
        except ImageError as err:
            results.append(err)
    return results


def _subfolders(root: Path) -> list[str]:
    """Names of the folders in ``root``, sorted."""
    try:
        if not root.is_dir():
            if root.exists():
                raise DataError(f"{printable(root)}: is no folder; name the one that holds it")
            raise DataError(f"{printable(root)}: no such folder; check the path")
        return sorted(path.name for path in root.iterdir() if path.is_dir())
    except OSError as err:
        raise DataError(f"{printable(root)}: cannot be listed: {why(err)}") from err


def _abbreviate(names: Sequence[str], limit: int = 8) -> str:
    """The first few names in one line."""
    more = ", …" if len(names) > limit else ""
    return ", ".join(f"{printable(n):.40}" for n in names[:limit]) + more if names else "nothing"
