"""Decoding: the only call into OpenCV's decoders, and the checks on its result."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError
from cxr_edge.image.damage import check_damage, is_questionable
from cxr_edge.image.header import Header
from cxr_edge.image.jpeg import JpegHeader
from cxr_edge.preprocess import Image, reduction
from cxr_edge.spec import InputSpec

# EXIF orientation to the steps that turn the stored pixels upright: swap the axes, then reverse the
# rows, then reverse the columns.
_UPRIGHT = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}

# Flag bits of a reduced size. IMREAD_GRAYSCALE is 0, so they combine with colour as well.
_REDUCED = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
}


def decode(
    data: bytes, header: Header, channels: int, shrink_for: InputSpec | None = None
) -> Image:
    """Decode a file whose header was accepted.

    Args:
        data: the file.
        header: from the format's inspector.
        channels: 1 for grey, 3 for RGB.
        shrink_for: the network input that the image is for. A JPEG is then decoded at a half or a
            quarter of its size where that is enough (:func:`cxr_edge.preprocess.reduction`). None:
            full size.

    Returns:
        (H, W) or (H, W, 3) uint8, upright.

    Raises:
        ImageError: the file cannot be decoded, or a pixel is transparent.
    """
    data = header.payload or data
    if header.has_alpha:
        pixels = _decode(data, cv2.IMREAD_UNCHANGED)
        check_opaque(pixels[..., -1] == 255 if pixels.shape[2:] == (4,) else np.True_)
    if header.transparent:
        check_opaque((_decode(data, cv2.IMREAD_COLOR_RGB) != header.transparent).any(axis=2))
    is_colour = channels == 3 or header.is_colour
    flags = cv2.IMREAD_COLOR_RGB if is_colour else cv2.IMREAD_GRAYSCALE
    factor = 1
    # Only JPEG is reduced by leaving out frequencies; of other formats OpenCV would drop pixels.
    if shrink_for and isinstance(header, JpegHeader):
        factor = reduction(*_upright_size(header), shrink_for)
    image = _decode(data, flags | _REDUCED[factor])
    if image.shape[:2] != (-(-header.height // factor), -(-header.width // factor)):
        raise ImageError(
            f"decoded to {image.shape[1]}x{image.shape[0]} pixels, the header says"
            f" {header.width}x{header.height}; the file is damaged, get it again"
        )
    if isinstance(header, JpegHeader) and is_questionable(image, header):
        full_size = image if factor == 1 else _decode(data, flags)
        check_damage(full_size, data, header, lambda changed: _decode(changed, flags))
    if factor > 1:
        # libjpeg rounds the sides up and pads the border: cut them to the nearest size.
        image = image[: _nearest(header.height / factor), : _nearest(header.width / factor)]
    return turn_upright(to_channels(image, channels), header.orientation)


def to_channels(image: Image, channels: int) -> Image:
    """Turn colour into grey, or grey into colour: one rule for files, arrays and DICOM.

    Args:
        image: (H, W) or (H, W, 3) RGB, uint8.
        channels: 1 for grey, 3 for RGB.
    """
    if channels == 1 and image.ndim == 3:
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
    if channels == 3 and image.ndim == 2:
        return np.repeat(image[..., np.newaxis], 3, axis=2)
    return image


def _decode(data: bytes, flags: int) -> Image:
    """Decode without applying the EXIF orientation, which we apply alike for every format."""
    buffer = np.frombuffer(data, np.uint8)
    try:
        image = cv2.imdecode(buffer, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as err:
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


def check_opaque(opaque: npt.NDArray[np.bool_] | np.bool_) -> None:
    """Refuse transparent pixels: the background is unknown.

    Raises:
        ImageError: one is transparent.
    """
    if not opaque.all():
        raise ImageError("the image is transparent in places, expected opaque; flatten it first")


def _nearest(side: float) -> int:
    return max(1, math.floor(side + 0.5))


def _upright_size(header: Header) -> tuple[int, int]:
    """Rows and columns once the orientation is applied."""
    swap, _, _ = _UPRIGHT[header.orientation]
    return (header.width, header.height) if swap else (header.height, header.width)


def turn_upright(image: Image, orientation: int) -> Image:
    """Apply an EXIF orientation, 1..8."""
    swap, reverse_rows, reverse_columns = _UPRIGHT[orientation]
    if swap:
        image = image.swapaxes(0, 1)
    if reverse_rows:
        image = image[::-1]
    if reverse_columns:
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
