"""PNG: chunks, checksums, and the variants that a viewer and a decoder disagree about."""

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
# All that a decoder needs. The rest can only harm: gamma, which libpng applies to grey but not to
# colour, texts that inflate without bound, and colour profiles whose every fault it prints.
_ESSENTIAL = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def inspect(data: bytes, limits: ImageLimits) -> Header:
    """Walk all chunks from IHDR to IEND. That the rows are complete, libpng checks.

    Raises:
        ImageError: the file is damaged, cut, too large, or of a kind that is not supported.
        struct.error: a chunk ends early.
    """
    at, header, has_alpha, orientation = len(MAGIC), b"", False, 1
    transparent: tuple[int, int, int] | None = None
    essential: list[bytes | memoryview] = [MAGIC]
    view = memoryview(data)
    for _ in range(_MAX_CHUNKS):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = view[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(view[at + 4 : at + 8 + length]) != checksum:
            raise ImageError(f"the PNG is damaged: wrong checksum of the chunk at byte {at}")
        if not header:
            if kind != b"IHDR":
                raise ImageError("the PNG is damaged: it does not begin with IHDR")
            header = bytes(body)
            has_alpha = _check_header(header, limits)
        elif kind == b"tRNS":
            transparent = _transparent_value(header, bytes(body))
            has_alpha |= transparent is None
        elif kind == b"acTL":
            raise ImageError(
                "an animated PNG has several frames, expected one; save the one to read"
            )
        elif kind == b"eXIf":
            orientation = read_orientation(bytes(body))
        if kind in _ESSENTIAL:
            essential.append(view[at : at + 12 + length])
        if kind == b"IEND":
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
        at += 12 + length
    raise ImageError(f"the PNG has more than {_MAX_CHUNKS:,} chunks; save it again")


def _check_header(header: bytes, limits: ImageLimits) -> bool:
    """Check IHDR; return whether the pixels carry alpha."""
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    check_size(width, height, limits)
    if depth not in _DEPTHS.get(colour, ()) or interlace > 1:
        raise ImageError(f"the PNG is damaged: {depth} bits of colour type {colour}")
    if depth == 16:
        raise ImageError(
            "the PNG has 16 bits a sample, supported are 8: how its range becomes 0..255"
            " is a choice; window it to 8 bits first"
        )
    return colour in (4, 6)


def _transparent_value(header: bytes, body: bytes) -> tuple[int, int, int] | None:
    """The RGB that tRNS makes transparent; None for a palette, which OpenCV decodes to alpha."""
    depth, colour = header[8], header[9]
    if colour == _PALETTE:
        return None
    values = struct.unpack(">H" if colour == 0 else ">HHH", body)
    scaled = [value * 255 // (2**depth - 1) for value in values]
    return (scaled[0], scaled[-2 % len(scaled)], scaled[-1])
