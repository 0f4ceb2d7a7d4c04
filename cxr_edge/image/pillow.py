"""Images that Pillow holds: the same pixels as their files would give."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from cxr_edge.errors import ImageError
from cxr_edge.image.decode import empty_upright, to_channels
from cxr_edge.image.facts import PictureFacts
from cxr_edge.image.header import ImageLimits, check_size
from cxr_edge.preprocess import Image

_ORIENTATION = 0x0112
_BLOCK = 2**18  # pixels converted at a time
_PLAIN_MODES = ("1", "L", "RGB", "P", "LA", "PA", "RGBA", "RGBa", "YCbCr")


class PillowImage(Protocol):
    """The part of ``PIL.Image.Image`` that is used; Pillow itself is not needed."""

    mode: str
    size: tuple[int, int]

    def convert(self, mode: str) -> Any:
        """The image in another mode."""

    def crop(self, box: tuple[int, int, int, int]) -> Any:
        """A part of the image: left, top, right, bottom."""

    def getexif(self) -> Any:
        """EXIF tags by number."""


def is_pillow(source: object) -> bool:
    """Whether an object has what an image of Pillow has."""
    return all(hasattr(source, name) for name in ("mode", "size", "convert", "getexif"))


def pixels_of(
    image: PillowImage, channels: int, limits: ImageLimits, facts: PictureFacts | None
) -> Image:
    """(H, W) or (H, W, 3) uint8 of an image of Pillow, upright and opaque, by the rules for files.

    Raises:
        ImageError: it is too large, not of 8 bits, in part transparent, animated or damaged.
    """
    if image.mode not in _PLAIN_MODES:
        raise ImageError(
            f"the image has mode {image.mode}, supported are 8 bits of grey or RGB; "
            "use convert('L') or convert('RGB')"
        )
    width, height = image.size
    check_size(width, height, limits)
    if facts:
        facts.side = min(width, height)
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        raise ImageError(
            f"the image has {frames} frames, expected one; give a copy() of the one to read"
        )
    rows = max(_BLOCK // width, 1)
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
        if orientation not in range(1, 9):
            orientation = 1
        upright, stored = empty_upright(height, width, channels, orientation)
        for top in range(0, height, rows):
            below = min(top + rows, height)
            band = _convert(image.crop((0, top, width, below)))
            if facts:
                facts.see_colour(band)
            stored[top:below] = to_channels(band, channels)
    except (OSError, SyntaxError, ValueError) as err:  # of the file that it is read from
        raise ImageError(f"Pillow cannot read the image: {err}") from err
    return upright


def _convert(image: PillowImage) -> Image:
    """(H, W) or (H, W, 3) uint8 of an image of Pillow.

    Raises:
        ImageError: a pixel is transparent.
    """
    if image.mode[-1:] in "Aa" or "transparency" in getattr(image, "info", {}):
        from cxr_edge.image.opencv import check_opaque

        pixels = np.asarray(image.convert("RGBA"), np.uint8)
        check_opaque(pixels[..., 3] == 255)
        return pixels[..., 0] if image.mode[0] in "1L" else pixels[..., :3]
    return np.asarray(image.convert("L" if image.mode in "1L" else "RGB"), np.uint8)
