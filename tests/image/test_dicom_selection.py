"""Which DICOM files are read, by what they state, and how a picture is turned."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from cxr_edge.errors import ImageError, LeftOut, UsageError
from cxr_edge.image import ImageLimits, read_image
from cxr_edge.preprocess import Image

pytest.importorskip("pydicom", reason="DICOM needs the extra 'dicom'")

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from cxr_edge.image.dicom.selection import reason_to_leave_out

CR, SC = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.7"
CHEST_ONLY = ImageLimits(radiographs="frontal-chest")


pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")  # drawn so on purpose


def states(**tags: Any) -> Dataset:
    """The elements of a CR without pixels."""
    dataset = Dataset()
    values = {"SOPClassUID": CR, "Modality": "CR", "Rows": 2, "PhotometricInterpretation": "RGB"}
    for name, value in (values | {"PhotometricInterpretation": "MONOCHROME2"} | tags).items():
        setattr(dataset, name, value)
    return dataset


def coded(value: str, scheme: str) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "any"
    return [item]


ACCEPTED: list[dict[str, Any]] = [
    {},
    {"BodyPartExamined": ""},
    {"Modality": "DX", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1"},
    {"Modality": "DR", "SOPClassUID": SC},
    {"Modality": "RG", "SOPClassUID": SC},
    {"SOPClassUID": "1.2.3.4"},
    {"ImageType": ["DERIVED", "SECONDARY"]},
    {"SeriesDescription": "Hand lateral", "ProtocolName": "KNEE"},
    *({"BodyPartExamined": part} for part in ("CHEST", "chest", "Thorax", "THORAX AP", "CHEST PA")),
    *(
        {"BodyPartExamined": part}
        for part in ("CHEST_PA", "CHESTPA", "PORT CHEST", "LUNG", "TORAX")
    ),
    *({"BodyPartExamined": part} for part in ("Tórax", "TORACE", "UNKNOWN", "CHEST PA/LAT")),
    *({"BodyPartExamined": part} for part in ("THX", "PACHEST", "HEMITHORAX", "胸部正面")),
    *({"ViewPosition": view} for view in ("CHESTPA", "DV", "FRENTE", "AP ROUTINE", "正位")),
    *(
        {"ViewPosition": view}
        for view in ("PA", "AP", "pa", "P.A.", "A/P", "AP SUPINE", "AP ERECT")
    ),
    *({"ViewPosition": view} for view in ("POSTERO-ANTERIOR", "Anteroposterior", "SUPINE", "UNK")),
    {"AnatomicRegionSequence": coded("816094009", "SCT")},
    {"AnatomicRegionSequence": coded("51185008", "SCT")},
    {"AnatomicRegionSequence": coded("T-D3000", "SRT")},
    {"AnatomicRegionSequence": coded("4711", "99LOCAL")},
    {"ViewCodeSequence": coded("272479007", "SCT")},
    {"ViewCodeSequence": coded("R-10206", "SRT")},
    {"PatientOrientation": ["R", "F"]},
    {"PatientOrientation": ["LF", "FP"]},
    {"PatientOrientation": ["X", "Y"]},
]


@pytest.mark.parametrize("tags", ACCEPTED, ids=str)
def test_frontal_chests_and_files_that_do_not_say(tags: dict[str, Any]) -> None:
    assert reason_to_leave_out(states(**tags)) is None


LEFT_OUT: list[tuple[dict[str, Any], str]] = [
    ({"BodyPartExamined": "HAND"}, "part is HAND"),
    ({"BodyPartExamined": "CSPINE"}, "part is CSPINE"),
    ({"BodyPartExamined": "SOMETHING"}, "part is another one"),
    ({"BodyPartExamined": "CHEST ABDOMEN"}, "the chest with ABDOMEN"),
    ({"BodyPartExamined": "CHESTABDPELVIS"}, "the chest with ABDPELVIS"),
    ({"BodyPartExamined": "NECKCHEST"}, "part is NECKCHEST"),
    ({"BodyPartExamined": "RIBS", "ViewPosition": "PA"}, "part is RIBS"),
    ({"BodyPartExamined": "CHEST LAT"}, "names the view LAT"),
    ({"BodyPartExamined": "THORAX SEITL"}, "names the view SEITL"),
    ({"BodyPartExamined": "LATERALCHEST"}, "names the view LATERAL"),
    ({"BodyPartExamined": "LDECUB CHEST"}, "names the view DECUB"),
    ({"BodyPartExamined": "胸部侧位"}, "names the view 侧位"),
    ({"BodyPartExamined": "胸椎"}, "part is 胸椎"),
    ({"BodyPartExamined": "THORAXWIRBEL"}, "the chest with WIRBEL"),
    ({"BodyPartExamined": "BORSTWERVELKOLOM"}, "the chest with WERVEL"),
    ({"BodyPartExamined": "THORAX/BWS"}, "the chest with BWS"),
    ({"BodyPartExamined": "CHEST PHANTOM"}, "the chest with PHANTOM"),
    ({"BodyPartExamined": "CHEST SHOULDERS"}, "the chest with SHOULDER"),
    ({"ViewPosition": "AP LLDECUB"}, "view is DECUB"),
    ({"ViewPosition": "AP ABDOMEN"}, "view names the body part ABDOMEN"),
    ({"ViewPosition": "OBLICUA"}, "view is OBLI"),
    ({"BodyPartExamined": "CHEST", "ViewPosition": "LL"}, "view is LL"),
    ({"ViewPosition": "LATERAL"}, "view is LATERAL"),
    ({"ViewPosition": "left lateral"}, "view is LATERAL"),
    ({"ViewPosition": "AP LLD"}, "view is LLD"),
    ({"ViewPosition": "PA OBLIQUE"}, "view is OBLIQUE"),
    ({"ViewPosition": "X-TABLE"}, "view is XTABLE"),
    ({"ViewPosition": "ODD"}, "view is none that is known"),
    ({"AnatomicRegionSequence": coded("85562004", "SCT")}, "coded region"),
    ({"ViewCodeSequence": coded("399067008", "SCT")}, "coded view"),
    ({"ViewPosition": "PA", "ViewCodeSequence": coded("R-10232", "SRT")}, "coded view"),
    ({"PatientOrientation": ["A", "F"]}, "orientation A/F"),
    ({"PatientOrientation": ["PL", "F"]}, "orientation P/F"),
    ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
    ({"AnatomicalOrientationType": "QUADRUPED"}, "animal"),
]


@pytest.mark.parametrize(("tags", "reason"), LEFT_OUT, ids=str)
def test_other_parts_and_views(tags: dict[str, Any], reason: str) -> None:
    stated = reason_to_leave_out(states(**tags))
    assert stated and reason in stated and "--radiographs any" in stated
    assert reason_to_leave_out(states(**tags), "any") is None


KINDS: list[tuple[dict[str, Any], str]] = [
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT"}, "of class CT Image"),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33", "Modality": "SR"}, "Comprehensive SR"),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.59", "Modality": "KO"}, "Key Object"),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1", "Modality": "DOC"}, "Encapsulated PDF"),
    ({"SOPClassUID": "1.2.840.10008.1.3.10", "Modality": ""}, "Media Storage Directory"),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1", "Modality": "PR"}, "presentation state"),
    ({"SOPClassUID": SC, "Modality": "OT"}, "modality is OT"),
    ({"SOPClassUID": SC, "Modality": "MG"}, "modality is MG"),
    ({"SOPClassUID": SC, "Modality": "DOE"}, "modality is none that is known"),
    ({"Modality": ""}, "states no modality"),
    ({"NumberOfFrames": 2}, "2 frames"),
    ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "RGB with 3 samples"),
    ({"PresentationIntentType": "FOR PROCESSING"}, "raw detector data"),
    ({"PresentationIntentType": "FOR_PROCESSING"}, "raw detector data"),
    ({"PresentationIntentType": "DOE"}, "the presentation intent is none that is known"),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1", "Modality": "DX"}, "raw detector data"),
]


@pytest.mark.parametrize(("tags", "reason"), KINDS, ids=str)
def test_what_is_no_radiograph_is_left_out_always(tags: dict[str, Any], reason: str) -> None:
    for radiographs in ("any", "frontal-chest"):
        assert reason in str(reason_to_leave_out(states(**tags), radiographs))  # type: ignore[arg-type]


def save(pixels: Image, **tags: Any) -> bytes:
    dataset = states(BitsAllocated=8, BitsStored=8, HighBit=7, SamplesPerPixel=1, **tags)
    dataset.PixelRepresentation = 0
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SOPInstanceUID = "1.2.3"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB"
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_a_file_left_out_is_told_from_one_that_is_damaged(xray: Image) -> None:
    lateral = save(xray, ViewPosition="LL", BodyPartExamined="CHEST")
    assert (read_image(lateral) == xray).all()
    with pytest.raises(LeftOut, match=r"^<bytes>: the view is LL, expected PA or AP"):
        read_image(lateral, limits=CHEST_ONLY)
    chest = save(xray, ViewPosition="PA", BodyPartExamined="CHEST")
    assert (read_image(chest, limits=CHEST_ONLY) == xray).all()
    for end in (200, 300, 400, 500, len(chest) - 1):
        with pytest.raises(ImageError) as caught:
            read_image(chest[:end], limits=CHEST_ONLY)
        assert type(caught.value) is ImageError, end


def test_the_choice_of_radiographs_is_checked() -> None:
    with pytest.raises(UsageError, match="did you mean frontal-chest"):
        ImageLimits(radiographs="frontal")  # type: ignore[arg-type]


@pytest.mark.parametrize("row", "LR")
@pytest.mark.parametrize("column", "HF")
@pytest.mark.parametrize("swapped", [False, True])
def test_patient_orientation_is_applied(row: str, column: str, swapped: bool) -> None:
    """The patient's upper right corner is marked; it belongs at the upper left of the picture."""
    upright = np.arange(12 * 9, dtype=np.uint8).reshape(12, 9)
    upright[:3, :2] = 250
    stored = upright[:, :: 1 if row == "L" else -1][:: 1 if column == "F" else -1]
    stated = [row, column]
    if swapped:
        stored, stated = stored.T, [column, row]
    data = save(np.ascontiguousarray(stored), PatientOrientation=stated)
    for limits in (ImageLimits(), CHEST_ONLY):
        assert (read_image(data, limits=limits) == upright).all()


@pytest.mark.parametrize("stated", [["A", "F"], ["L", "R"], ["X", "F"], "L", None])
def test_an_orientation_in_another_plane_or_none_changes_nothing(stated: Any, xray: Image) -> None:
    assert (read_image(save(xray, PatientOrientation=stated)) == xray).all()
