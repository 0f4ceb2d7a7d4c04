"""TIFF: one page with 8-bit samples, uncompressed or Deflate.

OpenCV fills in black where libtiff cannot decompress, so only compressions are supported whose data
can be checked here first. Strips and tiles that share bytes, or hold much more than the picture,
are refused: a small file could cost any amount of work. What cannot be seen is an uncompressed
picture that was overwritten with zeros: those bytes are black pixels.
"""

from __future__ import annotations

import zlib

import numpy as np

from cxr_edge.errors import ImageError
from cxr_edge.image.header import Header, ImageLimits, check_size
from cxr_edge.image.ifd import (
    ORIENTATION,
    Directory,
    check_disjoint,
    read_directory,
    with_directory,
)

MAGICS = (b"II*\x00", b"MM\x00*")

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 322, 323, 324, 325
_EXTRA_SAMPLES, _SAMPLE_FORMAT = 338, 339
_PREDICTOR, _COLOUR_MAP = 317, 320
# The tags that the decoder gets. Private tags make libtiff print warnings; we apply orientation.
_ESSENTIAL = frozenset(
    {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP}
    | {_STRIP_BYTES, _PLANAR, _PREDICTOR, _COLOUR_MAP, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS}
    | {_TILE_BYTES, _SAMPLE_FORMAT}
)
_UNCOMPRESSED, _DEFLATE = 1, (8, 32946)
_TAGS = _ESSENTIAL | {ORIENTATION, _FILL_ORDER}
_MAX_PARTS = 65_536
"""Strips or tiles; the most values that a tag may have as well."""
_BLOCK = 65_536  # bytes inflated at a time
_MAX_TILE_SIDE = 2_048  # where the picture itself is not larger
_PHOTOMETRICS = {0: 1, 1: 1, 2: 3, 3: 1}
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
    _check_parts(directory, data, limits)
    orientation = directory.first(ORIENTATION, 1)
    return Header(
        width,
        height,
        orientation if 1 <= orientation <= 8 else 1,
        is_colour=directory.first(_PHOTOMETRIC) in (2, 3),
        payload=with_directory(data, directory, _ESSENTIAL),
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
    if directory.first(_FILL_ORDER, 1) != 1:
        raise ImageError("the TIFF has a reversed bit order; save it as PNG")


def _check_parts(directory: Directory, data: bytes, limits: ImageLimits) -> None:
    """Check that every strip or tile lies in the file and has its full length."""
    width, height = directory.first(_WIDTH), directory.first(_HEIGHT)
    samples = directory.first(_SAMPLES, 1)
    if _TILE_WIDTH in directory.tags:
        across, down = directory.first(_TILE_WIDTH), directory.first(_TILE_HEIGHT)
        check_size(across, down, limits)
        if across > max(width, _MAX_TILE_SIDE) or down > max(height, _MAX_TILE_SIDE):
            raise ImageError(
                f"the TIFF has tiles of {across}x{down} in a picture of {width}x{height} pixels; "
                "save it in strips"
            )
        offsets, lengths = directory.get(_TILE_OFFSETS), directory.get(_TILE_BYTES)
        count, part = -(-width // across) * -(-height // down), across * down * samples
        last = part
    else:
        rows = min(directory.first(_ROWS_PER_STRIP, height) or height, height)
        offsets, lengths = directory.get(_STRIP_OFFSETS), directory.get(_STRIP_BYTES)
        count, part = -(-height // rows), rows * width * samples
        last = (height - rows * (count - 1)) * width * samples
    if len(offsets) != count or len(lengths) != count:
        raise ImageError(
            f"the TIFF is damaged: {len(offsets)} strips or tiles, expected {count}; "
            "get the file again"
        )
    needed = np.full(count, part)
    needed[-1] = last
    if (lengths <= 0).any() or (offsets < 8).any() or (offsets + lengths > len(data)).any():
        raise ImageError(
            "the TIFF is cut: a strip or tile ends outside the file; get the whole file"
        )
    ends = offsets + lengths
    check_disjoint(sorted(zip(offsets.tolist(), ends.tolist(), strict=True)), "strips or tiles")
    if directory.first(_COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED:
        if (lengths < needed).any():
            raise ImageError(
                "the TIFF is damaged: a strip or tile is too short; get the file again"
            )
        return
    view = memoryview(data)
    # The last strip may be padded to the length of the others.
    for start, end, size in zip(offsets.tolist(), ends.tolist(), needed.tolist(), strict=True):
        if not size <= _inflated_length(view[start:end], part) <= part:
            raise ImageError(
                "the TIFF is damaged: a strip or tile is too short or too long; get the file again"
            )


def _inflated_length(packed: memoryview, most: int) -> int:
    """Length of a strip or tile; -1 where its stream does not end, some number over ``most``."""
    inflater = zlib.decompressobj()
    length, rest = 0, packed
    try:
        while rest and length <= most:
            length += len(inflater.decompress(rest, _BLOCK))
            rest = memoryview(inflater.unconsumed_tail)
    except zlib.error as err:
        raise ImageError(f"the TIFF is damaged: {err}; get the file again") from err
    return length if length > most or inflater.eof else -1
