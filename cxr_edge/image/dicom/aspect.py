"""Square pixels: a file whose pixels are taller than wide, or wider than tall, is resampled.

The first of these that the file gives decides (PS3.3 C.7.6.3.1.7: the aspect ratio is for a file
that gives no spacing): Pixel Spacing, Imager Pixel Spacing, Nominal Scanned Pixel Spacing, Pixel
Aspect Ratio. In each the first value is vertical. Two zeros say nothing, as some archives write.
"""

from __future__ import annotations

from typing import Any, cast

import cv2

from cxr_edge.errors import ImageError
from cxr_edge.image.dicom.attributes import numbers
from cxr_edge.preprocess import Image

_SIZES = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")
_MAX_RATIO = 10.0
_SQUARE = 0.01  # a ratio so near to 1 shows nowhere


def make_square(image: Image, dataset: Any) -> Image:
    """Shrink the side along which the pixels are finer, so that memory never grows.

    Args:
        image: (H, W) uint8.
        dataset: of pydicom.

    Returns:
        (H, W) uint8; the same array if its pixels are square within 1 %.
    """
    height, width = image.shape[:2]
    ratio = read_ratio(dataset)
    if abs(ratio - 1) <= _SQUARE:
        return image
    if ratio > 1:
        width = max(round(width / ratio), 1)
    else:
        height = max(round(height * ratio), 1)
    return cast(Image, cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))


def read_ratio(dataset: Any) -> float:
    """A pixel's height by its width, 1/10..10.

    Raises:
        ImageError: a size is 0 or negative, or the ratio beyond the limit.
    """
    for keyword in _SIZES:
        sizes = numbers(dataset, keyword)
        if not any(sizes):
            continue
        if len(sizes) != 2 or min(sizes) <= 0:
            raise ImageError(f"the DICOM file's {keyword} is not two positive numbers; correct it")
        ratio = sizes[0] / sizes[1]
        if not 1 / _MAX_RATIO <= ratio <= _MAX_RATIO:
            raise ImageError(
                f"the DICOM file's {keyword} makes pixels {ratio:.3g} times as tall as wide, the"
                f" limit is {_MAX_RATIO:g}; correct it"
            )
        return ratio
    return 1.0
