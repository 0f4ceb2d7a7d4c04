"""PNG, BMP and WebP: the calls into OpenCV's decoders, and the checks on their results.

A picture is decoded once, in the channels that it has, and nothing is made of it that is as large
except the result.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError
from cxr_edge.image.header import Header
from cxr_edge.preprocess import Image

_BLOCK = 2**20  # pixels compared at a time
# From the channels decoded and wanted to OpenCV's conversion; None: there is none to make.
_CONVERSIONS = {
    (1, 1): None,
    (1, 3): cv2.COLOR_GRAY2RGB,
    (3, 1): cv2.COLOR_BGR2GRAY,
    (3, 3): cv2.COLOR_BGR2RGB,
    (4, 1): cv2.COLOR_BGRA2GRAY,
    (4, 3): cv2.COLOR_BGRA2RGB,
}


def decode_picture(data: bytes, header: Header, channels: int) -> Image:
    """Decode a file whose header was accepted, as it is stored.

    Args:
        data: the file.
        header: from the format's inspector.
        channels: 1 for grey, 3 for RGB.

    Returns:
        (H, W) or (H, W, 3) uint8, not yet upright.

    Raises:
        ImageError: the file cannot be decoded, or a pixel is transparent.
    """
    if header.decode_bands:
        bands = header.decode_bands()
    else:
        is_colour = header.is_colour or channels == 3
        flags = cv2.IMREAD_COLOR_BGR if is_colour else cv2.IMREAD_GRAYSCALE
        if header.has_alpha:
            flags = cv2.IMREAD_UNCHANGED
        bands = iter([call_opencv(header.payload or data, flags)])
    image: Image | None = None
    top = 0
    for band in bands:
        rows, columns = band.shape[:2]
        if columns != header.width or rows > header.height - top:
            break
        present = band.shape[2] if band.ndim == 3 else 1
        if present == 4 or header.transparent:
            _check_transparency(band.reshape(rows, columns, present), header)
        top += rows
        if present == 4 and channels == 1 and not (header.is_colour or header.decode_bands):
            del band  # OpenCV's own way to grey differs by a level
            return call_opencv(header.payload or data, cv2.IMREAD_GRAYSCALE)
        conversion = _CONVERSIONS[present, channels]
        shown = band if conversion is None else cv2.cvtColor(band, conversion)
        if rows == header.height:
            return shown.astype(np.uint8, copy=False)
        if image is None:
            image = np.empty((header.height, *shown.shape[1:]), np.uint8)
        image[top - rows : top] = shown
    if image is None or top != header.height:
        raise ImageError(
            f"decoded to other sides than the header's {header.width}x{header.height}; the file is"
            " damaged, get it again"
        )
    return image


def _check_transparency(pixels: npt.NDArray[np.uint8], header: Header) -> None:
    """Refuse transparent pixels, a block of rows at a time.

    Args:
        pixels: (H, W, 4) with alpha last, or (H, W, 3) BGR or (H, W, 1) where a value is
            transparent.
        header: of the file.
    """
    values = header.transparent or (0, 0, 0)
    colour = np.array(values[::-1] if pixels.shape[2] == 3 else values[:1])
    rows = max(_BLOCK // header.width, 1)
    for top in range(0, len(pixels), rows):
        block = pixels[top : top + rows]
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
