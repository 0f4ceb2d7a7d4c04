"""The images in a folder: by suffix, and by content where a name has none."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cxr_edge.image.formats import recognizes

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp"}
    | {".dcm", ".dicom"}
)
"""Lower-case suffixes of the files that count as images in a folder; content gives the format."""

HEATMAP_SUFFIX = ".heatmap.png"
"""Ends the name of every picture that ``cxr-edge predict --heatmap`` writes."""

_LITTER = ("__macosx", "__pycache__", "@eadir", "$recycle.bin", "system volume information")
"""Folders that archivers and file managers leave, in lower case."""
_DICOM_INDEX = "DICOMDIR"
_ENOUGH_BYTES = 132  # up to the end of DICOM's magic, which comes last


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
        by_content: whether a file without a suffix, or with a number for one, as archives name
            DICOM files, is an image if its first bytes are those of a supported format.

    Raises:
        OSError: the folder cannot be listed.
    """
    images: list[Path] = []
    ignored = 0
    for root, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not is_litter(name))
        for name in sorted(names):
            if name.startswith(".") or name.lower().endswith(HEATMAP_SUFFIX):
                continue
            path = Path(root, name)
            suffix = path.suffix.lower()
            looked_into = by_content and not suffix.strip(".0123456789")
            if suffix in SUFFIXES or (looked_into and looks_like_image(path)):
                images.append(path)
            else:
                ignored += 1
    return Listing(tuple(images), ignored)


def is_litter(folder: str) -> bool:
    """Whether a folder of this name was made by a program for itself."""
    return folder.startswith(".") or folder.lower() in _LITTER


def looks_like_image(path: Path) -> bool:
    """Whether a file begins like an image; False where it cannot be read."""
    if path.name == _DICOM_INDEX:  # has the magic of DICOM, and no picture
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        return recognizes(os.read(descriptor, _ENOUGH_BYTES))
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _raise(err: OSError) -> None:
    raise err
