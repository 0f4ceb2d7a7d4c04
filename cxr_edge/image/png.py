"""PNG: checks all chunks, and refuses variants that viewers and decoders read differently.

libpng inflates what the rows do not need as well, however long, and OpenCV takes the memory of the
picture twice. So the rows are inflated here, up to the length that the picture needs, and the
decoder gets them a band at a time, in stored blocks that cost next to nothing to read again. What
has no bands (palettes, interlaced pictures and the like) is decoded whole, up to a smaller size.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError
from cxr_edge.image.header import Header, ImageLimits, check_extra, check_size
from cxr_edge.image.ifd import EXIF_BYTES, read_orientation

MAGIC = b"\x89PNG\r\n\x1a\n"

_MAX_CHUNKS = 100_000
_PALETTE = 3
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# The chunks that the decoder gets. Others are harmful: libpng applies gamma to grey but not to
# colour, texts can inflate without bound, and faulty colour profiles make it print warnings.
_ESSENTIAL = (b"PLTE", b"tRNS")
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First column, first row, and the distance of columns and rows, of each pass of an interlaced PNG.
_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_EXTRA_BYTES = {0: 4, 2: 10, 3: 7, 4: 12, 6: 12}
"""Colour type to the bytes a pixel in excess of its channels that decoding it whole takes."""
_BANDED = {0: (0,), 2: (2, 1, 0), 4: (0, 3), 6: (2, 1, 0, 3)}
"""Colour types that are decoded in bands: OpenCV's channels in the order of the file."""
_BAND = 2**17  # bytes of rows; more is slower, since it leaves the cache
_MIN_ROWS = 16  # of a band, since one is read twice
_STORED_BLOCK = 0xFFFF  # bytes, the longest that Deflate allows
_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))


def inspect(data: bytes, limits: ImageLimits) -> Header:
    """Walk all chunks from IHDR to IEND, and inflate the rows.

    Raises:
        ImageError: the file is damaged, cut, too large, or of a kind that is not supported.
        struct.error: a chunk ends early.
    """
    offset, header, has_alpha, orientation = len(MAGIC), b"", False, 1
    transparent: tuple[int, int, int] | None = None
    essential: list[memoryview] = []
    packed: list[memoryview] = []
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
        elif chunk_type == b"IDAT":
            packed.append(body)
        elif chunk_type == b"tRNS":
            transparent = _transparent_value(header, bytes(body))
            has_alpha |= transparent is None
        elif chunk_type == b"acTL":
            raise ImageError(
                "an animated PNG has several frames, expected one; save the one to read"
            )
        elif chunk_type == b"eXIf":
            orientation = read_orientation(bytes(body[:EXIF_BYTES]))
        if chunk_type in _ESSENTIAL:
            essential.append(view[offset : offset + 12 + length])
        if chunk_type == b"IEND":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
            has_bands = depth == 8 and colour in _BANDED and not interlace
            if not has_bands:
                extra = _EXTRA_BYTES[colour] + 2 * (has_alpha and colour == _PALETTE)
                check_extra(width, height, extra, "a PNG of this kind")
            return Header(
                width,
                height,
                orientation,
                has_alpha,
                transparent,
                is_colour=colour not in (0, 4),
                payload=b"" if has_bands else _rebuild(header, essential, packed),
                decode_bands=partial(_decode_bands, header, packed) if has_bands else None,
            )
        offset += 12 + length
    raise ImageError(f"the PNG has more than {_MAX_CHUNKS:,} chunks; save it again")


def _decode_bands(header: bytes, packed: list[memoryview]) -> Iterator[npt.NDArray[np.uint8]]:
    """Bands of rows: grey, BGR or BGRA.

    A band after the first is decoded with the last row of the one before, unfiltered: the filters
    of its rows refer to it.
    """
    import cv2  # not needed to list or to inspect files

    from cxr_edge.image.opencv import call_opencv

    width, height, _, colour = struct.unpack_from(">IIBB", header)
    order = _BANDED[colour]
    flags = {0: cv2.IMREAD_GRAYSCALE, 2: cv2.IMREAD_COLOR_BGR}.get(colour, cv2.IMREAD_UNCHANGED)
    row_bytes = 1 + width * len(order)
    rows_a_band = max(_BAND // row_bytes, _MIN_ROWS)
    last: list[bytes] = []
    for rows in _inflate(packed, height * row_bytes, rows_a_band * row_bytes):
        count = sum(map(len, rows)) // row_bytes
        picture = struct.pack(">II", width, count + bool(last)) + header[8:]
        band = call_opencv(_join(picture, [], last + rows), flags)[-count:]
        yield band
        row = b"\0" + band[-1].reshape(width, -1)[:, order].tobytes()
        last = [row[at : at + _STORED_BLOCK] for at in range(0, row_bytes, _STORED_BLOCK)]


def _rebuild(header: bytes, essential: list[memoryview], packed: list[memoryview]) -> bytes:
    """The file with only what the decoder needs, the rows in stored blocks."""
    needed = _count_bytes(header)
    return _join(header, essential, next(_inflate(packed, needed, needed)))


def _join(header: bytes, essential: list[memoryview], rows: list[bytes]) -> bytes:
    stored: list[bytes | memoryview] = [b"\x78\x01"]
    checksum = 1
    for block in rows:
        checksum = zlib.adler32(block, checksum)
        stored += (struct.pack("<BHH", 0, len(block), len(block) ^ _STORED_BLOCK), block)
    stored.append(struct.pack("<BHH", 1, 0, 0xFFFF) + struct.pack(">I", checksum))
    chunks = (*_chunk(b"IHDR", header), *essential, *_chunk(b"IDAT", *stored))
    return b"".join([MAGIC, *chunks, _END])


def _chunk(chunk_type: bytes, *body: bytes | memoryview) -> Iterator[bytes | memoryview]:
    """The parts of a chunk."""
    checksum = zlib.crc32(chunk_type)
    for part in body:
        checksum = zlib.crc32(part, checksum)
    yield struct.pack(">I4s", sum(map(len, body)), chunk_type)
    yield from body
    yield struct.pack(">I", checksum)


def _inflate(packed: list[memoryview], needed: int, band: int) -> Iterator[list[bytes]]:
    """Inflate IDAT in bands, each in blocks, and nothing ahead of the band that is taken.

    Args:
        packed: bodies of the IDAT chunks.
        needed: length of all rows, bytes.
        band: length of a band; the last may be shorter.

    Raises:
        ImageError: they inflate to another length, or not at all.
    """
    inflater = zlib.decompressobj()
    rows: list[bytes] = []
    length = 0
    try:
        for body in packed:
            rest: bytes | memoryview = body
            while rest and not inflater.eof and length <= needed:
                left = band - length % band  # of the band that it is in; the end has a byte more
                block = inflater.decompress(rest, min(left, _STORED_BLOCK))
                rest = inflater.unconsumed_tail
                length += len(block)
                rows.append(block)
                if len(block) == left and length < needed:
                    yield rows
                    rows = []
    except zlib.error as err:
        raise ImageError(f"the PNG is damaged: {err}; get the file again") from err
    if length != needed or not inflater.eof:
        held = "more" if length > needed else f"{length:,}"
        raise ImageError(
            f"the PNG is damaged: its rows need {needed:,} bytes, it holds {held}; "
            "get the file again"
        )
    yield rows


def _count_bytes(header: bytes) -> int:
    """Length of the rows once inflated, the byte in front of each included."""
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    bits = depth * _SAMPLES[colour]
    total = 0
    for left, top, across, down in _PASSES if interlace else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total


def _check_header(header: bytes, limits: ImageLimits) -> bool:
    """Check IHDR; return whether the pixels carry alpha."""
    width, height, depth, colour, method, filters, interlace = struct.unpack(">IIBBBBB", header)
    check_size(width, height, limits)
    if method or filters:
        raise ImageError(
            f"the PNG is damaged: compression {method} and filter method {filters}, expected 0; "
            "get the file again"
        )
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
