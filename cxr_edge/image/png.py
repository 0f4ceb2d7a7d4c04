"""PNG: checks all chunks, and refuses variants that viewers and decoders read differently.

libpng inflates what the rows do not need as well, however long. So the rows are inflated here, up
to the length that the picture needs, and the decoder gets them in stored blocks, which cost next
to nothing to read again.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

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
_EXTRA_BYTES = {_PALETTE: 2, 4: 3}  # with alpha OpenCV decodes to four channels
_STORED_BLOCK = 0xFFFF  # bytes, the longest that Deflate allows
# Rows beyond this are only counted: kept in stored blocks they would double the memory.
_MAX_REBUILT = 32 * 2**20
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
            width, height, _, colour = struct.unpack_from(">IIBB", header)
            if has_alpha and colour in _EXTRA_BYTES:
                check_extra(width, height, _EXTRA_BYTES[colour], "a PNG with transparency")
            rows = _check_rows(packed, _count_bytes(header))
            return Header(
                width,
                height,
                orientation,
                has_alpha,
                transparent,
                is_colour=colour not in (0, 4),
                payload=b"".join([MAGIC, *_chunk(b"IHDR", header), *essential, *rows, _END]),
            )
        offset += 12 + length
    raise ImageError(f"the PNG has more than {_MAX_CHUNKS:,} chunks; save it again")


def _chunk(chunk_type: bytes, *body: bytes | memoryview) -> Iterator[bytes | memoryview]:
    """The parts of a chunk."""
    checksum = zlib.crc32(chunk_type)
    for part in body:
        checksum = zlib.crc32(part, checksum)
    yield struct.pack(">I4s", sum(map(len, body)), chunk_type)
    yield from body
    yield struct.pack(">I", checksum)


def _check_rows(packed: list[memoryview], needed: int) -> Iterator[bytes | memoryview]:
    """Check that IDAT inflates to just the rows; give the chunk that the decoder gets instead.

    Args:
        packed: bodies of the IDAT chunks.
        needed: length of the rows, bytes.

    Raises:
        ImageError: they inflate to another length, or not at all.
    """
    parts: list[bytes | memoryview] = [b"\x78\x01"]
    checksum, length = 1, 0
    try:
        for block in _inflate(packed):
            length += len(block)
            if length > needed:
                break
            if needed <= _MAX_REBUILT:
                checksum = zlib.adler32(block, checksum)
                parts += (struct.pack("<BHH", 0, len(block), len(block) ^ 0xFFFF), block)
    except zlib.error as err:
        raise ImageError(f"the PNG is damaged: {err}; get the file again") from err
    if length != needed:
        found = "more" if length > needed else f"{length:,}"
        raise ImageError(
            f"the PNG is damaged: its rows need {needed:,} bytes, it holds {found}; "
            "get the file again"
        )
    if needed > _MAX_REBUILT:
        return _chunk(b"IDAT", *packed)
    end = struct.pack("<BHHI", 1, 0, 0xFFFF, 0)[:5] + struct.pack(">I", checksum)
    return _chunk(b"IDAT", *parts, end)


def _inflate(packed: list[memoryview]) -> Iterator[bytes]:
    """Inflate in blocks, and nothing ahead of the block that is taken."""
    inflater = zlib.decompressobj()
    for body in packed:
        rest: bytes | memoryview = body
        while rest and not inflater.eof:
            block = inflater.decompress(rest, _STORED_BLOCK)
            rest = inflater.unconsumed_tail
            if block:
                yield block
    if not inflater.eof:
        raise zlib.error("its compressed rows have no end")


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
