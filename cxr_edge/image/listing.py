"""The images in a folder: by suffix, and by content where a name has none."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from cxr_edge.errors import DataError, ImageError
from cxr_edge.files import printable, why
from cxr_edge.image.dicom.recognition import is_dicom
from cxr_edge.image.formats import recognizes
from cxr_edge.records import dataclass

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp"}
    | {".dcm", ".dicom"}
)
"""Lower-case suffixes of the files that count as images in a folder; content gives the format."""

HEATMAP_SUFFIX = ".heatmap.png"
"""Ends the name of every picture that ``cxr-edge predict --heatmap`` writes."""

_LITTER = frozenset(
    {"__macosx", "__pycache__", "lost+found", "system volume information"}
    | {"$recycle.bin", "recycler", "#recycle", "@recycle"}
    | {"@eadir", "#snapshot", "@recently-snapshot"}
)
"""Folders of archivers, file systems, bins and network drives, in lower case: what they hold was
deleted, or is held elsewhere, or cannot be listed."""
_NOTHING_THERE = (errno.ENOENT, errno.ELOOP)  # a link to nowhere, or a file that has gone
_DICOM_DIRECTORY = "dicomdir"
_NUMBER = ".0123456789"

ENOUGH_BYTES = 132
"""Of a file's beginning, to recognize it: up to the end of DICOM's magic, which comes last."""


def unlistable(folder: str | Path, err: OSError) -> DataError:
    """The error of a folder that cannot be listed, or of one in it, which is then named."""
    return DataError(f"{printable(err.filename or folder)}: cannot be listed: {why(err)}")


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder and the folders below it hold."""

    images: tuple[Path, ...]
    """Files to read as images, sorted within each folder."""
    ignored: int
    """Number of other files; hidden files and our own heat maps are not counted."""


def list_images(folder: Path, *, by_content: bool = True) -> Listing:
    """List the image files below a folder.

    Hidden files and folders and those of archivers are skipped, links to folders not followed.

    Args:
        folder: where to look.
        by_content: whether first bytes count: those of a supported format in a file without a
            suffix, or with a number for one, as archives name DICOM files; those of DICOM in a file
            with any unknown suffix, such as ``.IMA``. A file that cannot be looked into counts as
            an image, so that reading it says why.

    Raises:
        OSError: the folder cannot be listed.
    """
    images: list[Path] = []
    ignored = 0
    for path in walk_images(folder, by_content=by_content):
        if path is None:
            ignored += 1
        else:
            images.append(path)
    return Listing(tuple(images), ignored)


def walk_images(folder: Path, *, by_content: bool = True) -> Iterator[Path | None]:
    """Walk through the files that :func:`list_images` lists, a folder at a time.

    Yields:
        An image file, or None for another file.

    Raises:
        OSError: a folder cannot be listed.
    """
    for root, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not is_litter(name))
        for name in sorted(names):
            path = Path(root, name)
            kind = kind_by_name(name)
            if kind == "hidden":
                continue
            is_image = kind == "image" or (by_content and _may_be_image(path))
            yield path if is_image else None


def other_files(count: int) -> str:
    """Files that are no images, in words."""
    return "1 other file" if count == 1 else f"{count:,} other files"


def no_images(folder: str, ignored: int) -> ImageError:
    """The error for a folder without images; ``ignored`` is the number of other files."""
    but = f", but {other_files(ignored)}" if ignored else ""
    return ImageError(f"{printable(folder)}: holds no images{but}; name a folder with images")


def kind_by_name(name: str) -> Literal["image", "hidden", "unknown"]:
    """What a file in a folder is, as far as its name tells.

    Returns:
        ``hidden``: not even counted. ``unknown``: the first bytes tell.
    """
    if name.startswith(".") or name.lower().endswith(HEATMAP_SUFFIX) or is_directory_file(name):
        return "hidden"
    return "image" if Path(name).suffix.lower() in SUFFIXES else "unknown"


def is_litter(folder: str) -> bool:
    """Whether a folder of this name was made by a program for itself."""
    return folder.startswith(".") or folder.lower() in _LITTER


def is_directory_file(name: str) -> bool:
    """Whether a file is a DICOMDIR by its name, in any case and with a CD's version number.

    It has the magic of DICOM, and no picture.
    """
    return without_version(name).casefold() == _DICOM_DIRECTORY


def without_version(name: str) -> str:
    """A name without what ISO 9660 adds: ``I0000001.;1`` is ``I0000001``."""
    return name.partition(";")[0].rstrip(".")


def stem_of(source: str) -> str:
    """A file's name without its suffix; a number is none, as in ``1.2.840.7``."""
    path = Path(source)
    return path.stem if path.suffix.strip(_NUMBER) else path.name


def is_image_by_content(name: str, data: bytes) -> bool:
    """Whether a file whose name does not tell counts as an image.

    Args:
        name: of the file.
        data: its first :data:`ENOUGH_BYTES`, or fewer.
    """
    has_suffix = bool(Path(name).suffix.strip(_NUMBER))
    return is_dicom(data) if has_suffix else recognizes(data)


def _may_be_image(path: Path) -> bool:
    """Whether a file counts as an image by its content, or cannot be read: that is to be said."""
    try:
        return is_image_by_content(path.name, _read_first(path, ENOUGH_BYTES))
    except OSError as err:
        return err.errno not in _NOTHING_THERE


def looks_like_image(path: Path) -> bool:
    """Whether a file begins like an image; False where it cannot be read."""
    return recognizes(first_bytes(path, ENOUGH_BYTES))


def first_bytes(path: str | os.PathLike[str], count: int) -> bytes:
    """The first ``count`` bytes of a regular file, or fewer; empty where it cannot be read."""
    try:
        return _read_first(path, count)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return b""


def _read_first(path: str | os.PathLike[str], count: int) -> bytes:
    """As :func:`first_bytes`.

    Raises:
        OSError: it cannot be read.
    """
    if not stat.S_ISREG(Path(path).stat().st_mode):
        return b""  # opening a pipe without a reader, or a socket, fails
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.read(descriptor, count) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    finally:
        os.close(descriptor)


def _raise(err: OSError) -> None:
    raise err
