"""Image file directories: the tag lists of TIFF, which EXIF uses as well.

Only the tags that are asked for are read. Their values have a bound in number, and no two of them
may lie in the same bytes, so that a small file cannot hold many large tags.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError
from cxr_edge.records import dataclass

ORIENTATION = 0x0112
EXIF_BYTES = 65_536
"""Length of EXIF that is looked at; JPEG, where it comes from, allows no more."""

_ORDERS = {b"II*\x00": "<", b"MM\x00*": ">"}
_INTEGERS = {1: "u1", 3: "u2", 4: "u4"}  # BYTE, SHORT, LONG: all that sizes and offsets use


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory, reduced to the tags that were asked for."""

    tags: dict[int, npt.NDArray[Any]]
    """Tag number to its values, in the file's own type and memory."""
    following: int
    """Offset of the next directory, 0 after the last."""

    def first(self, tag: int, default: int = 0) -> int:
        """The first value of a tag, or ``default`` where it is absent."""
        values = self.get(tag)
        return int(values[0]) if len(values) else default

    def get(self, tag: int) -> npt.NDArray[np.int64]:
        """All values of a tag, none where it is absent."""
        return self.tags[tag].astype(np.int64) if tag in self.tags else np.zeros(0, np.int64)


def read_directory(data: bytes, tags: Collection[int], max_values: int) -> Directory:
    """Read some tags of the first directory of a TIFF structure.

    Args:
        data: the structure, starting with its byte-order mark.
        tags: numbers of the tags to read; those of other types than integers are left out.
        max_values: the most values that a tag may have.

    Raises:
        ImageError: ``data`` is not a TIFF structure, or a tag points outside it, has too many
            values or shares its bytes with another.
        struct.error: ``data`` ends early.
    """
    order = _ORDERS.get(data[:4])
    if order is None:
        raise ImageError("no TIFF byte-order mark; the file is damaged")
    (offset,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, offset)
    end = offset + 2 + 12 * count
    values: dict[int, npt.NDArray[Any]] = {}
    ranges: dict[int, tuple[int, int]] = {}
    for entry in range(offset + 2, end, 12):
        tag, field_type, length = struct.unpack_from(order + "HHI", data, entry)
        if tag not in tags or field_type not in _INTEGERS:
            continue
        dtype = np.dtype(order + _INTEGERS[field_type])
        start, size = entry + 8, length * dtype.itemsize
        if size > 4:
            (start,) = struct.unpack_from(order + "I", data, start)
            ranges[tag] = (start, start + size)
        if length > max_values or start + size > len(data):
            raise ImageError(
                f"TIFF tag {tag} has {length:,} values or points outside the file; "
                "get the whole file"
            )
        values[tag] = np.frombuffer(data, dtype, length, start)
    check_disjoint(sorted(ranges.values()), "TIFF tags")
    following = struct.unpack_from(order + "I", data, end)[0] if end + 4 <= len(data) else 0
    return Directory(values, following)


def check_disjoint(ranges: list[tuple[int, int]], name: str) -> None:
    """Refuse parts of a file that share bytes, by which a small file becomes large when read.

    Args:
        ranges: first byte and end of each part, sorted.
        name: of the parts, for the message.

    Raises:
        ImageError: two overlap.
    """
    for (_, end), (start, _) in pairwise(ranges):
        if start < end:
            raise ImageError(
                f"the file is damaged: {name} share the bytes at {start}; save it again"
            )


def read_orientation(exif: bytes, absent: int = 1) -> int:
    """Orientation 1..8 from an EXIF block; ``absent`` if it has none, or one that is malformed.

    Damaged EXIF says nothing about the picture itself, so it is not an error.

    Args:
        exif: the block; bytes after the first ``EXIF_BYTES`` are not looked at.
        absent: what to return where there is none.
    """
    structure = exif[: EXIF_BYTES + 6].removeprefix(b"Exif\x00\x00")
    try:
        value = read_directory(structure, {ORIENTATION}, 1_000).first(ORIENTATION, absent)
    except (ImageError, struct.error):
        return absent
    return value if 1 <= value <= 8 else absent
