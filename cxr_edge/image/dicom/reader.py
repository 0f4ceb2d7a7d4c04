"""DICOM: one radiograph in 8 bits, as a viewer shows it.

Overlays are graphics of their own, and not drawn.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from cxr_edge.errors import CxrEdgeError, ImageError
from cxr_edge.extras import require
from cxr_edge.image.dicom.aspect import make_square, read_ratio
from cxr_edge.image.dicom.attributes import number, quotable, required, required_text
from cxr_edge.image.dicom.cells import read_cell
from cxr_edge.image.dicom.elements import read_elements
from cxr_edge.image.dicom.frame import read_frame
from cxr_edge.image.dicom.greyscale import read_greyscale, show
from cxr_edge.image.header import ImageLimits, check_size
from cxr_edge.preprocess import Image

MODALITIES = frozenset({"CR", "DX", "RG"})
"""Modalities of a chest X-ray: computed, digital and screen-film radiography."""

_DEFLATED = b"1.2.840.10008.1.2.1.99"


def read(data: bytes, limits: ImageLimits) -> Image:
    """Read one radiograph.

    Returns:
        (H, W) uint8; bone is light.

    Raises:
        ImageError: the file is damaged, too large, or not a single grey radiograph for
            presentation.
        MissingExtraError: pydicom, or the codec of the file's compression, is not installed.
    """
    pydicom = require("pydicom", "dicom")
    require("pydicom.pixels", "dicom")
    if _DEFLATED in data:
        raise ImageError(
            "the DICOM file is deflated, which is not supported because it can inflate without"
            " bound; save it uncompressed"
        )
    with _without_warnings():
        try:
            dataset, place = read_elements(data, pydicom)
            _check_dataset(dataset, limits)
            if place is None:
                raise ImageError(
                    "the DICOM file has no pixel data, expected one image; get the whole file"
                )
            cell = read_cell(dataset)
            greyscale = read_greyscale(dataset, cell)
            read_ratio(dataset)  # refuses before the pixels are decoded
            pixels = read_frame(data, dataset, place, cell, pydicom, limits)
            return make_square(show(pixels, dataset, greyscale), dataset)
        except (CxrEdgeError, MemoryError):
            raise
        except Exception as err:  # pydicom's parser raises errors of many types
            reason = " ".join(str(err).split())[:200]
            raise ImageError(
                f"the DICOM file is damaged or of an unsupported variant: {reason}"
            ) from err


class _InThisThread(threading.local):
    """In place of a filter's pattern: matches every warning of a thread that reads DICOM."""

    is_reading = False

    def match(self, text: str) -> bool:
        return self.is_reading


_in_this_thread = _InThisThread()
_FILTER: Any = ("ignore", _in_this_thread, Warning, None, 0)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Ignore pydicom's warnings about odd values in this thread, and no others.

    ``warnings.catch_warnings`` replaces the filters of every thread, so it would need a lock: only
    one file could be decoded at a time, and a forked child would wait for it for ever.
    """
    if warnings.filters[:1] != [_FILTER]:
        warnings.filters.insert(0, _FILTER)  # type: ignore[attr-defined]
    _in_this_thread.is_reading = True
    try:
        yield
    finally:
        _in_this_thread.is_reading = False


def _check_dataset(dataset: Any, limits: ImageLimits) -> None:
    """Refuse a file whose header is not that of one grey radiograph of acceptable size."""
    if not len(dataset):  # pydicom's result where an element ends early
        raise ImageError("the DICOM file is damaged or was cut; get the whole file")
    modality = str(dataset.get("Modality") or "")
    if modality not in MODALITIES:
        expected = ", ".join(sorted(MODALITIES))
        named = quotable(modality) if modality else "none"
        raise ImageError(f"the DICOM modality is {named}, expected a radiograph: {expected}")
    check_size(required(dataset, "Columns"), required(dataset, "Rows"), limits)
    frames = number(dataset, "NumberOfFrames") or 1
    if frames != 1:
        raise ImageError(
            f"the DICOM file has {frames:g} frames, expected one; save the frame to read"
        )
    photometric = required_text(dataset, "PhotometricInterpretation")
    samples = required(dataset, "SamplesPerPixel")
    if photometric not in ("MONOCHROME1", "MONOCHROME2") or samples != 1:
        raise ImageError(
            f"the DICOM file is {quotable(photometric)} with {samples} samples a pixel,"
            " supported are MONOCHROME1 and MONOCHROME2"
        )
    if dataset.get("PresentationIntentType") == "FOR PROCESSING":
        raise ImageError(
            "the DICOM file is raw detector data (FOR PROCESSING); send the processed one"
        )
