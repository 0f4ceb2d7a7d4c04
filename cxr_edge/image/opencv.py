"""PNG, BMP and WebP: the calls into OpenCV's decoders, and the checks on their results.

A picture is decoded once, in the channels that it has, and is converted in place or a band of rows
at a time: nothing is made of it that is as large, except the result where it has more channels.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError
from cxr_edge.image.facts import PictureFacts
from cxr_edge.image.header import Header
from cxr_edge.preprocess import Image

_Pixels = npt.NDArray[np.uint8]
_REDUCED = 8
_BLOCK = 2**20  # pixels compared or converted at a time
# From the channels decoded and wanted to OpenCV's conversion; None: there is none to make.
_CONVERSIONS = {
    (1, 1): None,
    (1, 3): cv2.COLOR_GRAY2RGB,
    (3, 1): cv2.COLOR_BGR2GRAY,
    (3, 3): cv2.COLOR_BGR2RGB,
    (4, 1): cv2.COLOR_BGRA2GRAY,
    (4, 3): cv2.COLOR_BGRA2RGB,
}


def decode_picture(
    data: bytes,
    header: Header,
    channels: int,
    place: _Pixels,
    facts: PictureFacts | None = None,
) -> _Pixels:
    """Decode a file whose header was accepted, as it is stored.

    Args:
        data: the file.
        header: from the format's inspector.
        channels: 1 for grey, 3 for RGB.
        place: (H, W) or (H, W, 3) as stored, where the picture is put unless it fits in the
            memory of its decoder.
        facts: where to note colour; None: it is not wanted.

    Returns:
        (H, W) or (H, W, 3) uint8, not yet upright; ``place`` or another array.

    Raises:
        ImageError: the file cannot be decoded, or a pixel is transparent.
    """
    bands = (
        header.decode_bands()
        if header.decode_bands
        else _decode_bands(data, header, channels, facts)
    )
    top = 0
    for band in bands:
        rows, columns = band.shape[:2]
        if columns != header.width or rows > header.height - top:
            break
        present = band.shape[2] if band.ndim == 3 else 1
        if present == 4 or header.transparent:
            _check_transparency(band.reshape(rows, columns, present), header)
        if facts:
            facts.see_colour(band)
        top += rows
        if rows == header.height and present >= channels:
            return _convert_in_place(band, channels)
        for start, block in _blocks(band):
            shown = _convert(block, channels)
            _put(place[top - rows + start : top - rows + start + len(block)], shown)
    if top != header.height:
        raise ImageError(
            f"decoded to other sides than the header's {header.width}x{header.height}; the file is"
            " damaged, get it again"
        )
    return place


def _put(place: _Pixels, rows: _Pixels) -> None:
    """Copy rows to where they belong, in the order in which the memory lies: much faster."""
    for axis in (0, 1):
        if place.strides[axis] < 0:
            place, rows = np.flip(place, axis), np.flip(rows, axis)
    if place.strides[0] < place.strides[1]:
        place.swapaxes(0, 1)[:] = cv2.transpose(np.ascontiguousarray(rows))
    else:
        place[:] = rows


def _decode_bands(
    data: bytes, header: Header, channels: int, facts: PictureFacts | None
) -> Iterator[_Pixels]:
    """Bands of rows: grey, BGR or BGRA."""
    is_colour = header.is_colour or channels == 3
    flags = cv2.IMREAD_COLOR_BGR if is_colour else cv2.IMREAD_GRAYSCALE
    for piece in header.split() if header.split else [header.payload or data]:
        if header.has_alpha:
            band: _Pixels = call_opencv(piece, cv2.IMREAD_UNCHANGED)
            if is_colour or band.ndim == 2 or band.shape[2] != 4:
                yield band
                continue
            _check_transparency(band, header)
            del band  # OpenCV's own way to grey differs by a level
        if facts and header.hides_colour and not is_colour:
            # A picture, or its last band, of fewer than eight rows has no eighth.
            is_small = header.split is not None or min(header.width, header.height) < _REDUCED
            whole, reduced = cv2.IMREAD_COLOR_BGR, cv2.IMREAD_REDUCED_COLOR_8
            facts.see_colour(call_opencv(piece, whole if is_small else reduced))
        yield call_opencv(piece, flags)


def _blocks(pixels: _Pixels) -> Iterator[tuple[int, _Pixels]]:
    """Blocks of rows, each with its first row."""
    rows = max(_BLOCK // pixels.shape[1], 1)
    for start in range(0, len(pixels), rows):
        yield start, pixels[start : start + rows]


def _convert(pixels: _Pixels, channels: int) -> _Pixels:
    """Turn grey, BGR or BGRA into grey or RGB."""
    conversion = _CONVERSIONS[pixels.shape[2] if pixels.ndim == 3 else 1, channels]
    if conversion is None:
        return pixels
    return cv2.cvtColor(pixels, conversion).astype(np.uint8, copy=False)


def _convert_in_place(pixels: _Pixels, channels: int) -> _Pixels:
    """Turn a whole picture into grey or RGB in its own memory, which must be enough."""
    height, width = pixels.shape[:2]
    if pixels.ndim == 2:
        return pixels
    memory = pixels.reshape(-1)
    end = 0
    for _, block in _blocks(pixels):
        shown = _convert(block, channels).reshape(-1)
        memory[end : end + shown.size] = shown  # over this block and those before
        end += shown.size
    return memory[:end].reshape((height, width) if channels == 1 else (height, width, channels))


def _check_transparency(pixels: _Pixels, header: Header) -> None:
    """Refuse transparent pixels, a block of rows at a time.

    Args:
        pixels: (H, W, 4) with alpha last, or (H, W, 3) BGR or (H, W, 1) where a value is
            transparent.
        header: of the file.
    """
    values = header.transparent or (0, 0, 0)
    colour = np.array(values[::-1] if pixels.shape[2] == 3 else values[:1])
    for _, block in _blocks(pixels):
        opaque = block[..., 3] == 255 if block.shape[2] == 4 else (block != colour).any(axis=2)
        check_opaque(opaque)


def check_opaque(opaque: npt.NDArray[np.bool_]) -> None:
    """Refuse transparent pixels: the background is unknown.

    Raises:
        ImageError: one is transparent.
    """
    if not opaque.all():
        raise ImageError("the image is transparent in places, expected opaque; flatten it first")


def call_opencv(data: bytes, flags: int) -> Image:
    """Decode without applying the EXIF orientation, which we apply alike for every format.

    Raises:
        ImageError: OpenCV cannot decode it, or its samples have more than 8 bits.
        MemoryError: there is not enough of it.
    """
    buffer = np.frombuffer(data, np.uint8)
    try:
        image = cv2.imdecode(buffer, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as err:
        if err.code == cv2.Error.STS_NO_MEM:
            raise MemoryError from err
        reason = " ".join(str(err.err or err).split())
        raise ImageError(f"cannot be decoded: {reason}; save it as PNG") from err
    if image is None:
        raise ImageError(
            "cannot be decoded; the file is damaged or of an unsupported variant, save it as PNG"
        )
    if image.dtype != np.uint8:
        raise ImageError(
            f"has {image.dtype} samples, supported are 8 bits; convert it to 8 bits first"
        )
    return image.astype(np.uint8, copy=False)
