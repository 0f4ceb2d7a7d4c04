"""read_image: one image, from a file or from bytes, to pixels."""

from __future__ import annotations

import os
from typing import Literal

from cxr_edge.errors import ImageError, MissingExtraError, UsageError
from cxr_edge.files import printable, read_file
from cxr_edge.image.decode import decode, to_channels
from cxr_edge.image.dicom.recognition import is_dicom
from cxr_edge.image.facts import PictureFacts
from cxr_edge.image.formats import inspect
from cxr_edge.image.header import DEFAULT_LIMITS, ImageLimits
from cxr_edge.preprocess import Image
from cxr_edge.spec import InputSpec


def read_image(
    source: str | os.PathLike[str] | bytes,
    *,
    channels: Literal[1, 3] = 1,
    limits: ImageLimits = DEFAULT_LIMITS,
    name: str | None = None,
    shrink_for: InputSpec | None = None,
    facts: PictureFacts | None = None,
) -> Image:
    """Read one image and turn it upright.

    The format is recognized by content, never by suffix.

    Args:
        source: a path, or the bytes of a file.
        channels: 1 for grey, 3 for RGB.
        limits: the largest file and picture accepted.
        name: the image's name in messages; by default the path, or ``<bytes>``.
        shrink_for: the network input that the image is for. A larger JPEG is then resized to what
            it fills of that input (:func:`cxr_edge.preprocess.average_areas`). None: full size.
        facts: where to note how large and how colourful the picture is, which takes a JPEG of three
            components a second pass; None: not wanted.

    Returns:
        (H, W) uint8 for one channel, (H, W, 3) uint8 RGB for three; the orientation in EXIF, or
        else in a JPEG's XMP, is applied.

    Raises:
        ImageError: the file cannot be read, is damaged, too large, or not supported.
        MissingExtraError: the file is DICOM, and pydicom or its codec is not installed.
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
        return _read(data, channels, limits, shrink_for, facts)
    except (ImageError, MissingExtraError) as err:
        raise type(err)(f"{label}: {printable(str(err))}") from err
    except MemoryError as err:
        raise ImageError(f"{label}: not enough memory to read it; free some, or shrink it") from err


def _read(
    data: bytes,
    channels: int,
    limits: ImageLimits,
    shrink_for: InputSpec | None,
    facts: PictureFacts | None,
) -> Image:
    if not data:
        raise ImageError("the file is empty, expected an image; get it again")
    if len(data) > limits.max_bytes:
        raise ImageError(
            f"{len(data):,} bytes, the limit is {limits.max_bytes:,} (max_bytes, --max-bytes)"
        )
    if is_dicom(data):
        from cxr_edge.image.dicom import reader as dicom  # many devices never read DICOM

        image = dicom.read(data, limits)
        if facts:
            facts.see(image)
        return to_channels(image, channels)
    return decode(data, inspect(data, limits), channels, shrink_for, facts)
