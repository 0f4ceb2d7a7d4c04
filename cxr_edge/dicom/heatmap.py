"""An explanation as a Secondary Capture image: the picture that ``--heatmap`` draws, in the study.

It is a plain RGB image, which every viewer and archive takes.
"""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    SecondaryCaptureImageStorage,
)

from cxr_edge.dicom.algorithm import Algorithm
from cxr_edge.dicom.source import Source, read_source
from cxr_edge.dicom.writing import DISCLAIMER, Made, clean, encode, fill_in
from cxr_edge.errors import UsageError
from cxr_edge.image.dicom.orientation import is_turned
from cxr_edge.lettering import Lettering, Picture
from cxr_edge.overlay import draw_overlay
from cxr_edge.results import Explanation

_SERIES_NUMBER = 9002
_ALWAYS_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit)
_WARNING = (60, 190, 255)  # amber; blue, green, red


def heatmap_image(
    source: bytes,
    explanation: Explanation,
    algorithm: Algorithm,
    *,
    when: datetime.datetime | None = None,
) -> bytes:
    """Write a heat map as a DICOM image in the study of its image.

    The same image and algorithm always give the same UIDs.

    Args:
        source: the DICOM file that was classified.
        explanation: its result; the picture of it has at most 1,024 pixels on its longer side,
            and the caption below.
        algorithm: what classified it.
        when: date and time of the image; None: now.

    Returns:
        A DICOM file (PS3.10): Secondary Capture, RGB, uncompressed. The text in the picture has no
        data of the patient.

    Raises:
        ImageError: the source is damaged, or has no valid UIDs to refer to.
        UsageError: the explanation has no spec.
        MissingExtraError: pydicom is not installed.
        TypeError: the source is not bytes.
    """
    if explanation.spec is None:
        raise UsageError("the explanation has no spec; give one that a Classifier returned")
    image = read_source(source)
    picture = draw_overlay(explanation, explanation.spec)
    rows = Lettering(picture.shape[1]).rows(DISCLAIMER, _WARNING)
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    made = Made("heat map", _SERIES_NUMBER, f"cxr-edge heat map: {DISCLAIMER}", when)
    fill_in(dataset, made, image, algorithm)
    _describe(dataset, image, algorithm)
    _set_pixels(dataset, np.vstack([picture, *rows]))
    return encode(dataset, algorithm)


def _describe(dataset: Any, image: Source, algorithm: Algorithm) -> None:
    """Set where the picture comes from, and what it keeps of its source."""
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.PatientOrientation = image.values.get("PatientOrientation", "").split("\\")
    if is_turned(dataset):  # the picture is drawn as it is shown
        dataset.PatientOrientation = ["L", "F"]
    dataset.DerivationDescription = (
        f"Heat map of what moved the score of {clean(algorithm.name, 128)}, drawn over the image. "
        f"{DISCLAIMER}"
    )
    reference = Dataset()
    reference.ReferencedSOPClassUID = image.class_uid
    reference.ReferencedSOPInstanceUID = image.instance_uid
    reference.PurposeOfReferenceCodeSequence = [_code_item()]
    dataset.SourceImageSequence = [reference]
    if flag := image.values.get("BurnedInAnnotation"):  # if the source does not know, nor do we
        dataset.BurnedInAnnotation = flag
    part, side = image.values.get("BodyPartExamined"), image.values.get("Laterality")
    if part is not None:
        dataset.BodyPartExamined = part
    if side is not None or part is None:  # empty: unknown, as the part is
        dataset.Laterality = side
    lossy = image.values.get("LossyImageCompression")
    if image.transfer_syntax in _ALWAYS_LOSSY:
        lossy = "01"
    if lossy is not None:
        dataset.LossyImageCompression = lossy
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if lossy == "01" and keyword in image.values:
            setattr(dataset, keyword, image.values[keyword].split("\\"))


def _code_item() -> Dataset:
    purpose = codes.DCM.SourceImageForImageProcessingOperation
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = purpose.value, purpose.scheme_designator
    item.CodeMeaning = purpose.meaning
    return item


def _set_pixels(dataset: Any, picture: Picture) -> None:
    """Set the pixels of a picture, whose first channel is blue."""
    dataset.Rows, dataset.Columns = picture.shape[:2]
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    dataset.PhotometricInterpretation = "RGB"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    pixels = np.ascontiguousarray(picture[..., ::-1]).tobytes()
    dataset.PixelData = pixels + bytes(len(pixels) % 2)
    dataset["PixelData"].VR = "OB"
