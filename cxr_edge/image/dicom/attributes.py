"""Numbers and words of a data set's elements, by our own rules instead of pydicom's.

pydicom converts a value by the VR that the file gives, warns, and raises errors of many types. Here
a wrong VR gives the number that its bytes hold, and what is no number is refused by keyword. A
message never quotes a value: a damaged file may hold a patient's name anywhere.
"""

from __future__ import annotations

import math
import re
import struct
from typing import Any

from cxr_edge.errors import ImageError

_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "OW": "H", "AT": "H"}
_TEXT = frozenset({"DS", "IS", "CS", "SH", "LO", "ST", "LT", "UT", "UC"})
_TEXT_KEYWORDS = frozenset(
    {"RescaleIntercept", "RescaleSlope", "WindowCenter", "WindowWidth", "NumberOfFrames"}
    | {"PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio"}
)
"""Written as decimal or integer strings; every other number read here has 16 bits."""
_TERMS = frozenset(
    {"MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT"}
    | {"YBR_RCT", "YBR_PARTIAL_420", "YBR_PARTIAL_422", "HSV", "ARGB", "CMYK", "IDENTITY"}
    | {"INVERSE", "LINEAR", "LINEAR_EXACT", "SIGMOID"}
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NOT_A_NUMBER = "is not a number; correct it"


def numbers(dataset: Any, key: str | int, most: int | None = None) -> tuple[float, ...]:
    """The numbers of an element, of any VR that holds numbers.

    Args:
        dataset: of pydicom.
        key: keyword or tag.
        most: how many to read, from the first; None: all.

    Returns:
        Finite numbers; none where the element is absent or empty.

    Raises:
        ImageError: a value is not a finite number.
    """
    element = dataset.get_item(key) if key in dataset else None
    if element is None or element.value is None:
        return ()
    if getattr(element, "is_raw", False):
        values = _decode(element, key)
    elif isinstance(element.value, str | int | float):
        values = [element.value]
    else:
        values = list(element.value)
    if values == [""]:
        return ()
    return tuple(_parse(value, key) for value in values[:most])


def number(dataset: Any, key: str | int) -> float | None:
    """The number of an element that may have one only; None where it is absent or empty."""
    values = numbers(dataset, key)
    if len(values) > 1:
        raise ImageError(f"the DICOM file has {len(values)} values of {_name(key)}, expected one")
    return values[0] if values else None


def required(dataset: Any, keyword: str) -> int:
    """The integer of an element that every image has.

    Raises:
        ImageError: it is absent, or no integer.
    """
    value = number(dataset, keyword)
    if value is None:
        raise _missing(keyword)
    if value != int(value):
        raise ImageError(f"the DICOM file's {keyword} is {value:g}, expected an integer")
    return int(value)


def required_text(dataset: Any, keyword: str) -> str:
    """The words of an element that every image has."""
    text = str(dataset.get(keyword) or "").strip()
    if not text:
        raise _missing(keyword)
    return text


def quotable(text: str) -> str:
    """A term of the standard for a message, which quotes nothing else."""
    return text if text in _TERMS else "not a term of the standard"


def _missing(keyword: str) -> ImageError:
    return ImageError(f"the DICOM file has no {keyword}, which an image needs; get the whole file")


def _name(key: str | int) -> str:
    return key if isinstance(key, str) else f"({key >> 16:04x},{key & 0xFFFF:04x})"


def _decode(element: Any, key: str | int) -> list[Any]:
    data, vr = bytes(element.value), element.VR
    if vr not in _BINARY and vr not in _TEXT:  # implicit or unknown
        vr = "DS" if key in _TEXT_KEYWORDS else "US"
    if vr in _TEXT:
        return data.decode("latin-1").rstrip("\0 ").split("\\")
    form = ("<" if element.is_little_endian else ">") + _BINARY[vr]
    if len(data) % struct.calcsize(form):
        raise ImageError(f"the DICOM file's {_name(key)} {_NOT_A_NUMBER}")
    return [value for (value,) in struct.iter_unpack(form, data)]


def _parse(value: Any, key: str | int) -> float:
    if isinstance(value, str):
        text = value.strip(" \0")
        parsed = float(text) if _NUMBER.fullmatch(text) else math.nan
    else:
        parsed = float(value)
    if not math.isfinite(parsed):
        raise ImageError(f"the DICOM file's {_name(key)} {_NOT_A_NUMBER}")
    return parsed
