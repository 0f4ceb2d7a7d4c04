"""What a report takes from an image: valid values only, read within bounds."""

from __future__ import annotations

import io
from typing import Any

import pytest

pytest.importorskip("pydicom", reason="reports need the extra 'dicom'")

import pydicom
from radiographs import ALGORITHM, FULL, SPEC, draw_radiograph, predicted

from cxr_edge.dicom import structured_report
from cxr_edge.dicom.source import PATIENT_AND_STUDY, REQUIRED, read_source
from cxr_edge.errors import ImageError


@pytest.mark.parametrize("keyword", REQUIRED)
@pytest.mark.parametrize("value", [None, "", "1.2.x", "1.02.3", "1..2", "1" * 65, "secret"])
def test_an_image_without_uids_is_refused_by_name(keyword: str, value: str | None) -> None:
    with pytest.raises(ImageError, match=f"no valid {keyword}") as caught:
        read_source(draw_radiograph(**{keyword: value}))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", "a\\b"),
        ("PatientName", "x" * 65),
        ("PatientName", "A^B^C^D^E^F"),
        ("PatientName", "a=b=c=d"),
        ("PatientName", "a\x07b"),
        ("PatientID", "x" * 65),
        ("PatientBirthDate", "19500230"),
        ("PatientBirthDate", "1950.02.28"),
        ("PatientSex", "W"),
        ("PatientSex", "female"),
        ("PatientAge", "75"),
        ("PatientWeight", "heavy"),
        ("PatientWeight", "1" * 17),
        ("StudyDate", "20260101-20260102"),
        ("StudyTime", "24:00"),
        ("StudyTime", "250000"),
        ("AccessionNumber", "x" * 17),
        ("StudyDescription", "two\nlines"),
        ("TimezoneOffsetFromUTC", "CET"),
        ("TimezoneOffsetFromUTC", "+9900"),
        ("InstanceNumber", "one"),
    ],
)
def test_a_value_that_is_not_valid_is_left_out(keyword: str, value: str) -> None:
    assert keyword not in read_source(draw_radiograph(**FULL | {keyword: value})).values


def test_bytes_that_have_no_meaning_are_left_out() -> None:
    plain = draw_radiograph(PatientName="Muller^Jorg", SpecificCharacterSet="ISO_IR 192")
    broken = plain.replace(b"Muller", b"M\xfcller")
    assert "PatientName" not in read_source(broken).values
    unknown = broken.replace(b"ISO_IR 192", b"KLINGON 12")
    assert "PatientName" not in read_source(unknown).values
    assert read_source(plain.replace(b"ISO_IR 192", b"KLINGON 12")).values["PatientName"]
    misspelled = broken.replace(b"ISO_IR 192", b"ISO-IR 100")
    assert read_source(misspelled).values["PatientName"] == "Müller^Jorg"


def test_what_a_report_must_have_is_empty_where_the_image_lacks_it() -> None:
    data = structured_report(draw_radiograph(), predicted(), SPEC, ALGORITHM)
    report = pydicom.dcmread(io.BytesIO(data))
    for keyword in PATIENT_AND_STUDY:
        assert not report[keyword].value, keyword


def test_anonymous_patients_stay_marked_so() -> None:
    for method, expected in ((None, "as the source image says"), ("by hand", "by hand")):
        source = draw_radiograph(PatientIdentityRemoved="YES", DeidentificationMethod=method)
        data = structured_report(source, predicted(), SPEC, ALGORITHM)
        report = pydicom.dcmread(io.BytesIO(data))
        assert report.PatientIdentityRemoved == "YES"
        assert report.DeidentificationMethod == expected


def test_a_long_value_is_refused_by_name() -> None:
    source = draw_radiograph(PatientName="secret" * 200_000)
    # The length of a PN has two bytes, so pydicom writes it as UN.
    with pytest.raises(ImageError, match="PatientName has 1,200,000 bytes, the limit") as caught:
        read_source(source)
    assert "secret" not in str(caught.value)


def test_a_cut_or_foreign_file_is_an_image_error() -> None:
    whole = draw_radiograph(**FULL)
    results: list[Any] = []
    for data in [b"", b"\x89PNG", whole[132:], *(whole[:end] for end in range(132, 900, 7))]:
        try:
            results.append(read_source(data))
        except ImageError as err:
            results.append(err)
            assert str(err).isprintable() and len(str(err)) <= 300
    assert isinstance(results[0], ImageError) and isinstance(results[3], ImageError)


def test_no_warning_or_log_names_the_patient(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    source = draw_radiograph(**FULL | {"PatientName": "singlename", "ReferringPhysicianName": "x"})
    structured_report(source, predicted(), SPEC, ALGORITHM)
    assert not recwarn.list and "singlename" not in caplog.text
