"""Headers of the compressed pixels in DICOM: JPEG 2000, JPEG-LS and lossless JPEG.

The codecs trust the codestream alone: they allocate what it announces, whatever the data set says,
and decode a cut one in part. So both are compared first, and the parts of JPEG 2000 that cost
memory each, however little they hold, have a limit.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

from cxr_edge.errors import ImageError

_SOI, _EOI, _SOS = 0xFFD8, 0xFFD9, 0xFFDA
_JPEG_LS, _LOSSLESS = 0xFFF7, 0xFFC3
_FRAMES = frozenset({*range(0xFFC0, 0xFFD0), _JPEG_LS}) - {0xFFC4, 0xFFC8, 0xFFCC}
_PRESETS, _OVERSIZE = 0xFFF8, 4  # JPEG-LS: a segment whose type 4 gives other sides
_START, _SIZE, _CODING, _TILE, _DATA = 0xFF4F, 0xFF51, 0xFF52, 0xFF90, 0xFF93
_OTHER_CODING = {0xFF53: "COC", 0xFF5F: "POC"}
_MAX_SEGMENTS = 1_000
_MAX_TILES = 1_024
_MAX_PARTS = 500_000
"""Code blocks, precincts and packets of JPEG 2000, each; openjpeg keeps up to 150 bytes for one."""
_MAX_PIXELS_A_BYTE = 500
"""A radiograph compressed to 1:100 has about 60; decoding takes up to 25 bytes a pixel."""
_SMALL_PICTURE = 2**20  # pixels, that may be flat
_DAMAGED = "the DICOM file's pixels are damaged"


def check_codestream(
    frame: bytes, kind: str, shape: tuple[int, int], bits: int
) -> tuple[int, bool]:
    """Compare the header of a codestream with the data set.

    Args:
        frame: the compressed picture.
        kind: "JPEG 2000", "JPEG-LS" or "lossless JPEG".
        shape: rows and columns of the data set.
        bits: allocated for a pixel.

    Returns:
        Bits of a value, and whether the codestream says that values are signed.

    Raises:
        ImageError: it is damaged, cut or another picture than the data set's, or has more parts
            than a radiograph needs.
        struct.error: the header ends early.
    """
    if kind == "JPEG 2000":
        size, components, depth, is_signed = _read_jpeg_2000(frame)
    else:
        size, components, depth = _read_jpeg(frame, _JPEG_LS if kind == "JPEG-LS" else _LOSSLESS)
        is_signed = False
    if size != shape or components != 1 or not 1 <= depth <= bits:
        raise ImageError(
            f"the DICOM file's pixels are {size} with {components} components of {depth} bits, its"
            f" header says {shape} with 1 of at most {bits}; get the file again"
        )
    pixels = shape[0] * shape[1]
    if pixels > max(_MAX_PIXELS_A_BYTE * len(frame), _SMALL_PICTURE):
        raise ImageError(
            f"the DICOM file's {pixels:,} pixels are compressed to {len(frame):,} bytes, expected"
            f" at least one for {_MAX_PIXELS_A_BYTE}; get the file again"
        )
    if not frame.rstrip(b"\x00").endswith(struct.pack(">H", _EOI)):
        raise ImageError("the DICOM file's pixels are cut; get the whole file")
    return depth, is_signed


def _segments(frame: bytes, start: int) -> Iterator[tuple[int, int, bytes]]:
    """Walk the markers behind the first one: each with its offset and body."""
    if frame[:2] != struct.pack(">H", start):
        raise ImageError(f"{_DAMAGED}: they do not begin as their kind does; get the file again")
    offset = 2
    for _ in range(_MAX_SEGMENTS):
        if frame[offset : offset + 2] == b"\xff\xff":  # a fill byte
            offset += 1
            continue
        marker, length = struct.unpack_from(">HH", frame, offset)
        if marker < 0xFF01 or length < 2:
            raise ImageError(f"{_DAMAGED}: no marker at byte {offset:,}; get the file again")
        yield marker, offset, frame[offset + 4 : offset + 2 + length]
        offset += 2 + length
    raise ImageError(f"{_DAMAGED}: more than {_MAX_SEGMENTS:,} segments; save it again")


def _read_jpeg(frame: bytes, wanted: int) -> tuple[tuple[int, int], int, int]:
    """Sides, components and bits of JPEG-LS or lossless JPEG, from the one frame header."""
    header: tuple[tuple[int, int], int, int] | None = None
    for marker, _, body in _segments(frame, _SOI):
        if marker in _FRAMES:
            if marker != wanted or header is not None:
                raise ImageError(f"{_DAMAGED}: frame header {marker:#06x}; get the file again")
            depth, rows, columns, components = struct.unpack_from(">BHHB", body)
            header = (rows, columns), components, depth
        elif marker == _PRESETS and body[:1] == bytes([_OVERSIZE]):
            raise ImageError("the DICOM file's pixels have two sizes; save it again")
        elif marker == _SOS:
            break
    if header is None:
        raise ImageError(f"{_DAMAGED}: no frame header; get the file again")
    return header


def _read_jpeg_2000(frame: bytes) -> tuple[tuple[int, int], int, int, bool]:
    """Sides, components, bits and sign of JPEG 2000, from SIZ; the parts of COD are in limits."""
    size, coding = b"", b""
    first_tile = 0
    for marker, offset, body in _segments(frame, _START):
        if marker == _TILE:
            first_tile = offset
            break
        if marker == _SIZE and not size:
            size = body
        elif marker == _CODING and not coding:
            coding = body
        elif marker in (_SIZE, _CODING) or marker in _OTHER_CODING:
            _refuse_coding(marker)
    right, bottom, left, top, *tile, components = struct.unpack_from(">8IH", size, 2)
    precision, across, down = struct.unpack_from(">BBB", size, 36)
    width, height = right - left, bottom - top
    if not (width > 0 and height > 0 and tile[0] > 0 and tile[1] > 0):
        raise ImageError(f"{_DAMAGED}: {width}x{height} pixels in tiles of {tile}; save it again")
    depth, is_signed = (precision & 0x7F) + 1, bool(precision & 0x80)
    if components != 1 or (across, down) != (1, 1):
        return (height, width), components, depth, is_signed
    columns = math.ceil((right - tile[2]) / tile[0])
    rows = math.ceil((bottom - tile[3]) / tile[1])
    if columns * rows > _MAX_TILES:
        raise ImageError(
            f"the DICOM file's pixels have {columns}x{rows} tiles, the limit is {_MAX_TILES:,}; "
            "save it again"
        )
    sides = min(tile[0], width), min(tile[1], height)
    _check_parts(coding, sides, columns * rows)
    _check_tiles(frame, first_tile, columns * rows)
    return (height, width), components, depth, is_signed


def _check_parts(coding: bytes, tile: tuple[int, int], tiles: int) -> None:
    """Refuse a COD segment that makes more blocks, precincts or packets than a picture needs."""
    style, _, layers, _, levels, block_width, block_height = struct.unpack_from(">BBHBBBB", coding)
    has_precincts = bool(style & 1)
    if levels > 32 or block_width > 8 or block_height > 8:
        raise ImageError(f"{_DAMAGED}: {levels} levels; get the file again")
    blocks = precincts = 0
    for level in range(levels + 1):
        exponents = (15, 15)
        if has_precincts:
            (packed,) = struct.unpack_from(">B", coding, 10 + levels - level)
            exponents = packed & 15, packed >> 4
        width, height = (math.ceil(side / 2**level) for side in tile)
        across, down = (
            math.ceil(side / 2**exponent) + 1
            for side, exponent in zip((width, height), exponents, strict=True)
        )
        precincts += across * down
        # A block ends at its precinct, which is half as large in a subband of the upper levels.
        inside = [max(exponent - (level < levels), 0) for exponent in exponents]
        block = 2 ** (min(block_width + 2, inside[0]) + min(block_height + 2, inside[1]))
        blocks += math.ceil(width * height / block)
    for name, count in (
        ("code blocks", blocks * tiles),
        ("precincts", precincts * tiles),
        ("packets", precincts * tiles * layers),
    ):
        if count > _MAX_PARTS:
            raise ImageError(
                f"the DICOM file's pixels have {count:,} {name}, the limit is {_MAX_PARTS:,}; "
                "save it again"
            )


def _check_tiles(frame: bytes, offset: int, count: int) -> None:
    """Refuse absent tiles, and such that are coded otherwise than COD says."""
    seen: set[int] = set()
    for _ in range(_MAX_TILES * 8):
        if frame[offset : offset + 2] != struct.pack(">H", _TILE):
            break  # the end, which is checked apart
        index, length = struct.unpack_from(">HI", frame, offset + 4)
        seen.add(index)
        inner = offset + 12
        while (marker := struct.unpack_from(">H", frame, inner)[0]) != _DATA:
            if marker == _CODING or marker in _OTHER_CODING:
                _refuse_coding(marker)
            inner += 2 + max(struct.unpack_from(">H", frame, inner + 2)[0], 2)
        if length == 0:  # up to the end
            break
        offset += max(length, 14)
    else:
        raise ImageError(f"{_DAMAGED}: too many parts of tiles; save it again")
    if seen != set(range(count)):
        raise ImageError(f"{_DAMAGED}: {len(seen)} tiles of {count}; get the file again")


def _refuse_coding(marker: int) -> None:
    name = _OTHER_CODING.get(marker, "SIZ or COD")
    raise ImageError(
        f"the DICOM file's pixels have a further {name} segment, which is not supported; "
        "save it again"
    )
