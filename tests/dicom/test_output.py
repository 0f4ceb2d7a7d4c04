"""The files that ``--dicom-out`` writes: names, what they replace, what has none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("highdicom", reason="reports need the extra 'dicom'")

import pydicom
from radiographs import ALGORITHM, SPEC, UIDS, draw_radiograph, predicted

from cxr_edge import Classifier
from cxr_edge.data.phantom import write_phantom
from cxr_edge.dicom import heatmap_image
from cxr_edge.dicom.output import DicomFiles, check_output
from cxr_edge.dicom.writing import image_of_ours
from cxr_edge.errors import MissingExtraError, OutputError
from cxr_edge.results import Explanation, Failure, Prediction


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load()


def save(path: Path, **tags: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(draw_radiograph(**tags))
    return str(path)


def predict(
    classifier: Classifier, sources: list[str | bytes], folder: Path
) -> tuple[list[Prediction | Failure], DicomFiles]:
    files = DicomFiles(folder, classifier, 2**20)
    return list(files.write(classifier.predict_many(sources), sources)), files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_each_dicom_image_has_a_report(classifier: Classifier, tmp_path: Path) -> None:
    write_phantom(tmp_path / "x.png")
    sources: list[str | bytes] = [
        save(tmp_path / "a" / "x.dcm", SOPInstanceUID="1.2.3.10"),
        save(tmp_path / "b" / "x.DCM", SOPInstanceUID="1.2.3.11"),
        save(tmp_path / "b" / "1.2.840.7", SOPInstanceUID="1.2.3.12"),
        draw_radiograph(SOPInstanceUID="1.2.3.13"),
        str(tmp_path / "x.png"),
        b"no image",
    ]
    out = tmp_path / "new" / "out"
    results, files = predict(classifier, sources, out)
    assert [type(result) for result in results] == [Prediction] * 5 + [Failure]
    assert names(out) == ["1.2.840.7.sr.dcm", "stdin.sr.dcm", "x-2.sr.dcm", "x.sr.dcm"]
    assert files.remarks == [
        f"4 reports written to {out}",
        "1 image is not DICOM: no report was written for it",
    ]
    report = pydicom.dcmread(out / "x-2.sr.dcm")
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (referenced,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert referenced.ReferencedSOPInstanceUID == "1.2.3.11"
    assert classifier.bundle_sha256 is not None
    assert classifier.bundle_sha256.encode() in (out / "x.sr.dcm").read_bytes()


def test_only_ours_is_replaced(classifier: Classifier, tmp_path: Path) -> None:
    source = save(tmp_path / "x.dcm")
    foreign = tmp_path / "y.sr.dcm"
    save(foreign)
    kept = foreign.read_bytes()
    other = save(tmp_path / "y.dcm")
    for _ in range(2):
        results, _ = predict(classifier, [source, other], tmp_path)
        assert isinstance(results[0], Prediction)
        assert isinstance(results[1], Failure) and results[1].error == "OutputError"
        assert "y.sr.dcm: exists and was not written by cxr-edge" in results[1].message
    assert foreign.read_bytes() == kept
    assert names(tmp_path) == ["x.dcm", "x.sr.dcm", "y.dcm", "y.sr.dcm"]


def test_an_image_is_never_replaced(classifier: Classifier, tmp_path: Path) -> None:
    first = save(tmp_path / "x.dcm")
    predict(classifier, [first], tmp_path)
    second = str(tmp_path / "x.sr.dcm")
    Path(second).write_bytes(draw_radiograph(2, Manufacturer="cxr-edge"))
    kept = Path(second).read_bytes()
    predict(classifier, [first, second], tmp_path)
    assert Path(second).read_bytes() == kept
    assert "x-2.sr.dcm" in names(tmp_path)


def test_a_report_of_another_image_is_kept(classifier: Classifier, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for _ in range(2):  # made again, each replaces its own
        for folder in "ab":
            source = save(tmp_path / folder / "x.dcm", SOPInstanceUID=f"1.2.{ord(folder)}")
            predict(classifier, [source], out)
        assert names(out) == ["x-2.sr.dcm", "x.sr.dcm"]
        assert b"1.2.97" in (out / "x.sr.dcm").read_bytes()
        assert b"1.2.98" in (out / "x-2.sr.dcm").read_bytes()


def test_reports_beside_the_images_are_replaced_though_listed(
    classifier: Classifier, tmp_path: Path
) -> None:
    save(tmp_path / "x.dcm")
    for _ in range(3):
        sources: list[str | bytes] = [str(path) for path in sorted(tmp_path.iterdir())]
        predict(classifier, sources, tmp_path)
        assert names(tmp_path) == ["x.dcm", "x.sr.dcm"]


def test_a_heat_map_names_its_image() -> None:
    explanation = Explanation(predicted(), np.ones((5, 5), np.float32), np.eye(9, dtype="u1"), SPEC)
    heatmap = heatmap_image(draw_radiograph(), explanation, ALGORITHM)
    assert image_of_ours(heatmap) == UIDS["SOPInstanceUID"]
    assert image_of_ours(heatmap[:200]) is None
    assert image_of_ours(draw_radiograph()) is None


def test_a_file_that_changes_meanwhile_has_no_report(
    classifier: Classifier, tmp_path: Path
) -> None:
    sources: list[str | bytes] = [save(tmp_path / name) for name in ("x.dcm", "y.dcm")]
    files = DicomFiles(tmp_path / "out", classifier, 2**20)

    def results() -> Iterator[Prediction | Failure]:
        for result in classifier.predict_many(sources):
            if str(result.source).endswith("x.dcm"):
                save(tmp_path / "x.dcm", seed=7, SOPInstanceUID="1.2.3.99")
            yield result

    changed, other = files.write(results(), sources)
    assert isinstance(changed, Failure) and "changed after it was read" in changed.message
    assert isinstance(other, Prediction)
    assert names(tmp_path / "out") == ["y.sr.dcm"]


def test_an_image_without_study_is_a_failure(classifier: Classifier, tmp_path: Path) -> None:
    sources: list[str | bytes] = [
        save(tmp_path / "x.dcm", StudyInstanceUID=None),
        save(tmp_path / "y.dcm"),
        save(tmp_path / f"{'n' * 250}.dcm"),
    ]
    results, _ = predict(classifier, sources, tmp_path / "out")
    assert isinstance(results[0], Failure) and isinstance(results[1], Prediction)
    assert "x.dcm: no report: the DICOM file has no valid StudyInstanceUID" in results[0].message
    assert isinstance(results[2], Failure) and "name too long" in results[2].message.lower()
    assert names(tmp_path / "out") == ["y.sr.dcm"]


def test_a_folder_that_cannot_be_written(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        check_output(tmp_path / "file")
    with pytest.raises(OutputError):
        predict(classifier, [save(tmp_path / "x.dcm")], tmp_path / "file")
    monkeypatch.setitem(sys.modules, "highdicom", None)
    monkeypatch.setattr("cxr_edge.extras.is_installed", lambda name: name != "highdicom")
    with pytest.raises(MissingExtraError, match=r"--dicom-out needs highdicom.*cxr-edge\[dicom\]"):
        check_output(tmp_path)


def test_the_command_line_writes_both(tmp_path: Path) -> None:
    source = save(tmp_path / "x.dcm")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "cxr_edge", "predict", source, "--heatmap", tmp_path / "png"),
            *("--dicom-out", tmp_path / "out", "--format", "json"),
        ],
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    )
    assert f"1 report written to {tmp_path / 'out'}\n" in done.stderr
    assert "Warning" not in done.stderr
    assert names(tmp_path / "out") == ["x.heatmap.dcm", "x.sr.dcm"]
    picture = pydicom.dcmread(tmp_path / "out" / "x.heatmap.dcm").pixel_array[..., ::-1]
    drawn = cv2.imread(str(tmp_path / "png" / "x.heatmap.png"))
    np.testing.assert_array_equal(picture[: len(drawn)], drawn)


def test_without_the_option_nothing_of_dicom_is_imported(tmp_path: Path) -> None:
    image = tmp_path / "x.png"
    write_phantom(image)
    program = (
        "import sys, cxr_edge.cli, contextlib\n"
        f"sys.argv = ['cxr-edge', 'predict', {str(image)!r}]\n"
        "with contextlib.suppress(SystemExit): cxr_edge.cli.main()\n"
        "print([m for m in sys.modules if 'pydicom' in m or 'highdicom' in m"
        " or m.startswith('cxr_edge.dicom')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True, timeout=120
    )
    assert "x.png" in done.stdout and done.stdout.endswith("[]\n"), done.stdout
