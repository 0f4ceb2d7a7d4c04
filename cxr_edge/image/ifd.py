"""Image file directories: the tag lists of TIFF, which EXIF uses as well."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError

ORIENTATION = 0x0112

_ORDERS = {b"II*\x00": "<", b"MM\x00*": ">"}
_INTEGERS = {1: "u1", 3: "u2", 4: "u4"}  # BYTE, SHORT, LONG: all that sizes and offsets use
_MAX_VALUES = 1_000_000


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory."""

    tags: dict[int, npt.NDArray[np.int64]]
    """Tag number to its values; tags of other types are left out."""
    entries: dict[int, bytes]
    """Tag number to its 12 bytes in the file, for all tags."""
    following: int
    """Offset of the next directory, 0 after the last."""

    def first(self, tag: int, default: int = 0) -> int:
        """The first value of a tag, or ``default`` where it is absent."""
        values = self.get(tag)
        return int(values[0]) if len(values) else default

    def get(self, tag: int) -> npt.NDArray[np.int64]:
        """All values of a tag, none where it is absent."""
        return self.tags.get(tag, np.zeros(0, np.int64))


def read_directory(data: bytes) -> Directory:
    """Read the first directory of a TIFF structure.

    Args:
        data: the structure, starting with its byte-order mark.

    Raises:
        ImageError: ``data`` is not a TIFF structure, or a tag points outside it.
        struct.error: ``data`` ends early.
    """
    order = _ORDERS.get(data[:4])
    if order is None:
        raise ImageError("no TIFF byte-order mark; the file is damaged")
    (offset,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, offset)
    tags, entries = {}, {}
    for entry in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, field_type, length = struct.unpack_from(order + "HHI", data, entry)
        entries[tag] = data[entry : entry + 12]
        if field_type not in _INTEGERS:
            continue
        dtype = np.dtype(order + _INTEGERS[field_type])
        start = entry + 8
        if length * dtype.itemsize > 4:
            (start,) = struct.unpack_from(order + "I", data, start)
        if length > _MAX_VALUES or start + length * dtype.itemsize > len(data):
            raise ImageError(f"TIFF tag {tag} points outside the file; get the whole file")
        tags[tag] = np.frombuffer(data, dtype, length, start).astype(np.int64)
    end = offset + 2 + 12 * count
    following = struct.unpack_from(order + "I", data, end)[0] if end + 4 <= len(data) else 0
    return Directory(tags, entries, following)


def with_directory(data: bytes, directory: Directory, tags: frozenset[int]) -> bytes:
    """Return the TIFF file ``data`` with a directory of only the given tags."""
    order = _ORDERS[data[:4]]
    entries = [entry for tag, entry in sorted(directory.entries.items()) if tag in tags]
    end = len(data) + len(data) % 2
    body = struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)
    return data[:4] + struct.pack(order + "I", end) + data[8:].ljust(end - 8, b"\x00") + body


def read_orientation(exif: bytes, absent: int = 1) -> int:
    """Orientation 1..8 from an EXIF block; ``absent`` if it has none, or one that is malformed.

    Damaged EXIF says nothing about the picture itself, so it is not an error.
    """
    try:
        value = read_directory(exif.removeprefix(b"Exif\x00\x00")).first(ORIENTATION, absent)
    except (ImageError, struct.error):
        return absent
    return value if 1 <= value <= 8 else absent
