"""DICOM: one radiograph as a viewer shows it, in 8 bits.

The order is the standard's: modality LUT or rescale, then VOI LUT or window (the first one), then
inversion of MONOCHROME1, which pydicom leaves to its caller. What the window spans becomes
0..255; without a window, 8 stored bits stay as they are and more span their own minimum..maximum.
"""

from __future__ import annotations

import io
import threading
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import CxrEdgeError, ImageError
from cxr_edge.extras import require
from cxr_edge.image.dicom_frame import read_frame
from cxr_edge.image.header import ImageLimits, check_size
from cxr_edge.preprocess import Image

MODALITIES = frozenset({"CR", "DX", "RG"})
"""Computed, digital and screen-film radiography: what a chest X-ray can be."""

_Values = npt.NDArray[np.float64]
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_QUIET = threading.Lock()  # warnings.catch_warnings() is not thread-safe


def read(data: bytes, limits: ImageLimits) -> Image:
    """Read one radiograph.

    Returns:
        (H, W) uint8, bone is light.

    Raises:
        ImageError: the file is damaged, too large, or not one grey radiograph for presentation.
        MissingExtraError: pydicom, or what decodes this compression, is not installed.
    """
    pydicom = require("pydicom", "dicom")
    require("pydicom.pixels", "dicom")
    if _DEFLATED in data:
        raise ImageError(
            "the DICOM file is deflated, which can inflate without bound; store it plain"
        )
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(io.BytesIO(data))
            _check_dataset(dataset, limits)
            pixels = read_frame(dataset, pydicom, limits)
            shown = _window(dataset, _rescale(dataset, pixels, pydicom), pydicom)
        except CxrEdgeError:
            raise
        except Exception as err:  # pydicom raises whatever its parsing trips over
            reason = " ".join(str(err).split())[:200]
            raise ImageError(f"the DICOM file is damaged or of a rare variant: {reason}") from err
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = 255 - shown
    return np.ascontiguousarray(shown)


def _check_dataset(dataset: Any, limits: ImageLimits) -> None:
    """Refuse by the header what is not one grey radiograph of acceptable size."""
    if not len(dataset):  # what pydicom makes of an element that ends early
        raise ImageError("the DICOM file is damaged or was cut; get the whole file")
    modality = str(dataset.get("Modality", "") or "none")
    if modality not in MODALITIES:
        expected = ", ".join(sorted(MODALITIES))
        raise ImageError(f"the DICOM modality is {modality}, expected a radiograph: {expected}")
    if not any(tag in dataset for tag in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise ImageError("the DICOM file has no pixel data")
    if "PixelData" not in dataset:
        raise ImageError("the DICOM file has floating-point pixels, supported are integers")
    check_size(int(dataset.Columns), int(dataset.Rows), limits)
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frames != 1:
        raise ImageError(f"the DICOM file has {frames} frames, expected one")
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
        raise ImageError("the DICOM file contradicts itself: MONOCHROME2 with an INVERSE shape")


def _rescale(dataset: Any, pixels: npt.NDArray[Any], pydicom: Any) -> _Values:
    """Stored values to what the window speaks of; the padding value becomes NaN."""
    padding = dataset.get("PixelPaddingValue")
    values: _Values = pydicom.pixels.apply_modality_lut(pixels, dataset).astype(np.float64)
    if not np.isfinite(values).all():
        raise ImageError("the DICOM file rescales to numbers that are not finite")
    if padding is not None and isinstance(padding, int):
        values[pixels == padding] = np.nan
    return values


def _window(dataset: Any, values: _Values, pydicom: Any) -> Image:
    """Values to 0..255; padding becomes the darkest value of the picture."""
    padded = np.isnan(values)
    if padded.all():
        raise ImageError("the DICOM file is padding only")
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
        raise ImageError("the DICOM file shows one grey level only")
    scaled = np.rint(np.clip((shown - low) / (high - low), 0, 1) * 255)
    return np.asarray(scaled, np.uint8)


def _apply_window(dataset: Any, values: _Values) -> _Values:
    """The first window of DICOM PS3.3 C.11.2.1.2, to 0..1 (clipped by the caller)."""
    center, width = (_first(dataset[name].value) for name in ("WindowCenter", "WindowWidth"))
    function = str(dataset.get("VOILUTFunction", "LINEAR") or "LINEAR")
    if not (np.isfinite(center) and np.isfinite(width)) or width <= (function == "LINEAR"):
        raise ImageError(
            f"the DICOM window is {center:g} wide {width:g}, expected a positive width"
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
