"""Structured reports, read back by pydicom and by highdicom's own parser."""

from __future__ import annotations

import dataclasses
import datetime
import io
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("highdicom", reason="reports need the extra 'dicom'")

import highdicom as hd
import pydicom
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code
from radiographs import (
    ALGORITHM,
    FULL,
    MANY,
    SPEC,
    UIDS,
    WHEN,
    draw_radiograph,
    predicted,
    predicted_of_many,
)

from cxr_edge.dicom import codes, structured_report
from cxr_edge.dicom.report import MAX_SCORES
from cxr_edge.dicom.writing import DISCLAIMER, clean
from cxr_edge.errors import UsageError
from cxr_edge.results import Failure, Prediction
from cxr_edge.spec import ModelSpec

PNEUMONIA = Code("233604007", "SCT", "Pneumonia")


def report_of(
    prediction: Prediction, source: bytes | None = None, spec: ModelSpec = SPEC, **options: Any
) -> Any:
    data = structured_report(
        draw_radiograph() if source is None else source,
        prediction,
        spec,
        ALGORITHM,
        **{"when": WHEN} | options,
    )
    return hd.sr.srread(io.BytesIO(data))


def group_of(report: Any) -> Any:
    (group,) = report.content.get_image_measurement_groups()
    return group


def evaluations(report: Any) -> dict[str, Code]:
    group = group_of(report)
    codes_by_name = {item.name.meaning: item.value for item in group.get_qualitative_evaluations()}
    return {"Finding": group.finding_type, **codes_by_name}


def probabilities(report: Any) -> dict[str, float]:
    """By the code of the label."""
    numbers = group_of(report).get_measurements(name=standard.DCM.Probability)
    return {number[0].ContentSequence[0].value.value: number.value for number in numbers}


def texts(report: Any) -> list[str]:
    """The sentences below the root."""
    return [
        item.value
        for item in report.content[0].ContentSequence
        if item.ValueType == "TEXT" and item.RelationshipType == "CONTAINS"
    ]


def test_a_parser_finds_the_result() -> None:
    report = report_of(predicted(0.93))
    found = evaluations(report)
    assert found["Finding"] == found["Decision of the classifier"] == PNEUMONIA
    assert found["Score in the uncertainty band"] == codes.NO
    assert found["Image unlike the training images"] == codes.NO
    assert probabilities(report) == {PNEUMONIA.value: 0.93}
    (threshold,) = group_of(report).get_measurements(name=codes.THRESHOLD)
    assert threshold.value == 0.5 and threshold.unit == standard.UCUM.NoUnits
    (image,) = group_of(report).source_images
    assert image.referenced_sop_instance_uid == UIDS["SOPInstanceUID"]
    assert image.referenced_sop_class_uid == UIDS["SOPClassUID"]
    (observer,) = report.content.get_observer_contexts()
    assert observer.observer_identifying_attributes.name == SPEC.name
    (procedure,) = (
        item.value
        for item in report.content[0].ContentSequence
        if item.name == standard.DCM.ProcedureReported
    )
    assert procedure == codes.PLAIN_CHEST_RADIOGRAPHY


def test_the_algorithm_is_named_with_its_bundle() -> None:
    items = group_of(report_of(predicted()))[0].ContentSequence
    named = [(i.name.meaning, i.value) for i in items if i.name.meaning.startswith("Algorithm")]
    assert named == [
        ("Algorithm Name", SPEC.name),
        ("Algorithm Version", "0.1.0"),
        ("Algorithm Manufacturer", "cxr-edge"),
        ("Algorithm Parameters", f"bundle sha256 = {'ab' * 32}"),
        ("Algorithm Parameters", "artifact = fp32"),
        ("Algorithm Parameters", "engine = onnxruntime"),
        ("Algorithm Parameters", "threshold = 0.5"),
    ]


def test_it_belongs_to_the_study_in_a_new_series() -> None:
    report = report_of(predicted(), draw_radiograph(**FULL))
    for keyword, value in FULL.items():
        if keyword not in ("BodyPartExamined", "PatientOrientation"):  # of the image
            assert report[keyword].value == value, keyword
    assert report.StudyInstanceUID == UIDS["StudyInstanceUID"]
    assert report.SeriesInstanceUID.startswith("2.25.")
    assert report.SOPInstanceUID.startswith("2.25.")
    assert report.SOPInstanceUID != report.SeriesInstanceUID
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    (instance,) = series.ReferencedSOPSequence
    assert study.StudyInstanceUID == UIDS["StudyInstanceUID"]
    assert series.SeriesInstanceUID == UIDS["SeriesInstanceUID"]
    assert instance.ReferencedSOPInstanceUID == UIDS["SOPInstanceUID"]
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert report.PreliminaryFlag == "PRELIMINARY"
    assert DISCLAIMER in report.SeriesDescription
    assert (report.Manufacturer, report.SoftwareVersions) == ("cxr-edge", "0.1.0")
    assert report.DeviceSerialNumber == "ab" * 8


@pytest.mark.parametrize("class_uid", ["1.2.3.4", "1.2.840.10008.5.1.4.1.1.7"])
def test_an_image_may_be_of_any_class(class_uid: str) -> None:
    (image,) = group_of(
        report_of(predicted(), draw_radiograph(SOPClassUID=class_uid))
    ).source_images
    assert image.referenced_sop_class_uid == class_uid


def test_the_disclaimer_comes_first() -> None:
    first, summary = texts(report_of(predicted(0.93)))
    assert first.startswith(DISCLAIMER)
    assert "PNEUMONIA. P(PNEUMONIA) = 0.9300, threshold 0.5" in summary


def test_no_finding_is_stated_out_of_domain() -> None:
    report = report_of(predicted(0.93, out_of_domain=True))
    found = evaluations(report)
    assert found["Finding"] == codes.NO_FINDING_STATED
    assert found["Decision of the classifier"] == PNEUMONIA
    assert found["Image unlike the training images"] == codes.YES
    assert texts(report)[1].startswith("OUT OF DOMAIN: ")


def test_uncertain_and_unknown_are_said() -> None:
    report = report_of(predicted(0.45, out_of_domain=None))
    found = evaluations(report)
    assert found["Finding"] == Code("L:NORMAL", codes.SCHEME, "NORMAL")
    assert found["Score in the uncertainty band"] == codes.YES
    assert found["Image unlike the training images"] == codes.UNKNOWN
    assert texts(report)[1] == (
        "UNCERTAIN: the score lies in the model's uncertainty band, which is from 0.4 to below 0.6."
    )
    assert "cannot tell" in texts(report)[2]


def test_more_labels_have_a_probability_each() -> None:
    prediction = predicted_of_many()
    report = report_of(prediction, spec=MANY)
    expected = {codes.label_code(label).value: s for label, s in prediction.scores.items()}
    assert probabilities(report) == pytest.approx(expected)
    assert list(probabilities(report)) == list(reversed(expected))  # the most probable first
    assert not group_of(report).get_measurements(name=codes.THRESHOLD)
    assert evaluations(report)["Finding"].meaning.endswith("...")
    (procedure,) = (
        item.value
        for item in report.content[0].ContentSequence
        if item.name == standard.DCM.ProcedureReported
    )
    assert procedure == codes.PLAIN_RADIOGRAPHY


def test_of_too_many_labels_the_most_probable_are_listed() -> None:
    prediction = predicted_of_many(MAX_SCORES + 5)
    spec = dataclasses.replace(MANY, labels=tuple(prediction.scores))
    report = report_of(prediction, spec=spec)
    assert len(probabilities(report)) == MAX_SCORES
    assert codes.label_code("label 0").value not in probabilities(report)
    assert f"the {MAX_SCORES} most probable of 105 labels" in texts(report)[-1]


def test_made_again_it_is_the_same() -> None:
    source = draw_radiograph(**FULL)
    first, again = (
        structured_report(source, predicted(), SPEC, ALGORITHM, when=WHEN) for _ in range(2)
    )
    assert first == again
    later = report_of(predicted(), source, when=None)
    assert later.SOPInstanceUID == pydicom.dcmread(io.BytesIO(first)).SOPInstanceUID
    assert later.ContentDate >= "2026"


def test_what_could_differ_has_a_uid_of_its_own() -> None:
    source = draw_radiograph()
    changed = [
        dataclasses.replace(ALGORITHM, **{field: "other"})
        for field in ("version", "bundle", "artifact", "engine")
    ]
    algorithms = [ALGORITHM, *changed]
    reports = [
        pydicom.dcmread(io.BytesIO(structured_report(source, predicted(), SPEC, algorithm)))
        for algorithm in algorithms
    ]
    assert len({report.SOPInstanceUID for report in reports}) == 5
    assert len({report.SeriesInstanceUID for report in reports}) == 5
    sibling = report_of(predicted(), draw_radiograph(SOPInstanceUID="1.2.3.9"))
    assert sibling.SeriesInstanceUID == reports[0].SeriesInstanceUID
    assert sibling.SOPInstanceUID != reports[0].SOPInstanceUID


def test_times_are_in_the_zone_of_the_image() -> None:
    here = WHEN.astimezone()
    zone = datetime.timezone(-datetime.timedelta(hours=9, minutes=30))
    report = report_of(predicted(), draw_radiograph(TimezoneOffsetFromUTC="-0930"), when=here)
    stated = f"{report.ContentDate}{report.ContentTime}{report.TimezoneOffsetFromUTC}"
    assert stated == here.astimezone(zone).strftime("%Y%m%d%H%M%S.%f%z")


@pytest.mark.parametrize(
    ("terms", "name"),
    [
        (None, "Plain^Ascii"),
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 144", "Дзюбин^Эдуард"),
        ("ISO_IR 192", "王^小東"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["ISO 2022 IR 6", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    ],
)
def test_names_in_any_script_become_utf_8(terms: Any, name: str) -> None:
    report = report_of(predicted(), draw_radiograph(SpecificCharacterSet=terms, PatientName=name))
    assert report.SpecificCharacterSet == "ISO_IR 192"
    assert str(report.PatientName) == name


@pytest.mark.parametrize(
    "label",
    ["NORMAL", "no finding", "x" * 14, "x" * 15, "a\\b", "Ödem", " ", "", "\x1b[2J", "L" * 5000],
)
def test_every_label_has_a_valid_code(label: str) -> None:
    code = codes.label_code(label)
    assert 1 <= len(code.value) <= 16 and 1 <= len(code.meaning) <= 64
    assert "\\" not in code.value + code.meaning and code.value.isascii()
    assert code.value == code.value.strip() and code.meaning.isprintable()


def test_labels_have_codes_of_their_own() -> None:
    labels = ["a", "A", "a b", "a\\b", "a/b", "x" * 64, "x" * 65, "L:a", "Pneumonia (viral)"]
    assert len({codes.label_code(label).value for label in labels}) == len(labels)
    assert codes.label_code("pneumonia") == PNEUMONIA


def test_text_is_one_line() -> None:
    assert clean("a\\b\nc\x00") == "a/b c"
    assert clean("abcdef", 5) == "ab..."


def test_the_shared_files_have_reports(data_root: Path) -> None:
    for path in sorted((data_root / "dicom").glob("*.dcm")):
        report = report_of(predicted(), path.read_bytes())
        source = pydicom.dcmread(path, stop_before_pixels=True)
        assert (report.PatientID, report.StudyInstanceUID) == (
            source.PatientID,
            source.StudyInstanceUID,
        )


def test_what_is_no_prediction_or_no_file_is_refused() -> None:
    failure: Any = Failure("x.dcm", "ImageError", "x.dcm: damaged", 4)
    with pytest.raises(TypeError, match="result is Failure, expected a Prediction"):
        report_of(failure)
    path: Any = "x.dcm"
    with pytest.raises(TypeError, match="source is str, expected the bytes"):
        report_of(predicted(), path)
    with pytest.raises(UsageError, match="NaN or infinite"):
        report_of(predicted(float("nan")))
