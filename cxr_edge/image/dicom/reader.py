"""DICOM: one radiograph in 8 bits, as a viewer shows it.

Overlays are graphics of their own, and not drawn.
"""

from __future__ import annotations

from typing import Any

from cxr_edge.errors import CxrEdgeError, ImageError, LeftOut
from cxr_edge.extras import require
from cxr_edge.image.dicom.aspect import make_square, read_ratio
from cxr_edge.image.dicom.attributes import quotable, required, required_text
from cxr_edge.image.dicom.cells import read_cell
from cxr_edge.image.dicom.elements import read_elements, read_identity, why_unreadable
from cxr_edge.image.dicom.frame import read_frame
from cxr_edge.image.dicom.greyscale import read_greyscale, show
from cxr_edge.image.dicom.orientation import turn_to_frontal
from cxr_edge.image.dicom.quiet import without_warnings
from cxr_edge.image.dicom.selection import reason_of_kind, reason_to_leave_out
from cxr_edge.image.header import ImageLimits, check_size
from cxr_edge.preprocess import Image

_DEFLATED = b"1.2.840.10008.1.2.1.99"


def read(data: bytes, limits: ImageLimits) -> Image:
    """Read one radiograph.

    Returns:
        (H, W) uint8; bone is light, and the patient's orientation is applied.

    Raises:
        LeftOut: it is not a single grey radiograph for presentation, or not of those wanted.
        ImageError: the file is damaged or too large.
        MissingExtraError: pydicom, or the codec of the file's compression, is not installed.
    """
    pydicom = require("pydicom", "dicom")
    require("pydicom.pixels", "dicom")
    if _DEFLATED in data:
        raise ImageError(
            "the DICOM file is deflated, which is not supported because it can inflate without"
            " bound; save it uncompressed"
        )
    with without_warnings():
        try:
            _leave_out(reason_of_kind(read_identity(data, pydicom)))
            dataset, place = read_elements(data, pydicom)
            if not len(dataset):  # pydicom's result where an element ends early
                raise ImageError("the DICOM file is damaged or was cut; get the whole file")
            _leave_out(reason_to_leave_out(dataset, limits.radiographs))
            _check_dataset(dataset, limits)
            if place is None:
                raise ImageError(
                    "the DICOM file has no pixel data, expected one image; get the whole file"
                )
            cell = read_cell(dataset)
            greyscale = read_greyscale(dataset, cell)
            read_ratio(dataset)  # refuses before the pixels are decoded
            pixels = read_frame(data, dataset, place, cell, pydicom, limits)
            image = make_square(show(pixels, dataset, greyscale), dataset)
            return turn_to_frontal(image, dataset)
        except (CxrEdgeError, MemoryError):
            raise
        except Exception as err:  # pydicom's parser raises errors of many types
            reason = why_unreadable(err)
            raise ImageError(
                f"the DICOM file is damaged or of an unsupported variant ({reason}); export it"
                " again"
            ) from err


def _leave_out(reason: str | None) -> None:
    if reason:
        raise LeftOut(reason)


def _check_dataset(dataset: Any, limits: ImageLimits) -> None:
    """Refuse a file whose header is not that of one grey radiograph of acceptable size."""
    check_size(required(dataset, "Columns"), required(dataset, "Rows"), limits)
    photometric = required_text(dataset, "PhotometricInterpretation")
    samples = required(dataset, "SamplesPerPixel")
    if photometric not in ("MONOCHROME1", "MONOCHROME2") or samples != 1:
        raise ImageError(
            f"the DICOM file's PhotometricInterpretation is {quotable(photometric)} with {samples}"
            " samples a pixel, supported are MONOCHROME1 and MONOCHROME2"
        )
