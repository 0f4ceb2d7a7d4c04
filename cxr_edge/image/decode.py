"""Decoding: JPEG, at full or reduced size, and the steps after the decoder of each format."""

from __future__ import annotations

import math

import cv2
import numpy as np

from cxr_edge.errors import ImageError
from cxr_edge.image.damage import check_damage, is_questionable
from cxr_edge.image.header import Header
from cxr_edge.image.jpeg import JpegHeader
from cxr_edge.image.opencv import call_opencv, decode_picture
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
    if not isinstance(header, JpegHeader):
        return turn_upright(decode_picture(data, header, channels), header.orientation)
    flags = cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE
    factor = 1
    # Only JPEG is reduced by leaving out frequencies; of other formats OpenCV would drop pixels.
    if shrink_for:
        factor = reduction(*_upright_size(header), shrink_for)
    image = call_opencv(data, flags | _REDUCED[factor])
    if image.shape[:2] != (-(-header.height // factor), -(-header.width // factor)):
        raise ImageError(
            f"decoded to {image.shape[1]}x{image.shape[0]} pixels, the header says"
            f" {header.width}x{header.height}; the file is damaged, get it again"
        )
    if is_questionable(image, header):
        full_size = image if factor == 1 else call_opencv(data, flags)
        check_damage(full_size, data, header, lambda changed: call_opencv(changed, flags))
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
