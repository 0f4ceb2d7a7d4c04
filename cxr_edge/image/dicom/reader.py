"""DICOM: one radiograph in 8 bits, as a viewer shows it.

The steps follow the standard: modality LUT or rescale, then the first VOI LUT or window, then the
inversion of MONOCHROME1, which pydicom leaves to its caller. The window's range is mapped to
0..255. Without a window, 8-bit values stay as they are, and wider ones are mapped from their own
minimum..maximum.

A pixel has at most 65,536 values, so the steps work on those that occur, and a table maps the
pixels: they are never held in a wider type.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import CxrEdgeError, ImageError
from cxr_edge.extras import require
from cxr_edge.image.dicom.elements import read_elements
from cxr_edge.image.dicom.frame import Frame, read_frame
from cxr_edge.image.header import ImageLimits, check_size
from cxr_edge.preprocess import Image

MODALITIES = frozenset({"CR", "DX", "RG"})
"""Modalities of a chest X-ray: computed, digital and screen-film radiography."""

_Values = npt.NDArray[np.float64]
_BLOCK = 2**20  # pixels mapped at a time: numpy makes 8 bytes of each
_TABLES = (
    ("ModalityLUTSequence", "modality", (8, 16), "8 or 16"),
    ("VOILUTSequence", "VOI", range(8, 17), "8 to 16"),
)
"""Look-up tables, and the bits that their entries may have (DICOM PS3.3, C.11.1 and C.11.2)."""
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
    with without_warnings():
        try:
            dataset, place = read_elements(data, pydicom)
            _check_dataset(dataset, limits)
            if place is None:
                raise ImageError(
                    "the DICOM file has no pixel data, expected one image; get the whole file"
                )
            _check_tables(dataset)
            return _show(read_frame(data, dataset, place, pydicom, limits), dataset, pydicom)
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
def without_warnings() -> Iterator[None]:
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
    modality = str(dataset.get("Modality", "") or "none")
    if modality not in MODALITIES:
        expected = ", ".join(sorted(MODALITIES))
        raise ImageError(f"the DICOM modality is {modality}, expected a radiograph: {expected}")
    check_size(int(dataset.Columns), int(dataset.Rows), limits)
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frames != 1:
        raise ImageError(
            f"the DICOM file has {frames} frames, expected one; save the frame to read"
        )
    photometric = str(dataset.PhotometricInterpretation)
    samples = int(dataset.get("SamplesPerPixel", 1))
    if photometric not in ("MONOCHROME1", "MONOCHROME2") or samples != 1:
        raise ImageError(
            f"the DICOM file is {photometric} with {samples} samples a pixel,"
            " supported are MONOCHROME1 and MONOCHROME2"
        )
    if int(dataset.BitsAllocated) not in (8, 16):
        raise ImageError(
            f"the DICOM file has {dataset.BitsAllocated} bits a pixel, supported are 8, 16"
        )
    if dataset.get("PresentationIntentType") == "FOR PROCESSING":
        raise ImageError(
            "the DICOM file is raw detector data (FOR PROCESSING); send the processed one"
        )
    if photometric == "MONOCHROME2" and dataset.get("PresentationLUTShape") == "INVERSE":
        raise ImageError(
            "the DICOM file contradicts itself: MONOCHROME2 with an INVERSE shape; export it again"
        )


def _check_tables(dataset: Any) -> None:
    """Refuse look-up tables that pydicom does not read, or that map everything to one value."""
    for name, kind, allowed, expected in _TABLES:
        if not dataset.get(name):
            continue
        item = dataset[name].value[0]
        descriptor = item.get("LUTDescriptor")
        if not isinstance(descriptor, Sequence) or len(descriptor) != 3 or "LUTData" not in item:
            raise ImageError(f"the DICOM file's {kind} look-up table is damaged; export it again")
        entries, _, bits = descriptor
        if bits not in allowed or entries == 1:  # 0 means 65,536
            raise ImageError(
                f"the DICOM file's {kind} look-up table has {entries} entries of {bits} bits,"
                f" expected at least 2 of {expected} bits; export it again"
            )


def _show(frame: Frame, dataset: Any, pydicom: Any) -> Image:
    """Map the pixels to 0..255 by a table of the stored values that occur."""
    stored = frame.pixels
    patterns = stored.view(stored.dtype.str.replace("i", "u")).reshape(-1)
    occurs = np.zeros(256**stored.itemsize, np.bool_)
    for start in range(0, patterns.size, _BLOCK):
        occurs[patterns[start : start + _BLOCK]] = True
    occurring = np.flatnonzero(occurs)
    values = occurring.astype(f"u{stored.itemsize}").view(stored.dtype.newbyteorder("="))
    values = values << frame.unused_bits >> frame.unused_bits
    shown = _window(dataset, _rescale(dataset, values[np.newaxis], pydicom), pydicom)[0]
    table = np.zeros(occurs.size, np.uint8)
    table[occurring] = 255 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown
    rows, columns = stored.shape
    image = np.empty((rows, columns), np.uint8)
    flat = image.reshape(-1)
    for start in range(0, patterns.size, _BLOCK):
        flat[start : start + _BLOCK] = table[patterns[start : start + _BLOCK]]
    return image


def _rescale(dataset: Any, pixels: npt.NDArray[Any], pydicom: Any) -> _Values:
    """Convert stored values to the units of the window; padding becomes NaN."""
    padding = dataset.get("PixelPaddingValue")
    values: _Values = pydicom.pixels.apply_modality_lut(pixels, dataset).astype(np.float64)
    if not np.isfinite(values).all():
        raise ImageError(
            "the DICOM file's rescale slope or intercept gives NaN or infinity; correct it"
        )
    if padding is not None and isinstance(padding, int):
        values[pixels == padding] = np.nan
    return values


def _window(dataset: Any, values: _Values, pydicom: Any) -> Image:
    """Map values to 0..255; padding becomes the picture's darkest value."""
    padded = np.isnan(values)
    if padded.all():
        raise ImageError("the DICOM file has only padding, expected a picture; get the file again")
    values[padded] = values[~padded].min()
    if dataset.get("VOILUTSequence"):
        shown = pydicom.pixels.apply_voi(values.astype(np.int64), dataset).astype(np.float64)
        table = np.asarray(dataset.VOILUTSequence[0].LUTData)
        if isinstance(dataset.VOILUTSequence[0].LUTData, bytes):
            table = shown
        low, high = float(table.min()), float(table.max())
    elif dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
        shown, low, high = _apply_window(dataset, values), 0.0, 1.0
    elif int(dataset.BitsStored) == 8:
        shown, low, high = values, 0.0, 255.0
    else:
        shown, low, high = values, float(values.min()), float(values.max())
    if not high > low:
        raise ImageError("the DICOM file shows a single grey level; check its window")
    scaled = np.rint(np.clip((shown - low) / (high - low), 0, 1) * 255)
    return np.asarray(scaled, np.uint8)


def _apply_window(dataset: Any, values: _Values) -> _Values:
    """Apply the first window (DICOM PS3.3 C.11.2.1.2); the caller clips the result to 0..1."""
    center, width = (_first(dataset[name].value) for name in ("WindowCenter", "WindowWidth"))
    function = str(dataset.get("VOILUTFunction", "LINEAR") or "LINEAR")
    if not (np.isfinite(center) and np.isfinite(width)) or width <= (function == "LINEAR"):
        raise ImageError(
            f"the DICOM window has center {center:g} and width {width:g}, expected a positive width"
        )
    if function == "LINEAR":
        return (values - (center - 0.5)) / (width - 1) + 0.5
    if function == "LINEAR_EXACT":
        return (values - center) / width + 0.5
    if function == "SIGMOID":
        exponent = np.clip(-4 * (values - center) / width, -700, 700)
        return np.asarray(1 / (1 + np.exp(exponent)), np.float64)
    raise ImageError(f"the DICOM window function is {function}, expected LINEAR or SIGMOID")


def _first(value: Any) -> float:
    return float(value if isinstance(value, str | int | float) else value[0])
