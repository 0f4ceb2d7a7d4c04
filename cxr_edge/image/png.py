"""PNG: checks all chunks, and refuses variants that viewers and decoders read differently."""

from __future__ import annotations

import struct
import zlib

from cxr_edge.errors import ImageError
from cxr_edge.image.header import Header, ImageLimits, check_size
from cxr_edge.image.ifd import read_orientation

MAGIC = b"\x89PNG\r\n\x1a\n"

_MAX_CHUNKS = 100_000
_PALETTE = 3
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# The chunks that the decoder gets. Others are harmful: libpng applies gamma to grey but not to
# colour, texts can inflate without bound, and faulty colour profiles make it print warnings.
_ESSENTIAL = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def inspect(data: bytes, limits: ImageLimits) -> Header:
    """Walk all chunks from IHDR to IEND; libpng itself checks that the rows are complete.

    Raises:
        ImageError: the file is damaged, cut, too large, or of a kind that is not supported.
        struct.error: a chunk ends early.
    """
    offset, header, has_alpha, orientation = len(MAGIC), b"", False, 1
    transparent: tuple[int, int, int] | None = None
    essential: list[bytes | memoryview] = [MAGIC]
    view = memoryview(data)
    for _ in range(_MAX_CHUNKS):
        length, chunk_type = struct.unpack_from(">I4s", data, offset)
        body = view[offset + 8 : offset + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, offset + 8 + length)
        if zlib.crc32(view[offset + 4 : offset + 8 + length]) != checksum:
            raise ImageError(
                f"the PNG is damaged: wrong checksum of the chunk at byte {offset}; "
                "get the file again"
            )
        if not header:
            if chunk_type != b"IHDR":
                raise ImageError(
                    "the PNG is damaged: its first chunk is not IHDR; get the file again"
                )
            header = bytes(body)
            has_alpha = _check_header(header, limits)
        elif chunk_type == b"tRNS":
            transparent = _transparent_value(header, bytes(body))
            has_alpha |= transparent is None
        elif chunk_type == b"acTL":
            raise ImageError(
                "an animated PNG has several frames, expected one; save the one to read"
            )
        elif chunk_type == b"eXIf":
            orientation = read_orientation(bytes(body))
        if chunk_type in _ESSENTIAL:
            essential.append(view[offset : offset + 12 + length])
        if chunk_type == b"IEND":
            width, height, _, colour = struct.unpack_from(">IIBB", header)
            return Header(
                width,
                height,
                orientation,
                has_alpha,
                transparent,
                is_colour=colour not in (0, 4),
                payload=b"".join(essential),
            )
        offset += 12 + length
    raise ImageError(f"the PNG has more than {_MAX_CHUNKS:,} chunks; save it again")


def _check_header(header: bytes, limits: ImageLimits) -> bool:
    """Check IHDR; return whether the pixels carry alpha."""
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    check_size(width, height, limits)
    if depth not in _DEPTHS.get(colour, ()) or interlace > 1:
        raise ImageError(
            f"the PNG is damaged: {depth} bits with colour type {colour} and interlace {interlace} "
            "is no valid combination; get the file again"
        )
    if depth == 16:
        raise ImageError(
            "the PNG has 16 bits a sample, supported are 8; choose a window and save it as 8 bits"
        )
    return colour in (4, 6)


def _transparent_value(header: bytes, body: bytes) -> tuple[int, int, int] | None:
    """RGB that tRNS makes transparent; None for a palette, which OpenCV decodes to alpha."""
    depth, colour = header[8], header[9]
    if colour == _PALETTE:
        return None
    values = struct.unpack(">H" if colour == 0 else ">HHH", body)
    scaled = [value * 255 // (2**depth - 1) for value in values]
    return (scaled[0], scaled[-2 % len(scaled)], scaled[-1])
