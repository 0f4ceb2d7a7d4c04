"""TIFF: one page with 8-bit samples, uncompressed or Deflate.

It is decoded here: libtiff fills in black where it cannot decompress, and takes four bytes a pixel.
Strips and tiles that share bytes, or inflate to more than the picture, are refused: a small file
could cost any amount of work. What cannot be seen is an uncompressed picture that was overwritten
with zeros: those bytes are black pixels.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError
from cxr_edge.image.header import Header, ImageLimits, check_size
from cxr_edge.image.ifd import (
    ORIENTATION,
    Directory,
    check_disjoint,
    read_directory,
)
from cxr_edge.records import dataclass

MAGICS = (b"II*\x00", b"MM\x00*")

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 322, 323, 324, 325
_SAMPLE_FORMAT = 339
_PREDICTOR, _COLOUR_MAP = 317, 320
_TAGS = frozenset(
    {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP}
    | {_STRIP_BYTES, _PLANAR, _PREDICTOR, _COLOUR_MAP, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS}
    | {_TILE_BYTES, _SAMPLE_FORMAT, ORIENTATION, _FILL_ORDER}
)
_UNCOMPRESSED, _DEFLATE = 1, (8, 32946)
_MAX_PARTS = 65_536
"""Strips or tiles; the most values that a tag may have as well."""
_BLOCK = 65_536  # bytes inflated at a time
_BAND = 2**18  # pixels of a palette shown at a time
_MAX_TILE_SIDE = 2_048  # where the picture itself is not larger
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE = range(4)
_PHOTOMETRICS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1}
"""Photometric (white is 0, black is 0, RGB, palette) to its samples a pixel."""


def inspect(data: bytes, limits: ImageLimits) -> Header:
    """Read the one directory and check that all strips or tiles lie in the file.

    Raises:
        ImageError: the file is damaged, cut, too large, or of a kind that is not supported.
        struct.error: the directory ends early.
    """
    directory = read_directory(data, _TAGS, _MAX_PARTS)
    width, height = directory.first(_WIDTH), directory.first(_HEIGHT)
    check_size(width, height, limits)
    if directory.following:
        raise ImageError("the TIFF has several pages, expected one; save the one to read")
    _check_kind(directory)
    parts = _find_parts(directory, data, limits)
    orientation = directory.first(ORIENTATION, 1)
    return Header(
        width,
        height,
        orientation if 1 <= orientation <= 8 else 1,
        is_colour=directory.first(_PHOTOMETRIC) in (2, 3),
        decode_bands=partial(_decode, directory, parts, data),
    )


def _check_kind(directory: Directory) -> None:
    """Refuse variants that need a choice to become 8 bits, or that OpenCV decodes wrongly."""
    photometric = directory.first(_PHOTOMETRIC, -1)
    samples = directory.first(_SAMPLES, 1)
    bits = set(directory.get(_BITS).tolist()) or {1}
    compression = directory.first(_COMPRESSION, 1)
    if photometric not in _PHOTOMETRICS:
        kind = "no photometric" if photometric < 0 else f"photometric {photometric}"
        raise ImageError(
            f"the TIFF has {kind}, supported are grey, RGB and palette; save it as PNG"
        )
    if bits != {8} or directory.first(_SAMPLE_FORMAT, 1) != 1:
        depths = "/".join(str(depth) for depth in sorted(bits))
        raise ImageError(
            f"the TIFF has {depths} bits a sample, supported are 8, unsigned; choose a window and "
            "save it as 8 bits"
        )
    if samples != _PHOTOMETRICS[photometric] or directory.first(_PLANAR, 1) != 1:
        raise ImageError(f"the TIFF has {samples} samples a pixel; flatten it to grey or RGB first")
    if compression not in (_UNCOMPRESSED, *_DEFLATE):
        raise ImageError(
            f"the TIFF has compression {compression}, supported are none and Deflate; "
            "save it as PNG"
        )
    if directory.first(_PREDICTOR, 1) not in (1, 2):
        raise ImageError("the TIFF is compressed with an unknown predictor; save it as PNG")
    if directory.first(_FILL_ORDER, 1) != 1:
        raise ImageError("the TIFF has a reversed bit order; save it as PNG")


@dataclass(frozen=True, slots=True)
class _Parts:
    """The strips or tiles, left to right and top to bottom."""

    width: int
    """Columns of a part, pixels."""
    height: int
    """Rows of a part; the last strip may have fewer."""
    ranges: list[tuple[int, int]]
    """First byte and end of each in the file."""


def _find_parts(directory: Directory, data: bytes, limits: ImageLimits) -> _Parts:
    """Find the strips or tiles: as many as the picture has, each in the file, none in another."""
    width, height = directory.first(_WIDTH), directory.first(_HEIGHT)
    if _TILE_WIDTH in directory.tags:
        across, down = directory.first(_TILE_WIDTH), directory.first(_TILE_HEIGHT)
        check_size(across, down, limits)
        if across > max(width, _MAX_TILE_SIDE) or down > max(height, _MAX_TILE_SIDE):
            raise ImageError(
                f"the TIFF has tiles of {across}x{down} in a picture of {width}x{height} pixels; "
                "save it in strips"
            )
        offsets, lengths = directory.get(_TILE_OFFSETS), directory.get(_TILE_BYTES)
    else:
        across = width
        down = min(directory.first(_ROWS_PER_STRIP, height) or height, height)
        offsets, lengths = directory.get(_STRIP_OFFSETS), directory.get(_STRIP_BYTES)
    count = -(-width // across) * -(-height // down)
    if len(offsets) != count or len(lengths) != count:
        raise ImageError(
            f"the TIFF is damaged: {len(offsets)} strips or tiles, expected {count}; "
            "get the file again"
        )
    ends = offsets + lengths
    if (lengths <= 0).any() or (offsets < 8).any() or (ends > len(data)).any():
        raise ImageError(
            "the TIFF is cut: a strip or tile ends outside the file; get the whole file"
        )
    ranges = list(zip(offsets.tolist(), ends.tolist(), strict=True))
    check_disjoint(sorted(ranges), "strips or tiles")
    return _Parts(across, down, ranges)


def _decode(directory: Directory, parts: _Parts, data: bytes) -> Iterator[npt.NDArray[np.uint8]]:
    """The whole picture as one band, (H, W) grey or (H, W, 3) BGR; of a palette several."""
    width, height = directory.first(_WIDTH), directory.first(_HEIGHT)
    samples = directory.first(_SAMPLES, 1)
    is_packed = directory.first(_COMPRESSION, _UNCOMPRESSED) != _UNCOMPRESSED
    is_tiled = _TILE_WIDTH in directory.tags
    is_difference = is_packed and directory.first(_PREDICTOR, 1) == 2
    pixels = np.empty((height, width, samples), np.uint8)
    view = memoryview(data)
    ranges = iter(parts.ranges)
    for top in range(0, height, parts.height):
        rows = parts.height if is_tiled else min(parts.height, height - top)
        for left in range(0, width, parts.width):
            start, end = next(ranges)
            place = pixels[top : top + rows, left : left + parts.width]
            # A strip lies in the picture as it is; a tile may be larger.
            part = np.empty((rows, parts.width, samples), np.uint8) if is_tiled else place
            most = parts.height * parts.width * samples
            if not is_packed:
                end = min(end, start + most)
            _fill(part.reshape(-1), _blocks(view[start:end], is_packed), most)
            if is_difference:
                for row in part:
                    np.cumsum(row, axis=0, dtype=np.uint8, out=row)
            if is_tiled:
                place[:] = part[: place.shape[0], : place.shape[1]]
    yield from _show(directory, pixels)


def _fill(part: npt.NDArray[np.uint8], blocks: Iterator[bytes | memoryview], most: int) -> None:
    """Put a strip or tile in its place.

    Args:
        part: its bytes, in one block of memory.
        blocks: its content.
        most: length of the content that is accepted: the last strip may be padded.

    Raises:
        ImageError: the content is shorter, longer or damaged.
    """
    length = 0
    try:
        for block in blocks:
            wanted = part[length : length + len(block)]
            wanted[:] = np.frombuffer(block, np.uint8, len(wanted))
            length += len(block)
            if length > most:
                break
    except zlib.error as err:
        raise ImageError(f"the TIFF is damaged: {err}; get the file again") from err
    if not len(part) <= length <= most:
        raise ImageError(
            "the TIFF is damaged: a strip or tile is too short or too long; get the file again"
        )


def _blocks(part: memoryview, is_packed: bool) -> Iterator[bytes | memoryview]:
    """The content of a strip or tile, inflated no further than it is taken."""
    if not is_packed:
        yield part
        return
    inflater = zlib.decompressobj()
    rest: bytes | memoryview = part
    while rest and not inflater.eof:
        yield inflater.decompress(rest, _BLOCK)
        rest = inflater.unconsumed_tail
    if not inflater.eof:
        raise zlib.error("a strip or tile is too short")


def _show(directory: Directory, pixels: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    """Grey or BGR of the samples, in place of them or in bands."""
    photometric = directory.first(_PHOTOMETRIC)
    if photometric == _RGB:
        for row in pixels:
            row[:] = row[:, ::-1].copy()
        yield pixels
        return
    grey = pixels[..., 0]
    if photometric == _WHITE_IS_ZERO:
        np.subtract(255, grey, out=grey)
    if photometric != _PALETTE:
        yield grey
        return
    colours = directory.get(_COLOUR_MAP)
    if len(colours) != 3 * 256:
        raise ImageError(
            f"the TIFF is damaged: its palette has {len(colours)} values, expected 768; "
            "get the file again"
        )
    if colours.max() > 255:  # else 8 bits were stored by mistake
        colours = colours >> 8
    palette = colours.reshape(3, 256)[::-1].T.astype(np.uint8)
    rows = max(_BAND // grey.shape[1], 1)
    for top in range(0, len(grey), rows):
        yield palette[grey[top : top + rows]]
