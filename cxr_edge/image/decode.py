"""Decoding: the one call into OpenCV's decoders, and what must hold for its answer."""

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

# Stored pixels to upright ones: swap the axes, then reverse rows, then reverse columns.
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

# Bits that go with grey and with colour; the names are those of grey, whose own value is 0.
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
        header: what its inspector found.
        channels: 1 for grey, 3 for RGB.
        shrink_for: what the image will be fitted to, so that a JPEG need not be decoded larger
            than that takes (:func:`cxr_edge.preprocess.reduction`); None: full size.

    Returns:
        (H, W) or (H, W, 3) uint8, upright.

    Raises:
        ImageError: the pixels are damaged, or transparent somewhere.
    """
    data = header.payload or data
    if header.has_alpha:
        pixels = _decode(data, cv2.IMREAD_UNCHANGED)
        _check_opaque(pixels[..., -1] == 255 if pixels.shape[2:] == (4,) else np.True_)
    if header.transparent:
        _check_opaque((_decode(data, cv2.IMREAD_COLOR_RGB) != header.transparent).any(axis=2))
    is_colour = channels == 3 or header.is_colour
    flags = cv2.IMREAD_COLOR_RGB if is_colour else cv2.IMREAD_GRAYSCALE
    factor = 1
    # OpenCV leaves out frequencies of a JPEG only: of other formats it would drop pixels.
    if shrink_for and isinstance(header, JpegHeader):
        factor = reduction(*_upright_size(header), shrink_for)
    image = _decode(data, flags | _REDUCED[factor])
    if image.shape[:2] != (-(-header.height // factor), -(-header.width // factor)):
        raise ImageError(
            f"decoded to {image.shape[1]}x{image.shape[0]} pixels, the header says"
            f" {header.width}x{header.height}; the file is damaged"
        )
    if isinstance(header, JpegHeader) and is_questionable(image, header):
        whole = image if factor == 1 else _decode(data, flags)
        check_damage(whole, data, header, lambda changed: _decode(changed, flags))
    if factor > 1:
        # libjpeg rounds up, with made-up pixels at the border: take the sides that are nearest.
        image = image[: _nearest(header.height / factor), : _nearest(header.width / factor)]
    if channels == 1 and image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
    return _turn_upright(image, header.orientation)


def _decode(data: bytes, flags: int) -> Image:
    """Decode as stored; the orientation is applied by us, the same for every format."""
    buffer = np.frombuffer(data, np.uint8)
    try:
        image = cv2.imdecode(buffer, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as err:
        reason = " ".join(str(err.err or err).split())
        raise ImageError(f"cannot be decoded: {reason}") from err
    if image is None:
        raise ImageError("cannot be decoded; the file is damaged or of a rare variant")
    if image.dtype != np.uint8:
        raise ImageError(f"has {image.dtype} samples, supported are 8 bits")
    return image.astype(np.uint8, copy=False)


def _check_opaque(opaque: npt.NDArray[np.bool_] | np.bool_) -> None:
    """Refuse transparency: what lies behind it is unknown."""
    if not opaque.all():
        raise ImageError("the image is transparent in places, expected opaque; flatten it first")


def _nearest(side: float) -> int:
    return max(1, math.floor(side + 0.5))


def _upright_size(header: Header) -> tuple[int, int]:
    """Rows and columns once the orientation is applied."""
    swap, _, _ = _UPRIGHT[header.orientation]
    return (header.width, header.height) if swap else (header.height, header.width)


def _turn_upright(image: Image, orientation: int) -> Image:
    swap, reverse_rows, reverse_columns = _UPRIGHT[orientation]
    if swap:
        image = image.swapaxes(0, 1)
    if reverse_rows:
        image = image[::-1]
    if reverse_columns:
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
