"""The images in a folder: by suffix, and by content where a name has none."""

from __future__ import annotations

import os
import stat
from pathlib import Path

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

_LITTER = ("__macosx", "__pycache__", "@eadir", "$recycle.bin", "system volume information")
"""Folders that archivers and file managers leave, in lower case."""
_DICOM_DIRECTORY = "dicomdir"
_NUMBER = ".0123456789"
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
        by_content: whether first bytes count: those of a supported format in a file without a
            suffix, or with a number for one, as archives name DICOM files; those of DICOM in a file
            with any unknown suffix, such as ``.IMA``.

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
            if suffix in SUFFIXES:
                images.append(path)
            elif is_directory_file(name):
                continue
            elif by_content and looks_like_image(path, only_dicom=bool(suffix.strip(_NUMBER))):
                images.append(path)
            else:
                ignored += 1
    return Listing(tuple(images), ignored)


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


def looks_like_image(path: Path, *, only_dicom: bool = False) -> bool:
    """Whether a file begins like an image, or like DICOM; False where it cannot be read."""
    data = first_bytes(path, _ENOUGH_BYTES)
    return is_dicom(data) if only_dicom else recognizes(data)


def first_bytes(path: str | os.PathLike[str], count: int) -> bytes:
    """The first ``count`` bytes of a regular file, or fewer; empty where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return b""
    try:
        return os.read(descriptor, count) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _raise(err: OSError) -> None:
    raise err
