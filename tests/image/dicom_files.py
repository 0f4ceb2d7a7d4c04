"""DICOM files to read: a picture and its attributes, written by pydicom."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from cxr_edge.errors import ImageError
from cxr_edge.image import read_image


def draw(pixels: np.ndarray, bits: int, **tags: Any) -> Dataset:
    """A CR dataset of ``pixels``; a tag of None is left out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    values: dict[str, Any] = {
        "Modality": "CR",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 8 if bits <= 8 else 16,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
    }
    for name, value in (values | tags).items():
        if value is not None:
            setattr(dataset, name, value)
    dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    dataset["PixelData"].VR = "OB" if bits <= 8 else "OW"
    return dataset


def save(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def refusal(data: bytes, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(data, name="x.dcm", **options)
    message = str(caught.value)
    assert message.startswith("x.dcm: ")
    assert message.isprintable()
    return message


def read_pixels(pixels: np.ndarray, bits: int, **tags: Any) -> np.ndarray:
    """Draw, save and read."""
    return read_image(save(draw(pixels, bits, **tags)))


def ramp(low: int, high: int, dtype: str) -> np.ndarray:
    """(16, 64) with every value of 64 steps from ``low`` to ``high``."""
    return np.linspace(low, high, 64).round().astype(dtype)[np.newaxis].repeat(16, 0)
