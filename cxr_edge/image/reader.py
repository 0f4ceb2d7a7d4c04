"""One image, from a file or from bytes, to pixels: the way in."""

from __future__ import annotations

import os
from typing import Literal

import numpy as np

from cxr_edge.errors import ImageError, UsageError
from cxr_edge.files import printable, read_file
from cxr_edge.image.decode import decode
from cxr_edge.image.formats import inspect
from cxr_edge.image.header import DEFAULT_LIMITS, ImageLimits
from cxr_edge.preprocess import Image
from cxr_edge.spec import InputSpec

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp"}
    | {".dcm", ".dicom"}
)
"""Lower-case suffixes by which a folder's images are found; what a file is, its content says."""


def read_image(
    source: str | os.PathLike[str] | bytes,
    *,
    channels: Literal[1, 3] = 1,
    limits: ImageLimits = DEFAULT_LIMITS,
    name: str | None = None,
    shrink_for: InputSpec | None = None,
) -> Image:
    """Read one image, upright, or say in one line why it cannot be trusted.

    The format is recognized by content, never by suffix.

    Args:
        source: a path, or the bytes of a file.
        channels: 1 for grey, 3 for RGB.
        limits: the largest file and picture accepted.
        name: what messages call the image; by default the path, or ``<bytes>``.
        shrink_for: what the image will be fitted to; a JPEG is then decoded to a half or a quarter
            of its size where that is enough. None: full size.

    Returns:
        (H, W) uint8 for one channel, (H, W, 3) uint8 RGB for three; EXIF orientation applied.

    Raises:
        ImageError: the file cannot be read, is damaged, too large, or of a kind not supported.
        MissingExtraError: it is DICOM and what reads it is not installed.
        UsageError: ``channels`` is neither 1 nor 3.
    """
    if channels not in (1, 3):
        raise UsageError(f"channels is {channels!r}, expected 1 or 3")
    if isinstance(source, bytes):
        data, label = source, printable(name or "<bytes>")
    else:
        data = read_file(source, max_bytes=limits.max_bytes, error=ImageError)
        label = printable(name or source)
    try:
        return _read(data, channels, limits, shrink_for)
    except ImageError as err:
        raise ImageError(f"{label}: {printable(str(err))}") from err


def _read(data: bytes, channels: int, limits: ImageLimits, shrink_for: InputSpec | None) -> Image:
    if not data:
        raise ImageError("the file is empty")
    if len(data) > limits.max_bytes:
        raise ImageError(f"{len(data):,} bytes, the limit is {limits.max_bytes:,}")
    if is_dicom(data):
        from cxr_edge.image import dicom  # most devices never see one

        grey = dicom.read(data, limits)
        return grey if channels == 1 else np.repeat(grey[..., None], 3, axis=2)
    return decode(data, inspect(data, limits), channels, shrink_for)


def is_dicom(data: bytes) -> bool:
    """Whether ``data`` has DICOM's mark; files without a preamble are not guessed at."""
    return data[128:132] == b"DICM"
