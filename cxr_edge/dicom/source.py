"""What an image says of its patient and study, checked, as a report repeats it.

Values are decoded from the bytes here, not by pydicom, which accepts almost anything and warns. A
value that its type does not allow is left out, so that a report is valid whatever the image holds.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pydicom
from pydicom import charset
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.tag import Tag
from pydicom.valuerep import TEXT_VR_DELIMS, PersonName

from cxr_edge.errors import ImageError
from cxr_edge.image.dicom.elements import Budget
from cxr_edge.image.dicom.quiet import without_warnings

REQUIRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
"""Without one of these, nothing can refer to an image."""
PATIENT_AND_STUDY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
)
"""Attributes that a report has, empty if the image lacks them (type 2 in the standard)."""
OPTIONAL = (
    *("IssuerOfPatientID", "PatientAge", "PatientSize", "PatientWeight", "PatientIdentityRemoved"),
    *("DeidentificationMethod", "StudyDescription", "TimezoneOffsetFromUTC"),
)
"""Attributes that a report has if the image has them."""
ABOUT_THE_IMAGE = (
    *("BodyPartExamined", "BurnedInAnnotation", "InstanceNumber", "Laterality"),
    "PatientOrientation",
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
)

_CHARACTER_SET = Tag("SpecificCharacterSet")
_NEEDED = {
    Tag(keyword): keyword
    for keyword in (*REQUIRED, *PATIENT_AND_STUDY, *OPTIONAL, *ABOUT_THE_IMAGE)
}
_LAST = max(_NEEDED)
_MAX_VALUE = 4_096  # bytes
_MULTI_VALUED = re.compile("PatientOrientation|LossyImageCompression(Ratio|Method)")
_ENUMERATED = {
    "PatientSex": ("M", "F", "O"),
    "Laterality": ("R", "L"),
    "PatientIdentityRemoved": ("YES", "NO"),
    "BurnedInAnnotation": ("YES", "NO"),
    "LossyImageCompression": ("00", "01"),
}
_PATTERNS = {
    "AS": r"\d{3}[DWMY]",
    "CS": r"[A-Z0-9_ ]{1,16}",
    "DA": r"\d{8}",
    "DS": r"(?=.{1,16}$)[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?",
    "IS": r"[+-]?\d{1,9}",
    "LO": r"[^\\]{1,64}",
    "PN": r"(?!.*[^=]{65})([^\\=^]*(\^[^\\=^]*){0,4})(=[^\\=^]*(\^[^\\=^]*){0,4}){0,2}",
    "SH": r"[^\\]{1,16}",
    "TM": r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?",
    "UI": r"(?=.{1,64}$)(0|[1-9]\d*)(\.(0|[1-9]\d*))+",
}
"""What a value of each type may be (DICOM PS3.5 6.2); none holds control characters."""
_OFFSET = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")  # hours and minutes from UTC


@dataclass(frozen=True, slots=True)
class Source:
    """The image that a report is about."""

    values: Mapping[str, str]
    """Valid values by keyword; several of one attribute are separated by ``\\``."""
    transfer_syntax: str
    """How the image's pixels are encoded."""

    @property
    def instance_uid(self) -> str:
        """The image's own UID."""
        return self.values["SOPInstanceUID"]

    @property
    def class_uid(self) -> str:
        """The kind of image."""
        return self.values["SOPClassUID"]

    @property
    def series_uid(self) -> str:
        """Of the image's series."""
        return self.values["SeriesInstanceUID"]

    @property
    def timezone(self) -> datetime.timezone | None:
        """In which the image's times are; None: it does not say."""
        offset = self.values.get("TimezoneOffsetFromUTC")
        if offset is None:
            return None
        minutes = 60 * int(offset[1:3]) + int(offset[3:])
        return datetime.timezone(datetime.timedelta(minutes=int(f"{offset[0]}{minutes}")))


def read_source(data: bytes) -> Source:
    """Read what a report repeats of an image.

    Args:
        data: the DICOM file.

    Raises:
        ImageError: it is damaged, an attribute is too long, or there is no valid UID to refer to;
            the message names the attribute, never its value.
        TypeError: ``data`` is not bytes.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"the source is {type(data).__name__}, expected the bytes of a DICOM file")
    with without_warnings():
        try:
            values, syntax = _read_values(data)
        except (ImageError, MemoryError):
            raise
        except Exception as err:  # pydicom's parser raises errors of many types
            raise ImageError(
                "the DICOM file is damaged or of an unsupported variant; export it again"
            ) from err
    for keyword in REQUIRED:
        if keyword not in values:
            raise ImageError(
                f"the DICOM file has no valid {keyword}, which a report has to refer to; send the "
                "image as the archive keeps it"
            )
    return Source(values, syntax)


def _read_values(data: bytes) -> tuple[dict[str, str], str]:
    """The valid values by keyword, and the transfer syntax."""

    def stops(tag: int, vr: str | None, length: int) -> bool:
        if tag in _NEEDED and length > _MAX_VALUE:
            raise ImageError(
                f"the DICOM file's {keyword_for_tag(tag)} has {length:,} bytes, the limit is "
                f"{_MAX_VALUE:,}; correct it"
            )
        return bool(tag > _LAST)

    dataset = pydicom.filereader.read_partial(
        Budget(data), stops, force=True, specific_tags=[*_NEEDED, _CHARACTER_SET]
    )
    decode = _decoder(dataset.get("SpecificCharacterSet"))
    values: dict[str, str] = {}
    for tag, keyword in _NEEDED.items():
        element = dataset.get_item(tag) if tag in dataset else None
        raw = getattr(element, "value", None)
        if isinstance(raw, bytes) and (value := _checked(keyword, decode(raw, keyword))):
            values[keyword] = value
    return values, str(dataset.file_meta.get("TransferSyntaxUID", ""))


def _decoder(terms: str | Sequence[str] | None) -> Callable[[bytes, str], str | None]:
    """A function from a value's bytes and keyword to its text; None: it cannot be decoded.

    Args:
        terms: the Specific Character Set; of an unknown one, only ASCII is decoded.
    """
    names = [terms] if isinstance(terms, str) else [str(term) for term in terms or [""]]
    encodings = charset.convert_encodings(names)
    is_known = all(
        name in charset.python_encoding or encoding != charset.default_encoding
        for name, encoding in zip(names, encodings, strict=False)
    )

    def decode(raw: bytes, keyword: str) -> str | None:
        if not is_known and not raw.isascii():
            return None
        if dictionary_VR(keyword) == "PN":
            text = str(PersonName(raw, encodings))
        else:
            text = charset.decode_bytes(raw, encodings, TEXT_VR_DELIMS)
        return None if "\ufffd" in text else text  # which stands for bytes that have no meaning

    return decode


def _checked(keyword: str, text: str | None) -> str | None:
    """The value without its padding; None: it is empty or not valid."""
    if text is None:
        return None
    vr = dictionary_VR(keyword)
    parts = text.split("\\") if _MULTI_VALUED.fullmatch(keyword) else [text]
    values = [part.strip(" \0") for part in parts]
    return "\\".join(values) if all(_is_valid(keyword, vr, value) for value in values) else None


def _is_valid(keyword: str, vr: str, value: str) -> bool:
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        return False
    if not value or re.fullmatch(_PATTERNS[vr], value) is None:
        return False
    if vr not in ("LO", "PN", "SH") and not value.isascii():  # \d matches every script's digits
        return False
    if vr == "DA":
        with contextlib.suppress(ValueError):
            datetime.datetime.strptime(value, "%Y%m%d")
            return True
        return False
    if keyword == "TimezoneOffsetFromUTC":
        return _OFFSET.fullmatch(value) is not None
    return keyword not in _ENUMERATED or value in _ENUMERATED[keyword]
