"""Decoding: JPEG by libjpeg-turbo, strictly, and other formats by OpenCV, with checks on both."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError
from cxr_edge.image.header import Header
from cxr_edge.image.jpeg import JpegHeader
from cxr_edge.image.libjpeg import decode_jpeg
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
    data: bytes, header: Header, channels: int, shrink_for: InputSpec | None = None
) -> Image:
    """Decode a file whose header was accepted.

    Args:
        data: the file.
        header: from the format's inspector.
        channels: 1 for grey, 3 for RGB.
        shrink_for: the network input that the image is for. A JPEG is then resized to it by
            :func:`cxr_edge.preprocess.average_areas`. None: full size.

    Returns:
        (H, W) or (H, W, 3) uint8, upright.

    Raises:
        ImageError: the file cannot be decoded, or a pixel is transparent.
    """
    if isinstance(header, JpegHeader):
        return _decode_jpeg(header, channels, shrink_for)
    data = header.payload or data
    if header.has_alpha:
        pixels = _decode(data, cv2.IMREAD_UNCHANGED)
        check_opaque(pixels[..., -1] == 255 if pixels.shape[2:] == (4,) else np.True_)
    if header.transparent:
        check_opaque((_decode(data, cv2.IMREAD_COLOR_RGB) != header.transparent).any(axis=2))
    is_colour = channels == 3 or header.is_colour
    flags = cv2.IMREAD_COLOR_RGB if is_colour else cv2.IMREAD_GRAYSCALE
    image = _decode(data, flags)
    if image.shape[:2] != (header.height, header.width):
        raise ImageError(
            f"decoded to {image.shape[1]}x{image.shape[0]} pixels, the header says"
            f" {header.width}x{header.height}; the file is damaged, get it again"
        )
    return turn_upright(to_channels(image, channels), header.orientation)


def _decode_jpeg(header: JpegHeader, channels: int, shrink_for: InputSpec | None) -> Image:
    """Decode a JPEG; a grey one becomes RGB last, so that it is resized as grey."""
    image = decode_jpeg(header, min(channels, header.components))
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
