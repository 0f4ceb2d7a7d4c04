"""Heat maps as DICOM images, read back by pydicom."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="heat maps need the extra 'dicom'")

import pydicom
from radiographs import ALGORITHM, FULL, SPEC, UIDS, WHEN, draw_radiograph, predicted

from cxr_edge.dicom import heatmap_image
from cxr_edge.dicom.writing import DISCLAIMER
from cxr_edge.errors import ImageError, UsageError
from cxr_edge.lettering import Lettering
from cxr_edge.overlay import draw_overlay
from cxr_edge.results import Explanation

RANDOM = np.random.default_rng(3)
EXPLANATION = Explanation(
    predicted(),
    RANDOM.random((5, 5), np.float32),
    RANDOM.integers(0, 256, (333, 401), np.uint8),
    SPEC,
)


def image_of(source: bytes, explanation: Explanation = EXPLANATION) -> Any:
    return pydicom.dcmread(io.BytesIO(heatmap_image(source, explanation, ALGORITHM, when=WHEN)))


def test_the_pixels_are_the_picture_and_the_disclaimer() -> None:
    image = image_of(draw_radiograph())
    picture = draw_overlay(EXPLANATION, SPEC)
    pixels = image.pixel_array[..., ::-1]
    np.testing.assert_array_equal(pixels[: len(picture)], picture)
    rows = Lettering(picture.shape[1]).rows(DISCLAIMER, (60, 190, 255))
    np.testing.assert_array_equal(pixels[len(picture) :], np.vstack(rows))


def test_a_large_image_is_made_smaller() -> None:
    large = dataclasses.replace(EXPLANATION, image=np.zeros((3000, 2001), np.uint8))
    image = image_of(draw_radiograph(), large)
    assert image.Columns <= 1024 and 1024 < image.Rows < 1500


def test_it_belongs_to_the_study_in_a_new_series() -> None:
    image = image_of(draw_radiograph(**FULL))
    for keyword, value in FULL.items():
        assert image[keyword].value == value, keyword
    assert image.StudyInstanceUID == UIDS["StudyInstanceUID"]
    assert image.SeriesInstanceUID.startswith("2.25.")
    (source,) = image.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == UIDS["SOPInstanceUID"]
    assert source.ReferencedSOPClassUID == UIDS["SOPClassUID"]
    assert (image.Modality, image.ConversionType) == ("OT", "WSD")
    assert image.ImageType == ["DERIVED", "SECONDARY"]
    assert DISCLAIMER in image.SeriesDescription and DISCLAIMER in image.DerivationDescription


def test_the_side_of_a_hand_is_kept() -> None:
    assert image_of(draw_radiograph(BodyPartExamined="HAND", Laterality="R")).Laterality == "R"
    assert "Laterality" not in image_of(draw_radiograph(BodyPartExamined="CHEST"))
    assert image_of(draw_radiograph()).Laterality == ""  # type 2 where the part is not known


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (["R", "F"], ["L", "F"]),
        (["F", "R"], ["L", "F"]),
        (["L", "F"], ["L", "F"]),
        (["A", "F"], ["A", "F"]),
        (None, ""),
    ],
)
def test_it_lies_as_the_image_is_shown(stored: list[str] | None, shown: list[str] | str) -> None:
    """The explanation's image is turned, so what the source says of its own pixels is not true."""
    assert image_of(draw_radiograph(PatientOrientation=stored)).PatientOrientation == shown


@pytest.mark.parametrize("flag", [None, "YES", "NO"])
def test_burned_in_text_is_that_of_the_source(flag: str | None) -> None:
    assert image_of(draw_radiograph(BurnedInAnnotation=flag)).get("BurnedInAnnotation") == flag


def test_lossy_compression_stays_known() -> None:
    once = {"LossyImageCompression": "01", "LossyImageCompressionRatio": ["10", "20"]}
    lossy = image_of(draw_radiograph(**once))
    assert lossy.LossyImageCompression == "01"
    assert list(lossy.LossyImageCompressionRatio) == [10, 20]
    assert "LossyImageCompression" not in image_of(draw_radiograph())


def test_what_a_lossy_syntax_says_counts(data_root: Path) -> None:
    jpeg = (data_root / "dicom" / "rsna_cr_monochrome2.dcm").read_bytes()
    unsaid = jpeg.replace(b"\x28\x00\x10\x21CS\x02\x0001", b"\x28\x00\x10\x21CS\x02\x00  ")
    assert unsaid != jpeg
    assert image_of(unsaid).LossyImageCompression == "01"


def test_made_again_it_is_the_same() -> None:
    first, again = (
        heatmap_image(draw_radiograph(), EXPLANATION, ALGORITHM, when=WHEN) for _ in range(2)
    )
    assert first == again


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(UsageError, match="no spec"):
        image_of(draw_radiograph(), dataclasses.replace(EXPLANATION, spec=None))
    with pytest.raises(ImageError, match="no valid StudyInstanceUID"):
        image_of(draw_radiograph(StudyInstanceUID=None))
