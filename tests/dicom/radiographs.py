"""Drawn radiographs in DICOM, and results about them."""

from __future__ import annotations

import datetime
import io
import warnings
from typing import Any

import numpy as np
from pydicom import config
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from cxr_edge.data.phantom import draw_phantom
from cxr_edge.dicom import Algorithm
from cxr_edge.results import Prediction
from cxr_edge.spec import InputSpec, ModelSpec

WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000)
SPEC = ModelSpec(
    name="chest X-ray classifier",
    input=InputSpec(height=150, width=150),
    labels=("PNEUMONIA", "NORMAL"),
    activation="sigmoid",
    positive_label="PNEUMONIA",
    threshold=0.5,
    threshold_choice="by hand",
    uncertain_band=(0.4, 0.6),
)
MANY = ModelSpec(
    name="hand X-ray classifier",
    input=InputSpec(height=150, width=150),
    labels=("fracture", "Ödem \\ Erguß", "arthritis of an unusually long name, " * 4),
    activation="softmax",
    positive_label=None,
    threshold=None,
    threshold_choice="",
)
ALGORITHM = Algorithm(SPEC.name, "0.1.0", "ab" * 32, "fp32", "onnxruntime")
FULL: dict[str, Any] = {
    "PatientName": "Doe^Jane",
    "PatientID": "4711",
    "PatientBirthDate": "19500228",
    "PatientSex": "F",
    "PatientAge": "075Y",
    "PatientWeight": "61.5",
    "StudyDate": "20260101",
    "StudyTime": "235959.5",
    "StudyID": "S1",
    "AccessionNumber": "A1",
    "StudyDescription": "Thorax pa",
    "ReferringPhysicianName": "Who^Doctor",
    "BodyPartExamined": "CHEST",
    "PatientOrientation": ["L", "F"],
    "InstanceNumber": 7,
}
UIDS = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1",
    "SOPInstanceUID": "1.2.3.1",
    "StudyInstanceUID": "1.2.3.2",
    "SeriesInstanceUID": "1.2.3.3",
}


def draw_radiograph(seed: int = 1, **tags: Any) -> bytes:
    """A CR file; values need not be valid, a tag of None is left out."""
    pixels = draw_phantom(np.random.default_rng(seed), height=60, width=50)
    values = {
        **UIDS,
        "Modality": "CR",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": 60,
        "Columns": 50,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        **tags,
    }
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = UIDS["SOPClassUID"]
    dataset.file_meta.MediaStorageSOPInstanceUID = UIDS["SOPInstanceUID"]
    buffer = io.BytesIO()
    with config.disable_value_validation(), warnings.catch_warnings(action="ignore"):
        for name, value in values.items():
            if value is not None:
                _set(dataset, name, value)
        dataset.PixelData = pixels.tobytes()
        dataset["PixelData"].VR = "OB"
        dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _set(dataset: Dataset, name: str, value: object) -> None:
    try:
        setattr(dataset, name, value)
    except ValueError:  # no number
        dataset.add_new(name, "LO", value)


def predicted(score: float = 0.93, **fields: Any) -> Prediction:
    """What ``SPEC`` says of an image."""
    values: dict[str, Any] = {
        "source": None,
        "label": "PNEUMONIA" if score >= 0.5 else "NORMAL",
        "score": score,
        "scores": {"PNEUMONIA": score, "NORMAL": 1 - score},
        "threshold": 0.5,
        "uncertain": 0.4 <= score < 0.6,
        "out_of_domain": False,
        "engine": "onnxruntime",
        "artifact": "fp32",
    }
    return Prediction(**(values | fields))


def predicted_of_many(count: int = 3) -> Prediction:
    """What ``MANY``, or a spec of ``count`` labels, says of an image."""
    labels = MANY.labels if count == 3 else tuple(f"label {n}" for n in range(count))
    scores = {label: (n + 1) / count**2 for n, label in enumerate(labels)}
    return predicted(
        label=labels[-1], score=scores[labels[-1]], scores=scores, threshold=None, uncertain=False
    )
