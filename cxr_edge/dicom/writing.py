"""What a report and a heat map have in common: patient, study, equipment, and the file."""

from __future__ import annotations

import datetime
import io
from dataclasses import dataclass
from typing import Any, Literal

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian

from cxr_edge.dicom.algorithm import Algorithm
from cxr_edge.dicom.identity import derived_uid
from cxr_edge.dicom.source import OPTIONAL, PATIENT_AND_STUDY, Source
from cxr_edge.image.dicom.elements import Budget
from cxr_edge.image.dicom.quiet import without_warnings
from cxr_edge.lettering import ELLIPSIS

MANUFACTURER = "cxr-edge"
"""Of every file written here; by it a file is known as one of ours."""
DISCLAIMER = "Research use only, not for diagnosis."
"""In every report, picture and description of a series."""

_IN_HEATMAP = "SourceImageSequence"
_IN_REPORT = (
    *("CurrentRequestedProcedureEvidenceSequence", "ReferencedSeriesSequence"),
    "ReferencedSOPSequence",
)
"""Where the image is referred to, from the outside."""
_IMPLEMENTATION = UID("2.25.208432913263190331837103063829146402897")


@dataclass(frozen=True, slots=True)
class Made:
    """What is written, how it is called, and when."""

    kind: Literal["report", "heat map"]
    series_number: int
    series_description: str
    """At most 64 characters."""
    when: datetime.datetime | None = None
    """Of its content; None: now."""


def fill_in(dataset: Any, made: Made, source: Source, algorithm: Algorithm) -> None:
    """Set patient, study, series, equipment, identity and dates of a data set.

    Args:
        dataset: pydicom's; has its SOP class.
        made: what it is.
        source: the image that it is made from, in whose study it belongs.
        algorithm: what made it.
    """
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword in PATIENT_AND_STUDY:
        setattr(dataset, keyword, source.values.get(keyword))
    for keyword in OPTIONAL:
        if keyword in source.values:
            setattr(dataset, keyword, source.values[keyword])
    if dataset.get("PatientIdentityRemoved") == "YES" and "DeidentificationMethod" not in dataset:
        dataset.DeidentificationMethod = "as the source image says"  # one has to be stated
    dataset.StudyInstanceUID = source.values["StudyInstanceUID"]
    dataset.SeriesInstanceUID = derived_uid(made.kind, source.series_uid, algorithm, "series")
    dataset.SeriesNumber = made.series_number
    dataset.SeriesDescription = made.series_description
    dataset.SOPInstanceUID = derived_uid(made.kind, source.instance_uid, algorithm)
    number = int(source.values.get("InstanceNumber", 1))
    dataset.InstanceNumber = number if number > 0 else 1
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = MANUFACTURER
    dataset.DeviceSerialNumber = algorithm.bundle[:16]
    dataset.SoftwareVersions = clean(algorithm.version, 64)
    when = made.when or datetime.datetime.now().astimezone()
    if source.timezone is not None:
        when = when.astimezone(source.timezone)  # which applies to every time in the file
    for name in ("Content", "InstanceCreation"):
        setattr(dataset, f"{name}Date", when.strftime("%Y%m%d"))
        setattr(dataset, f"{name}Time", when.strftime("%H%M%S.%f"))


def image_of_ours(data: bytes) -> str | None:
    """The SOP Instance UID of the image that a report or heat map written here is about.

    Returns:
        The UID; None: this program did not write the file, or it cannot be read.
    """
    tags = [Tag(name) for name in ("Manufacturer", _IN_HEATMAP, _IN_REPORT[0])]
    with without_warnings():
        try:
            dataset = pydicom.filereader.read_partial(
                Budget(data), lambda tag, _vr, _length: bool(tag > max(tags)), specific_tags=[*tags]
            )
            if str(dataset.get("Manufacturer", "")) != MANUFACTURER:
                return None
            item = dataset
            for name in (_IN_HEATMAP,) if _IN_HEATMAP in dataset else _IN_REPORT:
                item = item[name].value[0]
            return str(item.ReferencedSOPInstanceUID)
        except Exception:
            # pydicom raises errors of many types on a damaged file. It cannot be told to be ours
            # then, so it is not replaced, and the caller says that.
            return None


def encode(dataset: Any, algorithm: Algorithm) -> bytes:
    """A data set as a whole file, explicit VR little endian."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION
    meta.ImplementationVersionName = f"CXR_EDGE_{algorithm.version}"[:16]
    plain = Dataset(dataset)
    plain.file_meta = meta
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, plain, enforce_file_format=True)
    return buffer.getvalue()


def clean(text: str, longest: int = 1024) -> str:
    r"""Text for a value: one line without ``\``, which separates values, cut to ``longest``."""
    line = "".join(c if c.isprintable() else " " for c in text.replace("\\", "/")).strip()
    return line if len(line) <= longest else f"{line[: longest - len(ELLIPSIS)]}{ELLIPSIS}"
