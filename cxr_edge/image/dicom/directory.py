"""DICOMDIR: the files that a CD's directory names, found on the disk that it was copied to.

The records stand in one sequence. It is read from its beginning to its end, and the offsets by
which records refer to each other are not followed: a cycle in them has no effect. No file outside
the directory's own folder is named, whatever a record or a link says.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_edge.errors import CxrEdgeError, ImageError
from cxr_edge.extras import require
from cxr_edge.files import printable, read_file
from cxr_edge.image.dicom.quiet import without_warnings
from cxr_edge.image.listing import without_version

MAX_BYTES = 64 * 2**20
"""Largest DICOMDIR, bytes."""
MAX_RECORDS = 100_000
"""Most records: one for each file, patient, study and series."""

_CLASS = "1.2.840.10008.1.3.10"
_SEQUENCE = 0x00041220
_UNDEFINED = 0xFFFFFFFF
_NOT_DICOM = ("HL7 STRUC DOC",)
"""Record types whose file is in another format."""


@dataclass(frozen=True, slots=True)
class Directory:
    """What the records of a DICOMDIR name."""

    files: tuple[Path, ...]
    """Files that are there, in the order of the records."""
    absent: tuple[str, ...]
    """Files that are not there, as the records name them, with ``/``."""
    outside: tuple[str, ...]
    """Names that lead out of the folder; nothing was opened there."""


def read_directory(path: Path) -> Directory:
    """Find the files that a DICOMDIR names.

    Names are compared without case and without version numbers (``;1``), as disks that were made
    for other systems need. Records that are marked as not in use are skipped.

    Raises:
        ImageError: the file cannot be read, is damaged, too large or no DICOMDIR.
        MissingExtraError: pydicom is not installed.
    """
    data = read_file(path, max_bytes=MAX_BYTES, error=ImageError)
    pydicom = require("pydicom", "dicom")
    with without_warnings():
        try:
            records = _read_records(data, pydicom)
        except (CxrEdgeError, MemoryError) as err:
            raise ImageError(f"{printable(path)}: {err}") from err
        except Exception as err:  # pydicom's parser raises errors of many types
            raise ImageError(
                f"{printable(path)}: the DICOMDIR is damaged or was cut; name its folder instead"
            ) from err
    folder = _Folder(path.parent)
    files: dict[Path, None] = {}
    absent: list[str] = []
    outside: list[str] = []
    for names in records:
        file = folder.find(names)
        if isinstance(file, Path):
            files[file] = None  # once, although two records may share it
        else:
            (absent if file == "absent" else outside).append("/".join(names))
    return Directory(tuple(files), tuple(dict.fromkeys(absent)), tuple(dict.fromkeys(outside)))


def _read_records(data: bytes, pydicom: Any) -> list[tuple[str, ...]]:
    """The components of every file's name.

    Raises:
        ImageError: there are too many records, or it is no DICOMDIR.
        Exception: of pydicom, where the file is damaged.
    """
    file = io.BytesIO(data)
    places: list[tuple[int, int]] = []

    def stops(tag: int, vr: str | None, length: int) -> bool:
        if tag == _SEQUENCE:
            places.append((file.tell(), length))
        return tag >= _SEQUENCE

    head = pydicom.filereader.read_partial(file, stops, specific_tags=[])
    meta = getattr(head, "file_meta", None) or {}
    if str(meta.get("MediaStorageSOPClassUID", "")) != _CLASS:
        raise ImageError("no DICOMDIR by its content; give it another name to read it as an image")
    if not places:
        raise ImageError("the DICOMDIR has no records; name its folder instead")
    (start, length), (implicit, little) = places[0], head.original_encoding
    end = len(data) if length == _UNDEFINED else start + length
    if end > len(data):
        raise ImageError("the DICOMDIR is damaged or was cut; name its folder instead")
    file.seek(start)
    names: list[tuple[str, ...]] = []
    count = 0
    while file.tell() < end:
        record = pydicom.filereader.read_sequence_item(file, implicit, little, "iso8859", start)
        if record is None:  # the delimiter of a sequence of undefined length
            break
        count += 1
        if count > MAX_RECORDS:
            raise ImageError(
                f"the DICOMDIR has more than {MAX_RECORDS:,} records; name its folder instead"
            )
        name = record.get("ReferencedFileID")
        in_use = record.get("RecordInUseFlag", 0xFFFF) != 0
        if name and in_use and record.get("DirectoryRecordType") not in _NOT_DICOM:
            names.append(_components(name))
    return names


def _components(name: Any) -> tuple[str, ...]:
    """A file's name in components, which pydicom splits at the backslash."""
    return (name,) if isinstance(name, str) else tuple(map(str, name))


class _Folder:
    """The folder of a DICOMDIR, and those below it, listed once each."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real_root = os.path.realpath(root)
        self._listed: dict[Path, dict[str, str]] = {}

    def find(self, names: tuple[str, ...]) -> Path | str:
        """The file; ``absent``: it is not there; ``outside``: its name or a link leads out."""
        if any(_leads_out(name) for name in names):
            return "outside"
        path = self._root
        for name in names:
            entry = self._entries(path).get(_key(name))
            if entry is None:
                return "absent"
            path /= entry
        real = os.path.realpath(path)
        if os.path.commonpath((real, self._real_root)) != self._real_root:
            return "outside"
        return path if Path(real).is_file() else "absent"

    def _entries(self, folder: Path) -> dict[str, str]:
        if folder not in self._listed:
            inside = os.path.commonpath((os.path.realpath(folder), self._real_root))
            try:
                names = sorted(os.listdir(folder)) if inside == self._real_root else []  # noqa: PTH208
            except OSError:
                names = []
            self._listed[folder] = {_key(name): name for name in names}
        return self._listed[folder]


def _key(name: str) -> str:
    return without_version(name).casefold()


def _leads_out(name: str) -> bool:
    return without_version(name) in ("", ".", "..") or "/" in name or "\0" in name
