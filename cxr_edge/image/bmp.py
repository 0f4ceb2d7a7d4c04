"""BMP: checks the header, the palette, and that the file holds every row.

OpenCV takes the memory of a picture twice, so it gets a band of rows at a time.

What cannot be seen is a picture that was overwritten with zeros: those bytes are black pixels, or
the first colour of the palette.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial

import numpy as np

from cxr_edge.errors import ImageError
from cxr_edge.image.header import Header, ImageLimits, check_size

MAGIC = b"BM"

_UNCOMPRESSED, _BITFIELDS = 0, 3
_CORE_HEADER = 12
_HEADER_SIZES = (_CORE_HEADER, 40, 52, 56, 64, 108, 124)
_BLOCK = 2**20  # bytes of rows looked at, or decoded, at a time
_PLAIN_MASKS = (0x00FF0000, 0x0000FF00, 0x000000FF)


def inspect(data: bytes, limits: ImageLimits) -> Header:
    """Check the header and that every row lies in the file.

    Raises:
        ImageError: the file is damaged, cut, too large, or of a kind that is not supported.
        struct.error: the header ends early.
    """
    start, size = struct.unpack_from("<II", data, 10)
    if size not in _HEADER_SIZES:
        raise ImageError(f"the BMP is damaged: its header claims {size} bytes; get the file again")
    if size == _CORE_HEADER:
        width, height, planes, bits = struct.unpack_from("<HHHH", data, 18)
        compression = colours = 0
    else:
        width, height, planes, bits, compression = struct.unpack_from("<iiHHI", data, 18)
        (colours,) = struct.unpack_from("<I", data, 46)
    if colours > 256:
        raise ImageError(
            f"the BMP is damaged: a palette of {colours:,} colours, expected at most 256; "
            "get the file again"
        )
    has_top_first, height = height < 0, abs(height)
    check_size(width, height, limits)
    if planes != 1:
        raise ImageError(f"the BMP is damaged: {planes} planes, expected 1; get the file again")
    if compression == _BITFIELDS and bits == 32:
        masks = struct.unpack_from("<III", data, 54)
        if masks != _PLAIN_MASKS:
            raise ImageError(
                "the BMP has an unsupported channel order; save it as 24-bit BMP or PNG"
            )
    elif compression != _UNCOMPRESSED or bits not in (1, 4, 8, 24, 32):
        raise ImageError(
            f"the BMP has {bits} bits a pixel and compression {compression}, supported are"
            " 1, 4, 8, 24 and 32 bits uncompressed; save it as PNG"
        )
    end = start + height * ((width * bits + 31) // 32 * 4)
    if start < 14 + size or end > len(data):
        raise ImageError(
            f"the BMP is cut: its rows end at byte {end:,} of {len(data):,}; get the whole file"
        )
    if bits <= 8:
        entry = 3 if size == _CORE_HEADER else 4
        entries = min(colours or 1 << bits, (start - 14 - size) // entry)  # in front of the rows
        _check_palette(memoryview(data)[start:end], width, height, bits, entries)
    has_alpha = bits == 32 and size >= 56 and struct.unpack_from("<I", data, 66)[0] != 0
    rows = partial(_split, data, start, end, size, width, height, has_top_first)
    return Header(width, height, has_alpha=has_alpha, hides_colour=True, split=rows)


def _split(
    data: bytes, start: int, end: int, size: int, width: int, height: int, has_top_first: bool
) -> Iterator[bytes]:
    """BMPs of a band of rows each, from the top.

    Args:
        data: the file.
        start: of its rows.
        end: of them.
        size: of its second header.
        width: columns, pixels.
        height: rows, pixels.
        has_top_first: whether the top row comes first, else the bottom row.
    """
    row_bytes = (end - start) // height
    count = max(_BLOCK // max(row_bytes, 3 * width), 1)
    view = memoryview(data)
    for top in range(0, height, count):
        rows = min(count, height - top)
        first = start + row_bytes * (top if has_top_first else height - top - rows)
        if size == _CORE_HEADER:
            field = struct.pack("<H", rows)
            head = (view[:20], field, view[22:start])
        else:
            field = struct.pack("<i", -rows if has_top_first else rows)
            head = (view[:22], field, view[26:start])
        yield b"".join((*head, view[first : first + row_bytes * rows]))


def _check_palette(rows: memoryview, width: int, height: int, bits: int, entries: int) -> None:
    """Refuse a palette that does not hold every colour used.

    Args:
        rows: the picture, each row padded to four bytes.
        width: columns, pixels.
        height: rows, pixels.
        bits: of an index.
        entries: of the palette.

    Raises:
        ImageError: a pixel's colour is not in the palette.
    """
    if entries >= 1 << bits:
        return
    mask = (1 << bits) - 1
    lines = np.frombuffer(rows, np.uint8).reshape(height, -1)
    per_byte = 8 // bits
    largest = 0
    step = max(_BLOCK // lines.shape[1], 1)
    for top in range(0, height, step):
        for place in range(per_byte):  # the first index lies in the highest bits
            columns = -(-(width - place) // per_byte)
            used = lines[top : top + step, :columns] >> (8 - bits * (place + 1)) & mask
            largest = max(largest, int(used.max(initial=0)))
    if largest >= entries:
        raise ImageError(
            f"the BMP is damaged: a pixel has colour {largest}, its palette {entries} entries; "
            "get the file again"
        )
