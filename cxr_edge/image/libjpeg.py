"""JPEG pixels by libjpeg-turbo, which here refuses a file instead of guessing what it lacks.

libjpeg fills in what is missing and only warns. ``simplejpeg`` makes every warning an error: data
that ends early, data left over once the picture is full, codes that do not exist, restart markers
out of order, scans that do not follow from earlier ones. So cut, zeroed and emptied data is found.
Not found is data that happens to decode to as many blocks as there are, such as some random bytes
in a file without restart markers, and a height or width that changes within the last 8 or 16
pixels. ``benchmarks/jpeg_damage.py`` counts both.
"""

from __future__ import annotations

import simplejpeg

from cxr_edge.errors import ImageError
from cxr_edge.image.jpeg import JpegHeader
from cxr_edge.preprocess import Image

_MAX_COEFFICIENT_BYTES = 60 * 2**20  # it takes some more


def decode_jpeg(header: JpegHeader, channels: int) -> Image:
    """Decode a JPEG as stored, without turning it upright.

    Releases Python's lock meanwhile.

    Args:
        header: from the JPEG inspector, with the file as its payload.
        channels: 1 for grey, 3 for RGB.

    Returns:
        (H, W) or (H, W, 3) uint8.

    Raises:
        ImageError: the data is damaged, or there is too little memory.
    """
    coefficient_bytes = 2 * header.components * header.width * header.height
    if header.has_scans and coefficient_bytes > _MAX_COEFFICIENT_BYTES:
        raise ImageError(
            f"the JPEG has {header.width}x{header.height} pixels in several scans, which takes"
            f" {coefficient_bytes:,} bytes, the limit is {_MAX_COEFFICIENT_BYTES:,}; save it as"
            " baseline"
        )
    try:
        pixels = simplejpeg.decode_jpeg(
            header.payload, "RGB" if channels == 3 else "GRAY", strict=True
        )
    except MemoryError as err:
        raise _too_large(header) from err
    except (ValueError, RuntimeError) as err:
        reason = " ".join(str(err).split())
        if "memory" in reason:
            raise _too_large(header) from err
        if "subsampling" in reason:
            raise ImageError(
                "the JPEG has rare sampling factors, supported are those of 4:4:4, 4:2:2, 4:2:0, "
                "4:4:0, 4:1:1 and 4:4:1; save it as one of these"
            ) from err
        raise ImageError(
            f"the JPEG is damaged or was cut ({reason[:100]}); get the whole file"
        ) from err
    image: Image = pixels if channels == 3 else pixels[..., 0]
    if image.shape[:2] != (header.height, header.width):
        raise ImageError(
            f"decoded to {image.shape[1]}x{image.shape[0]} pixels, the header says"
            f" {header.width}x{header.height}; the file is damaged, get it again"
        )
    return image


def decode_thumbnail(header: JpegHeader) -> Image:
    """Decode a JPEG of three components to an eighth of its sides: its colour.

    Args:
        header: of a file that :func:`decode_jpeg` has decoded.

    Returns:
        (H, W, 3) uint8 RGB, at least 1 x 1.

    Raises:
        ImageError: there is too little memory.
    """
    try:
        pixels: Image = simplejpeg.decode_jpeg(
            header.payload, "RGB", min_height=1, min_width=1, min_factor=8.0, strict=False
        )
    except (MemoryError, ValueError, RuntimeError) as err:  # it was decoded just before
        raise _too_large(header) from err
    return pixels


def _too_large(header: JpegHeader) -> ImageError:
    return ImageError(
        f"decoding {header.width}x{header.height} pixels needs more memory than there is; "
        "shrink the picture"
    )
