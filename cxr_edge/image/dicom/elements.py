"""The elements of a DICOM file that a picture needs, read under one budget.

pydicom reads every element of a file, and every nested one, into objects of some kilobytes. Here it
stops at the pixel data, skips what is not needed, and may read a bounded number of times.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cxr_edge.errors import ImageError
from cxr_edge.image.dicom.cells import OVERLAY_TAGS

NEEDED = (
    *("SpecificCharacterSet", "Modality", "PresentationIntentType", "NumberOfFrames"),
    *("SOPClassUID", "ImageType", "AnatomicRegionSequence", "AnatomicalOrientationType"),
    *("BodyPartExamined", "ViewPosition", "ViewCodeSequence", "PatientOrientation"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleIntercept", "RescaleSlope"),
    *("ModalityLUTSequence", "VOILUTSequence", "VOILUTFunction", "PresentationLUTShape"),
    *("WindowCenter", "WindowWidth", "PresentationLUTSequence", "PixelAspectRatio"),
    *("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"),
)
"""Keywords of the elements that are read."""

_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "Modality")
_LAST_OF_IDENTITY = 0x00080060
_PIXEL_DATA = 0x7FE00010
_PIXELS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", _PIXEL_DATA: ""}
_UNDEFINED = 0xFFFFFFFF
_SEQUENCES = (0x00283000, 0x00283010, 0x20500010)  # of modality, VOI and presentation tables
_CODES = (0x00082218, 0x00540220)  # of region and view
_MAX_VALUE = 4_096
_MAX_SEQUENCES = dict.fromkeys(_SEQUENCES, 2**20) | dict.fromkeys(_CODES, 2**16)
_MAX_ITEMS = 100
_ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
_FRAME_STARTS = (
    *(b"\xff\xd8\xff", b"\xff\x4f\xff\x51"),  # JPEG and JPEG-LS, JPEG 2000
    *(bytes([segments, 0, 0, 0, 64, 0, 0, 0]) for segments in (1, 2)),  # RLE
)
_MAX_READS = 20_000
_MAX_READ_BYTES = 16 * 2**20
_MAX_FRAGMENTS = 10_000


@dataclass(frozen=True, slots=True)
class PixelData:
    """Where the pixel data lies in the file, not read yet."""

    start: int
    """First byte of the value."""
    length: int | None
    """Bytes; None: undefined, as compressed data has it."""
    vr: str
    """``OB``, ``OW`` or empty, where the file does not say it."""


class Budget(io.BytesIO):
    """A file that may be read a bounded number of times."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._size = len(data)
        self._reads, self._bytes = 0, 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as a file does, or raise an ImageError where it was read too often."""
        left = max(self._size - self.tell(), 0)
        self._reads += 1
        self._bytes += left if size is None or size < 0 else min(size, left)
        if self._reads > _MAX_READS or self._bytes > _MAX_READ_BYTES:
            raise ImageError(
                "the DICOM file has too many or too large elements in front of its pixels; "
                "export it again without private ones"
            )
        return super().read(size)

    def check_holds(self, length: int) -> None:
        """Refuse an element whose value is cut: what is left of it may read as another value.

        Args:
            length: of the value that comes next, bytes.
        """
        if length != _UNDEFINED and self.tell() + length > self._size:
            raise ImageError("the DICOM file is damaged or was cut; get the whole file")


def read_identity(data: bytes, pydicom: Any) -> Any:
    """Read what a file is, and nothing behind that: SOP class, SOP instance and modality.

    A report or an encapsulated document may have more elements than a picture's budget allows.

    Args:
        data: the file, or its beginning.
        pydicom: the module.

    Raises:
        ImageError: there are too many or too large elements in front.
        Exception: of pydicom, where the file is damaged.
    """
    tags = [pydicom.datadict.tag_for_keyword(keyword) for keyword in _IDENTITY]
    file = Budget(data)

    def stops(tag: int, vr: str | None, length: int) -> bool:
        if tag in tags:
            file.check_holds(length)
        return tag > _LAST_OF_IDENTITY

    return pydicom.filereader.read_partial(file, stops, force=True, specific_tags=tags)


def why_unreadable(err: Exception) -> str:
    """What an exception of pydicom says, without its text: that may quote a patient's name."""
    name = getattr(err, "name", None)
    if isinstance(err, AttributeError) and name in NEEDED:
        return f"it has no {name}"
    return type(err).__name__


def read_elements(
    data: bytes, pydicom: Any, *, also: Sequence[str] = ()
) -> tuple[Any, PixelData | None]:
    """Read the needed elements, up to the pixel data.

    Args:
        data: the file.
        pydicom: the module.
        also: keywords of elements that are read beside :data:`NEEDED`.

    Returns:
        The data set, without its pixels, and where they are; None: there are none.

    Raises:
        ImageError: there are more or larger elements than a radiograph needs, or no integer pixels.
        Exception: of pydicom, where the file is damaged.
    """
    keywords = (*NEEDED, *also)
    needed = [*map(pydicom.datadict.tag_for_keyword, keywords), *OVERLAY_TAGS]
    file = Budget(data)
    pixels: list[PixelData] = []

    def stops(tag: int, vr: str | None, length: int) -> bool:
        if tag in _PIXELS:
            if tag != _PIXEL_DATA:
                raise ImageError(
                    "the DICOM file has floating-point pixels, supported are integers; save it as "
                    "integers"
                )
            pixels.append(
                PixelData(file.tell(), None if length == _UNDEFINED else length, vr or "")
            )
            return True
        if tag in needed and length != _UNDEFINED:
            most = _MAX_SEQUENCES.get(tag, _MAX_VALUE)
            if length > most:
                raise ImageError(
                    f"the DICOM element {pydicom.tag.Tag(tag)} has {length:,} bytes, the limit is "
                    f"{most:,}; export the file again"
                )
            file.check_holds(length)
        return False

    dataset = pydicom.filereader.read_partial(file, stops, force=True, specific_tags=needed)
    for tag in _MAX_SEQUENCES:
        element = dataset.get_item(tag)
        value = getattr(element, "value", None)
        items = sum(map(value.count, _ITEM_TAGS)) if isinstance(value, bytes) else 0
        if items > _MAX_ITEMS:
            raise ImageError(
                f"the DICOM element {pydicom.tag.Tag(tag)} has {items:,} items, the limit is "
                f"{_MAX_ITEMS}; export the file again"
            )
    return dataset, pixels[-1] if pixels else None


def join_fragments(data: bytes, pixels: PixelData) -> bytes:
    """The compressed bytes of the only frame.

    Raises:
        ImageError: the fragments are damaged or cut, or are those of several frames.
    """
    view = memoryview(data)
    end = len(data) if pixels.length is None else min(pixels.start + pixels.length, len(data))
    offset, parts = pixels.start, list[memoryview]()
    for number in range(_MAX_FRAGMENTS):
        tag, length = bytes(view[offset : offset + 4]), view[offset + 4 : offset + 8]
        size = int.from_bytes(length, "little")
        is_last = tag == b"\xfe\xff\xdd\xe0" and len(length) == 4
        if is_last or (pixels.length is not None and offset == end):
            return b"".join(parts)
        if tag != _ITEM_TAGS[0] or len(length) < 4 or offset + 8 + size > end:
            raise ImageError("the DICOM file's pixels are damaged or cut; get the whole file")
        if number == 0 and size > 4:  # the table of the frames' offsets
            raise ImageError(
                f"the DICOM file has {size // 4:,} frames, expected one; save the frame to read"
            )
        part = view[offset + 8 : offset + 8 + size]
        if parts and bytes(part[:8]).startswith(_FRAME_STARTS):
            raise ImageError(
                "the DICOM file has several frames, expected one; save the frame to read"
            )
        if number > 0:
            parts.append(part)
        offset += 8 + size
    raise ImageError(
        f"the DICOM file's pixels have more than {_MAX_FRAGMENTS:,} fragments; save it again"
    )
