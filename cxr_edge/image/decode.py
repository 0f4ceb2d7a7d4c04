"""Decoding: JPEG by libjpeg-turbo, strictly, and other formats by OpenCV, with checks on both."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt

from cxr_edge.device.threads import importing_opencv
from cxr_edge.image.facts import PictureFacts
from cxr_edge.image.header import Header
from cxr_edge.image.jpeg import JpegHeader
from cxr_edge.image.libjpeg import decode_jpeg, decode_thumbnail
from cxr_edge.preprocess import Image, average_areas
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


def decode(
    data: bytes,
    header: Header,
    channels: int,
    shrink_for: InputSpec | None = None,
    facts: PictureFacts | None = None,
) -> Image:
    """Decode a file whose header was accepted.

    Args:
        data: the file.
        header: from the format's inspector.
        channels: 1 for grey, 3 for RGB.
        shrink_for: the network input that the image is for. A JPEG is then resized to it by
            :func:`cxr_edge.preprocess.average_areas`. None: full size.
        facts: where to note size and colour; None: they are not wanted.

    Returns:
        (H, W) or (H, W, 3) uint8, upright.

    Raises:
        ImageError: the file cannot be decoded, or a pixel is transparent.
    """
    if facts:
        facts.side = min(header.height, header.width)
    if isinstance(header, JpegHeader):
        return _decode_jpeg(header, channels, shrink_for, facts)
    with importing_opencv():
        from cxr_edge.image.opencv import decode_picture  # a JPEG needs no OpenCV

    upright, stored = empty_upright(header.height, header.width, channels, header.orientation)
    image = decode_picture(data, header, channels, stored, facts)
    return upright if image is stored else turn_upright(cast(Image, image), header.orientation)


def _decode_jpeg(
    header: JpegHeader, channels: int, shrink_for: InputSpec | None, facts: PictureFacts | None
) -> Image:
    """Decode a JPEG; a grey one becomes RGB last, so that it is resized as grey."""
    image = decode_jpeg(header, min(channels, header.components))
    if facts and header.components == 3:  # decoded as grey, it has lost its colour
        facts.see_colour(image if channels == 3 else decode_thumbnail(header))
    image = turn_upright(image, header.orientation)
    if shrink_for:
        image = average_areas(image, shrink_for)
    return to_channels(image, channels)


def to_channels(image: Image, channels: int) -> Image:
    """Turn colour into grey, or grey into colour: one rule for files, arrays and DICOM.

    Args:
        image: (H, W) or (H, W, 3) RGB, uint8.
        channels: 1 for grey, 3 for RGB.
    """
    if channels == 1 and image.ndim == 3:
        with importing_opencv():
            import cv2

        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
    if channels == 3 and image.ndim == 2:
        return np.repeat(image[..., np.newaxis], 3, axis=2)
    return image


def empty_upright(
    height: int, width: int, channels: int, orientation: int
) -> tuple[Image, npt.NDArray[np.uint8]]:
    """An upright picture to fill, and a view of it as the file stores it.

    Args:
        height: stored rows, pixels.
        width: stored columns, pixels.
        channels: 1 for grey, 3 for RGB.
        orientation: of EXIF, 1..8.
    """
    swap, reverse_rows, reverse_columns = _UPRIGHT[orientation]
    shape = (width, height) if swap else (height, width)
    upright = np.empty(shape if channels == 1 else (*shape, channels), np.uint8)
    stored = upright[:: -1 if reverse_rows else 1, :: -1 if reverse_columns else 1]
    return cast(Image, upright), stored.swapaxes(0, 1) if swap else stored


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
