"""BMP: checks the header, and that the file holds every row."""

from __future__ import annotations

import struct

from cxr_edge.errors import ImageError
from cxr_edge.image.header import Header, ImageLimits, check_size

MAGIC = b"BM"

_UNCOMPRESSED, _BITFIELDS = 0, 3
_CORE_HEADER = 12
_HEADER_SIZES = (_CORE_HEADER, 40, 52, 56, 64, 108, 124)
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
        compression = _UNCOMPRESSED
    else:
        width, height, planes, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    height = abs(height)  # negative: the top row comes first
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
    has_alpha = bits == 32 and size >= 56 and struct.unpack_from("<I", data, 66)[0] != 0
    return Header(width, height, has_alpha=has_alpha)
