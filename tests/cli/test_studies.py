"""Folders as a CD or an archive writes them: chest radiographs found, the rest named."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cxr_edge import Classifier, ImageLimits
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.errors import ImageError

pytest.importorskip("pydicom", reason="DICOM needs the extra 'dicom'")

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from cxr_edge.image.dicom import directory
from cxr_edge.image.dicom.directory import read_directory

pytestmark = pytest.mark.filterwarnings("ignore:(Invalid value|The value length|Unknown encoding)")

STORAGE = "1.2.840.10008.5.1.4.1.1."
SECRET = "SECRET^PATIENT"
Kind = tuple[str, str, dict[str, Any]]

CHESTS: dict[str, Kind] = {
    "I0000001": (f"{STORAGE}1", "CR", {"BodyPartExamined": "CHEST", "ViewPosition": "PA"}),
    "17": (f"{STORAGE}1.1", "DX", {"BodyPartExamined": "THORAX AP", "ViewPosition": "AP"}),
    "1.2.840.113619.2.66.17": (f"{STORAGE}7", "CR", {}),
    "CHEST.IMA": (f"{STORAGE}1", "CR", {"PatientOrientation": ["L", "F"]}),
}
"""Name to SOP class, modality and elements."""
OTHERS: dict[str, Kind] = {
    "I0000002": (f"{STORAGE}1", "CR", {"BodyPartExamined": "CHEST", "ViewPosition": "LL"}),
    "I0000003": (f"{STORAGE}1", "CR", {"BodyPartExamined": "HAND", "ViewPosition": "PA"}),
    "I0000004": (f"{STORAGE}2", "CT", {"BodyPartExamined": "CHEST"}),
    "I0000005": (f"{STORAGE}88.11", "SR", {}),
    "I0000006": (f"{STORAGE}11.1", "PR", {}),
    "I0000007": (f"{STORAGE}88.59", "KO", {}),
    "I0000008": (f"{STORAGE}1", "CR", {"NumberOfFrames": 2}),
    "I0000009": (f"{STORAGE}7", "CR", {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}),
}
REASONS = {
    "I0000002": "view is LL",
    "I0000003": "part is HAND",
    "I0000004": "CT Image",
    "I0000005": "Basic Text SR",
    "I0000006": "presentation state",
    "I0000007": "Key Object Selection",
    "I0000008": "2 frames",
    "I0000009": "RGB",
}
WITHOUT_PIXELS = ("SR", "PR", "KO")


def draw(kind: Kind, number: int) -> Dataset:
    """A file of 60 x 75 pixels, or without any."""
    sop_class, modality, tags = kind
    dataset = Dataset()
    dataset.SOPClassUID, dataset.Modality = sop_class, modality
    dataset.SOPInstanceUID = f"1.2.3.4.{number}"
    dataset.StudyInstanceUID = "1.2.3"
    dataset.SeriesInstanceUID = f"1.2.3.{number}"
    dataset.PatientID = dataset.PatientName = dataset.AccessionNumber = dataset.StudyID = SECRET
    dataset.StudyDate, dataset.StudyTime, dataset.ContentDate = "20200101", "120000", "20200101"
    dataset.ContentTime = "120000"
    dataset.SeriesNumber = dataset.InstanceNumber = number
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    if modality not in WITHOUT_PIXELS:
        pixels = draw_phantom(np.random.default_rng(number), height=60, width=75)
        copies = int(tags.get("NumberOfFrames", 1)) * int(tags.get("SamplesPerPixel", 1))
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME2", 1
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit, dataset.PixelRepresentation = 7, 0
        dataset.PixelData = pixels.tobytes() * copies
        dataset["PixelData"].VR = "OB"
    if modality in ("SR", "KO"):
        dataset.CompletionFlag, dataset.VerificationFlag = "COMPLETE", "UNVERIFIED"
        title = Dataset()
        title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning = "1", "99X", "any"
        dataset.ConceptNameCodeSequence = [title]
    if modality == "PR":
        dataset.ContentLabel, dataset.PresentationCreationDate = "ANY", "20200101"
        dataset.ContentDescription, dataset.ContentCreatorName = "any", SECRET
        dataset.PresentationCreationTime = "120000"
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset


def save(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def cd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two series of files, a DICOMDIR and what else lies on a CD."""
    root = tmp_path_factory.mktemp("cd")
    for number, (name, kind) in enumerate({**CHESTS, **OTHERS}.items(), 1):
        folder = root / ("A" if number % 2 else "B")
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(save(draw(kind, number)))
    (root / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (root / "AUTORUN.INF").write_text("[autorun]")
    (root / "VIEWER.EXE").write_bytes(b"MZ" + bytes(200))
    return root


@pytest.fixture(scope="module")
def file_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same files with a DICOMDIR that names them."""
    root = tmp_path_factory.mktemp("file-set")
    (root / "PT000000").mkdir()
    records = [Dataset() for _ in range(3)]
    for record, level in zip(records, ("PATIENT", "STUDY", "SERIES"), strict=True):
        record.DirectoryRecordType = level
        record.PatientName = SECRET
    for number, kind in enumerate({**CHESTS, **OTHERS}.values(), 1):
        names = ["PT000000", f"IM{number:06}"]
        root.joinpath(*names).write_bytes(save(draw(kind, number)))
        record = Dataset()
        record.DirectoryRecordType = "PRESENTATION" if kind[1] == "PR" else "IMAGE"
        record.ReferencedFileID = names
        records.append(record)
    for record in records:
        record.OffsetOfTheNextDirectoryRecord = 0
        record.RecordInUseFlag = 0xFFFF
        record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    dataset = Dataset()
    dataset.FileSetID = SECRET
    dataset.DirectoryRecordSequence = records
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.9"
    (root / "DICOMDIR").write_bytes(save(dataset))
    return root


def by_name(text: str) -> dict[str, dict[str, Any]]:
    return {Path(row["source"]).name: row for row in json.loads(text)["results"]}


def test_chests_are_found_and_the_rest_is_named(in_process, cd):
    result = in_process("predict", cd, "-f", "json")
    rows = by_name(result.stdout)
    assert {name for name, row in rows.items() if row["ok"]} == {*CHESTS}
    assert {name for name, row in rows.items() if not row["ok"]} == {*OTHERS}
    for name, reason in REASONS.items():
        assert set(rows[name]) == {"ok", "source", "error", "message"}
        assert rows[name]["error"] == "LeftOut" and reason in rows[name]["message"], name
    assert result.returncode == 0
    lines = result.stderr.splitlines()
    assert len(lines) == 2 and "2 other files not read" in lines[0], lines
    assert "4 predicted" in lines[1] and "0 failed, 8 left out, " in lines[1]
    assert SECRET not in result.stdout + result.stderr


def test_every_format_names_them(in_process, cd):
    table = in_process("predict", cd, "-q").stdout
    for name, reason in REASONS.items():
        (line,) = [line for line in table.splitlines() if f"/{name} " in line]
        assert line.startswith("left out ") and reason in line and line.count(name) == 1
    rows = list(csv.DictReader(io.StringIO(in_process("predict", cd, "-q", "-f", "csv").stdout)))
    assert sorted(row["error"] for row in rows) == [""] * 4 + ["LeftOut"] * 8
    assert "sop_instance_uid" not in rows[0]
    lines = in_process("predict", cd, "-q", "-f", "jsonl").stdout.splitlines()
    assert sum(json.loads(line)["ok"] for line in lines) == 4


def test_any_radiograph_when_asked_for(in_process, cd):
    rows = by_name(in_process("predict", cd, "--radiographs", "any", "-f", "json").stdout)
    assert {name for name, row in rows.items() if row["ok"]} == {*CHESTS, "I0000002", "I0000003"}


def test_a_named_file_that_is_left_out_is_a_failure_with_advice(in_process, cd):
    (lateral,) = cd.rglob("I0000002")
    result = in_process("predict", lateral)
    assert (result.returncode, result.stdout) == (4, "")
    assert result.stderr.count("\n") == 1 and "view is LL" in result.stderr
    assert "--radiographs any" in result.stderr
    (chest,) = cd.rglob("I0000001")
    assert in_process("predict", chest, lateral).returncode == 1
    assert in_process("predict", lateral, "--radiographs", "any").returncode == 0


def test_a_folder_with_nothing_that_is_wanted(in_process, cd, tmp_path):
    for name in ("I0000004", "I0000002"):
        shutil.copy(next(cd.rglob(name)), tmp_path / name)
        result = in_process("predict", tmp_path, "-f", "json")
        assert result.returncode == 4
        assert not any(row["ok"] for row in json.loads(result.stdout)["results"])
        assert result.stderr.splitlines()[-1].startswith("cxr-edge: nothing was predicted: ")


def test_a_damaged_radiograph_in_a_folder_is_a_failure(in_process, cd, tmp_path):
    data = next(cd.rglob("I0000001")).read_bytes()
    (tmp_path / "1").write_bytes(data)
    (tmp_path / "2").write_bytes(data[:-9])
    result = in_process("predict", tmp_path, "-f", "json")
    assert result.returncode == 1 and by_name(result.stdout)["2"]["error"] == "ImageError"


def test_the_results_replace_no_file_of_dicom(in_process, file_set):
    for name in ("DICOMDIR", "PT000000/IM000002"):
        kept = (file_set / name).read_bytes()
        done = in_process("predict", file_set, "-o", file_set / name)
        assert done.returncode == 2 and "would replace it" in done.stderr
        assert (file_set / name).read_bytes() == kept


@pytest.mark.parametrize("options", [(), ("--ids",)], ids=["without", "with"])
def test_ids_only_on_request(in_process, cd, image, options):
    (chest,), (report,) = cd.rglob("I0000001"), cd.rglob("I0000005")
    call = ("predict", chest, report, image, *options)
    rows = json.loads(in_process(*call, "-f", "json").stdout)["results"]
    expected = ["1.2.3.4.1", "1.2.3.4.8", None]
    table, lines = in_process(*call).stdout, in_process(*call, "-f", "csv").stdout
    if options:
        assert [row["sop_instance_uid"] for row in rows] == expected
        assert "1.2.3.4.1" in table
        found = [row["sop_instance_uid"] for row in csv.DictReader(io.StringIO(lines))]
        assert found == [uid or "" for uid in expected]
    else:
        assert not any("sop_instance_uid" in row for row in rows)
        assert "1.2.3" not in table + lines


def test_python_gives_a_failure_for_each(cd):
    classifier = Classifier.load(limits=ImageLimits(radiographs="frontal-chest"))
    paths = sorted(path for path in cd.rglob("*") if path.name in {**CHESTS, **OTHERS})
    for workers in (1, 2):
        results = list(classifier.predict_many(paths, workers=workers))
        left_out = {Path(r.source).name for r in results if getattr(r, "error", "") == "LeftOut"}
        assert left_out == {*OTHERS}


# --- DICOMDIR


def test_a_dicomdir_gives_what_it_names(in_process, file_set):
    result = in_process("predict", file_set / "DICOMDIR", "-f", "json")
    rows = json.loads(result.stdout)["results"]
    assert result.returncode == 0
    assert [row["ok"] for row in rows].count(True) == 4 and len(rows) == 12
    assert {row.get("error") for row in rows} == {None, "LeftOut"}
    assert SECRET not in result.stdout + result.stderr
    folder = in_process("predict", file_set, "-f", "json")
    assert sorted(map(str, json.loads(folder.stdout)["results"])) == sorted(map(str, rows))


@pytest.mark.parametrize("name", ["DICOMDIR", "DICOMDIR-implicit", "DICOMDIR-nooffset"])
def test_dicomdirs_of_others(name, tmp_path):
    """Those of pydicom's tests, of several patients and series."""
    path = Path(pydicom.data.get_testdata_file("DICOMDIR", download=False))
    root = tmp_path / "cd"
    shutil.copytree(path.parent, root)
    (root / "DICOMDIR").write_bytes((path.parent / name).read_bytes())
    found = read_directory(root / "DICOMDIR")
    named = {file.relative_to(root).as_posix() for file in found.files}
    stored = {file.relative_to(root).as_posix() for file in root.glob("[0-9]*/*/*")}
    assert named == stored and len(named) == 31
    assert not found.absent and not found.outside


def test_a_record_that_is_not_in_use_is_skipped(records):
    path = records()
    dataset = pydicom.dcmread(path)
    dataset.DirectoryRecordSequence[-1].RecordInUseFlag = 0
    dataset.save_as(path)
    assert len(read_directory(path).files) == 11


def test_names_are_found_in_another_case_and_with_versions(file_set, tmp_path):
    expected = len(read_directory(file_set / "DICOMDIR").files)
    for path in file_set.rglob("*"):
        if path.is_file():
            name = path.relative_to(file_set).as_posix().lower()
            copy = tmp_path / (f"{name}.;1" if name.endswith("1") else name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    found = read_directory(tmp_path / "dicomdir")
    assert len(found.files) == expected and not found.absent and not found.outside


@pytest.fixture
def records(file_set, tmp_path) -> Callable[..., Path]:
    """A DICOMDIR whose records name these files; None leaves one as it is."""

    def write(*names: list[str] | None, offset: int | None = None) -> Path:
        root = tmp_path / "copy"
        shutil.copytree(file_set, root)
        dataset = pydicom.dcmread(root / "DICOMDIR")
        named = [r for r in dataset.DirectoryRecordSequence if "ReferencedFileID" in r]
        for record, name in zip(named, names, strict=False):
            if name is not None:
                record.ReferencedFileID = name
        for record in dataset.DirectoryRecordSequence if offset is not None else ():
            record.OffsetOfTheNextDirectoryRecord = offset
            record.OffsetOfReferencedLowerLevelDirectoryEntity = offset
        dataset.save_as(root / "DICOMDIR")
        return root / "DICOMDIR"

    return write


def test_missing_files_are_failures_that_name_them(in_process, records):
    result = in_process("predict", records(["PT000000", "GONE"]), "-f", "json", "-q")
    rows = json.loads(result.stdout)["results"]
    assert result.returncode == 1 and len(rows) == 12
    assert [row["message"] for row in rows if row.get("error") == "ImageError"] == [
        f"{rows[0]['source'].removesuffix('PT000000/GONE')}DICOMDIR: names PT000000/GONE: "
        "the file is not there; copy the whole CD"
    ]


@pytest.mark.parametrize(
    "name",
    [["..", "OUT"], ["", "etc", "passwd"], ["PT000000", "..", "..", "OUT"], ["../OUT"], ["L"]],
)
def test_no_record_leads_out_of_the_folder(records, tmp_path, name):
    path = records(name)
    chest = next(read_directory(path).files.__iter__())
    shutil.copy(chest, tmp_path / "OUT")
    (path.parent / "L").symlink_to(tmp_path / "OUT")
    (path.parent / "M").symlink_to(tmp_path)
    found = read_directory(path)
    assert found.outside == ("/".join(name),) and len(found.files) == 11
    assert all(path.parent in file.parents and ".." not in file.parts for file in found.files)


def test_a_folder_that_is_a_link_leads_out_too(records, tmp_path):
    path = records(["M", "OUT"])
    shutil.copy(read_directory(path).files[0], tmp_path / "OUT")
    (path.parent / "M").symlink_to(tmp_path)
    assert not any(file.name == "OUT" for file in read_directory(path).files)


def test_offsets_in_a_cycle_have_no_effect(records):
    path = records(offset=400)
    assert len(read_directory(path).files) == 12


def test_damaged_and_large_ones_are_refused(file_set, cd, monkeypatch, tmp_path):
    data = (file_set / "DICOMDIR").read_bytes()
    path = tmp_path / "DICOMDIR"
    for end in (1, 132, 140, 200, 350, 500, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises(ImageError, match=r"DICOMDIR: .*(damaged|no DICOMDIR|no records)"):
            read_directory(path)
    random = np.random.default_rng(3)
    for _ in range(200):
        changed = bytearray(data)
        for at in random.integers(128, len(data), 4):
            changed[at] = random.integers(0, 256)
        path.write_bytes(changed)
        try:
            read_directory(path)
        except ImageError as err:
            assert str(err).isprintable() and SECRET not in str(err)
    path.write_bytes(next(cd.rglob("I0000001")).read_bytes())
    with pytest.raises(ImageError, match="no DICOMDIR by its content"):
        read_directory(path)
    monkeypatch.setattr(directory, "MAX_RECORDS", 5)
    with pytest.raises(ImageError, match="more than 5 records"):
        read_directory(file_set / "DICOMDIR")
    monkeypatch.setattr(directory, "MAX_BYTES", 1000)
    with pytest.raises(ImageError, match="the limit is 1,000"):
        read_directory(file_set / "DICOMDIR")


@pytest.mark.system
def test_a_dicomdir_of_dcmtk(in_process, cd, tmp_path):
    """Dcmtk takes names of at most eight letters and digits, and files of the standard's kinds."""
    names = [name for name in ("I0000001", "I0000002", "I0000003", "17") if next(cd.rglob(name))]
    folder = tmp_path / "DICOM"
    folder.mkdir()
    for name in names:
        shutil.copy(next(cd.rglob(name)), folder / name)
    subprocess.run(
        [
            "dcmmkdir",
            "+r",
            "-W",
            "--invent",
            "+D",
            str(tmp_path / "DICOMDIR"),
            "+id",
            str(tmp_path),
        ],
        check=True,
        capture_output=True,
    )
    result = in_process("predict", tmp_path / "DICOMDIR", "-f", "json")
    rows = by_name(result.stdout)
    assert {name for name, row in rows.items() if row["ok"]} == {"I0000001", "17"}
    assert set(rows) == {*names}


# --- privacy


def marked(number: int, **tags: Any) -> list[tuple[str, bytes]]:
    """A chest with the marker in every element of text, and in one after the other."""
    whole = draw(CHESTS["I0000001"], number)
    for keyword in (
        *("SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "Modality"),
        *("PresentationIntentType", "BodyPartExamined", "ViewPosition", "PatientOrientation"),
        *("PhotometricInterpretation", "NumberOfFrames", "WindowCenter", "WindowWidth"),
        *("RescaleIntercept", "RescaleSlope", "VOILUTFunction", "PresentationLUTShape"),
        *("PixelAspectRatio", "BurnedInAnnotation", "Manufacturer", "SeriesDescription"),
    ):
        if keyword not in whole:
            value = "0" if keyword in NUMERIC else ""
            setattr(whole, keyword, [value] * 2 if keyword == "PixelAspectRatio" else value)
    texts = [e for e in whole if e.VR in TEXTS and e.tag != 0x7FE00010]
    files = []
    for chosen in [texts, *([element] for element in texts)]:
        dataset = draw(CHESTS["I0000001"], number)
        for element in chosen:
            dataset.add_new(element.tag, "UT", SECRET)
        data = save_as_written(dataset, chosen)
        files.append((",".join(e.keyword for e in chosen)[:40], data))
    return files


NUMERIC = ("NumberOfFrames", "WindowCenter", "WindowWidth", "RescaleIntercept", "RescaleSlope")
NUMERIC += ("PixelAspectRatio",)
TEXTS = {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI"}


def save_as_written(dataset: Dataset, elements: list[Any]) -> bytes:
    """A file whose elements have their own representation and the marker, which may break it."""
    data = save(dataset)
    for element in elements:
        tag = element.tag.group.to_bytes(2, "little") + element.tag.element.to_bytes(2, "little")
        long = tag + b"UT\0\0" + len(SECRET).to_bytes(4, "little") + SECRET.encode()
        assert data.count(long) == 1, element.keyword
        short = tag + element.VR.encode() + len(SECRET).to_bytes(2, "little") + SECRET.encode()
        data = data.replace(long, short)
    return data


def test_no_message_quotes_an_element(tmp_path, caplog, capfd):
    classifiers = [
        Classifier.load(limits=ImageLimits(radiographs="frontal-chest")),
        Classifier.load(),
    ]
    outcomes = set()
    files = marked(1)
    caplog.clear()  # of what pydicom said when they were drawn
    for number, (_, data) in enumerate(files):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(data)
        for classifier in classifiers:
            (result,) = classifier.predict_many([path])
            outcomes.add(getattr(result, "error", "predicted"))
            assert SECRET not in str(result) and "SECRET" not in str(result)
    assert outcomes == {"predicted", "ImageError", "LeftOut"}
    shown = capfd.readouterr()
    assert "SECRET" not in shown.out + shown.err + caplog.text


def test_pictures_of_other_formats_are_read_as_before(in_process, tmp_path, image):
    """The content of a file with an unknown suffix counts only if it is DICOM."""
    shutil.copy(image, tmp_path / "a.png")
    shutil.copy(image, tmp_path / "b")
    shutil.copy(image, tmp_path / "c.bak")
    assert cv2.imread(str(tmp_path / "a.png")) is not None
    rows = by_name(in_process("predict", tmp_path, "-f", "json").stdout)
    assert {*rows} == {"a.png", "b"}
