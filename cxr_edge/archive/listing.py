"""The image files of an archive, one at a time: only the names of one folder are in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cxr_edge.image.listing import no_images, unlistable, walk_images


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file to classify, as it was listed."""

    name: str
    """Path below the archive, with ``/`` between folders. A backslash is written as two, and a byte
    that is no UTF-8 as ``\\xNN``, so that different files never have one name."""
    path: str
    """What the file is opened by."""
    bytes: int | None
    """Its size; None: it cannot be examined, which reading it will explain."""
    modified_ns: int | None
    """When it was last changed, in ns since 1970; None: it cannot be examined, or that is not
    between 1678 and 2262."""


def list_archive(archive: Path) -> Iterator[ImageFile | None]:
    """List the images below a folder, in an order that depends on their names only.

    Files count as images by the rule of :func:`cxr_edge.image.listing.walk_images`.

    Yields:
        An image, or None for another file.

    Raises:
        DataError: the folder, or one in it, cannot be listed.
    """
    try:
        for path in walk_images(archive):
            yield None if path is None else _examined(path, archive)
    except OSError as err:
        raise unlistable(archive, err) from err


def refuse_no_images(archive: Path) -> None:
    """Refuse a folder without images, before a folder of results is made for it.

    Raises:
        DataError: as :func:`list_archive`.
        ImageError: it holds no images.
    """
    ignored = 0
    for image in list_archive(archive):
        if image:
            return
        ignored += 1
    raise no_images(str(archive), ignored)


def storable_time(time_ns: int | None) -> int | None:
    """A file's time, or None where it is so far from 1970 that 64 bits do not hold it."""
    return time_ns if time_ns is not None and abs(time_ns) < 2**63 else None


def portable_name(path: str) -> str:
    """A path in UTF-8 without loss; see :attr:`ImageFile.name`."""
    return os.fsencode(path.replace("\\", "\\\\")).decode("utf-8", "backslashreplace")


def _examined(path: Path, archive: Path) -> ImageFile:
    name = portable_name(path.relative_to(archive).as_posix())
    try:
        status = path.stat()
    except OSError:
        return ImageFile(name, os.fspath(path), None, None)
    return ImageFile(name, os.fspath(path), status.st_size, storable_time(status.st_mtime_ns))
