"""What happens to a delivery, in one thread: no part of the service is started."""

import dataclasses
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from service_process import write_config

from cxr_edge import Classifier
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.errors import CxrEdgeError, MissingExtraError, NoHeatmap, StoreError
from cxr_edge.service import recorder as module
from cxr_edge.service.config import read_config
from cxr_edge.service.inbox import intake, mover
from cxr_edge.service.inbox.moving import give_back
from cxr_edge.service.recorder import Recorder, Stopping
from cxr_edge.service.service import Service


@pytest.fixture(scope="module")
def png():
    return cv2.imencode(".png", draw_phantom(np.random.default_rng(3)))[1].tobytes()


@pytest.fixture
def lines():
    return []


@pytest.fixture
def make_service(tmp_path, lines):
    services = []

    def make(text=""):
        service = Service(*read_config(write_config(tmp_path, text)), lines.append)
        services.append(service)
        return service

    yield make
    for service in services:
        service.store.close()


@pytest.fixture
def service(make_service):
    return make_service()


def put(service, name, data):
    path = service.inbox.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (1, 1))
    return path


def work_off(service):
    service.inbox.sweep()
    while item := service.inbox.take():
        service.intake.file(item)
    return service.store.after(0, 100)


def test_a_file_is_predicted_stored_and_moved(service, png, tmp_path):
    path = put(service, "ward 3/a.png", png)
    (row,) = work_off(service)
    expected = Classifier.load().predict(png)
    assert row.document["label"] == expected.label
    assert row.document["score"] == expected.score
    assert row.document["source"] == row.path == "ward 3/a.png"
    assert row.kept == f"ward 3/a.{row.content[:12]}.png"
    assert row.source == "inbox" and row.bundle == service.model.sha256
    assert row.received <= row.finished
    assert not path.exists()
    assert (tmp_path / "processed" / row.kept).read_bytes() == png


@pytest.mark.parametrize("data", [b"", b"text", b"\xff\xd8\xff\xe0cut"])
def test_what_is_no_image_fails_and_is_set_aside(service, tmp_path, data):
    put(service, "a.jpeg", data)
    (row,) = work_off(service)
    assert row.document["ok"] is False and row.document["error"] == "ImageError"
    assert "a.jpeg" in row.document["message"] and str(tmp_path) not in row.document["message"]
    assert (tmp_path / "failed" / row.kept).read_bytes() == data


@pytest.mark.parametrize(("text", "ok"), [("", False), ('[worker]\nradiographs = "any"', True)])
def test_a_lateral_view_is_left_out_and_set_aside(make_service, tmp_path, text, ok):
    pydicom = pytest.importorskip("pydicom", reason="DICOM needs the extra 'dicom'")
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "1.2.3"
    dataset.Modality, dataset.ViewPosition, dataset.PatientName = "CR", "LL", "SECRET"
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME2", 1
    dataset.Rows, dataset.Columns, dataset.PixelRepresentation = 480, 600, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = draw_phantom(np.random.default_rng(3)).tobytes()
    dataset["PixelData"].VR = "OB"
    dataset.save_as(tmp_path / "lateral", enforce_file_format=True)
    service = make_service(text)
    put(service, "lateral", (tmp_path / "lateral").read_bytes())
    (row,) = work_off(service)
    assert row.document["ok"] is ok and row.document.get("error") == (None if ok else "LeftOut")
    assert (tmp_path / ("processed" if ok else "failed") / row.kept).exists()
    assert "SECRET" not in str(row) and "sop_instance_uid" not in row.document


def test_a_file_that_is_too_large_is_not_read(make_service):
    service = make_service("[worker]\nmax_file_mb = 1")
    put(service, "a.png", b"x" * 1_000_001)
    (row,) = work_off(service)
    assert row.document["message"] == "a.png: 1,000,001 bytes, the limit is 1,000,000"


def test_the_same_file_again_is_moved_and_has_one_row(service, png, tmp_path):
    for _ in range(3):
        put(service, "a.png", png)
        assert len(work_off(service)) == 1
    (kept,) = (tmp_path / "processed").iterdir()
    assert kept.read_bytes() == png


def test_another_file_of_the_same_name_is_kept_beside_it(service, png, tmp_path):
    put(service, "a.png", png)
    put(service, "b.png", png)
    work_off(service)
    put(service, "a.png", png + b"more")
    rows = work_off(service)
    assert len(rows) == 3
    names = {path.name for path in (tmp_path / "processed").iterdir()}
    assert names == {row.kept for row in rows} and len(names) == 3


def test_died_between_storing_and_moving(service, png, monkeypatch, tmp_path):
    path = put(service, "a.png", png)
    service.inbox.sweep()
    item = service.inbox.take()
    monkeypatch.setattr(
        service.intake.mover, "move", lambda *_, note: False
    )  # the process ends here
    service.intake.file(item)
    service.inbox.done(item)
    monkeypatch.undo()
    assert path.exists()
    (row,) = work_off(service)
    assert not path.exists() and (tmp_path / "processed" / row.kept).exists()


def test_a_file_that_cannot_be_moved_is_read_once(service, png, monkeypatch, lines, make_service):
    put(service, "a.png", png)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    reads = []
    read = intake.read_file
    monkeypatch.setattr(mover, "move", refuse)
    monkeypatch.setattr(
        intake, "read_file", lambda path, **k: reads.append(path) or read(path, **k)
    )
    assert len(work_off(service)) == 1
    service.inbox._left_alone.clear()
    assert len(work_off(service)) == 1
    again = make_service()
    assert len(work_off(again)) == 1
    assert len(reads) == 1
    assert lines[0] == "a classified file cannot be moved out of the inbox: Permission denied"
    assert not service.health.report().ok
    monkeypatch.undo()
    again.inbox._left_alone.clear()
    assert len(work_off(again)) == 1
    assert not list(again.inbox.folder.iterdir())


def test_a_file_that_changes_while_it_is_read_waits(service, png, monkeypatch):
    path = put(service, "a.png", png)
    read = intake.read_file

    def read_and_change(file, **options):
        data = read(file, **options)
        path.write_bytes(data + b"more")
        return data

    monkeypatch.setattr(intake, "read_file", read_and_change)
    assert work_off(service) == []
    assert path.exists()


def test_an_upload_is_stored_and_kept_once(service, png, tmp_path):
    first, is_new = service.recorder.upload("a.png", png)
    service.recorder.keep_upload()
    assert is_new and first.source == "http"
    again, is_new = service.recorder.upload("a.png", png)
    assert again == first and not is_new
    kept = tmp_path / "processed" / first.kept
    assert kept.parent.name == "uploads" and kept.read_bytes() == png
    kept.unlink()  # the process ended before it was written
    service.recorder.upload("a.png", png)
    service.recorder.keep_upload()
    assert kept.read_bytes() == png
    other, is_new = service.recorder.upload("b.png", png)
    assert is_new and other.id == 2


def test_after_too_many_ends_a_file_is_set_aside(service, png, tmp_path):
    put(service, "a.png", png)
    for _ in range(3):  # the process ended three times
        service.store.begin(module.Delivery("inbox", "a.png", module.sha256(png)))
    (row,) = work_off(service)
    assert "the process ended 3 times while this file was classified" in row.document["message"]
    assert row.document["source"] == "a.png"
    assert (tmp_path / "failed" / row.kept).exists()
    assert len(work_off(service)) == 1


def test_a_store_that_cannot_be_written_is_waited_for(service, png, monkeypatch, lines):
    put(service, "a.png", png)
    record, failures = service.store.record, []

    def fail_twice(new):
        if len(failures) < 2:
            failures.append(new)
            raise StoreError("results.db: cannot be used: database or disk is full")
        return record(new)

    monkeypatch.setattr(service.store, "record", fail_twice)
    monkeypatch.setattr(module, "_RETRY_S", 0.01)
    (row,) = work_off(service)
    assert row.document["ok"]
    assert lines == [
        "results.db: cannot be used: database or disk is full; no work is taken until it is mended",
        "over: results.db: cannot be used: database or disk is full",
    ]


def test_stopped_while_the_store_cannot_be_written_nothing_is_lost(service, png, monkeypatch):
    path = put(service, "a.png", png)

    def fail(new):
        raise StoreError("full")

    monkeypatch.setattr(service.store, "record", fail)
    service.recorder.stop()
    with pytest.raises(Stopping):
        work_off(service)
    assert path.exists()
    assert service.health.paused == "full"


def test_the_model_is_checked_by_the_whole_path(service, lines):
    assert service.model.check_all() == ""
    service.recorder.check_health()
    assert service.health.report().ok and service.health.is_alive
    engine = service.model.classifier._engine

    class Wrong:
        def run(self, batch):
            return 1 - engine.run(batch)

    service.model.classifier._engine = Wrong()
    service.recorder.check_health()
    report = service.health.report()
    assert not report.ok and not service.health.is_alive
    assert report.paused == report.problems[0]
    assert "from the original model, allowed" in report.paused
    service.model.classifier._engine = engine
    service.recorder.check_health()
    assert service.health.report().ok
    assert [line.partition(":")[0] for line in lines] == [
        "the model does not work as it should",
        "over",
    ]


def test_an_output_that_is_no_probability_has_the_model_checked(service, png, monkeypatch):
    class Broken:
        def run(self, batch):
            return np.full((1, 1), np.nan, np.float32)

    put(service, "a.png", png)
    service.model.classifier._engine = Broken()
    (row,) = work_off(service)
    assert row.document["error"] == "EngineError"
    assert service.health.check_is_due


def test_a_full_disk_pauses_and_is_said_once(make_service, lines, monkeypatch):
    service = make_service("min_free_mb = 100")
    free = iter([150e6, 90e6, 80e6, 105e6, 111e6])
    monkeypatch.setattr(service.health, "_free_mb", lambda folder: value)
    for value in free:
        value = value / 1e6
        service.health.check_disk()
    assert len(lines) == 2
    assert "is nearly full: 90 MB free, 100 needed; no work is taken" in lines[0]
    assert lines[1].startswith("over: ")


@pytest.mark.slow
def test_heat_maps(make_service, png, tmp_path):
    service = make_service('[worker]\nheatmaps = "always"')
    put(service, "a.png", png)
    put(service, "b.png", b"no image")
    row, failure = work_off(service)
    drawn = tmp_path / "processed" / row.document["heatmap"]
    assert service.recorder.heatmap(row) == drawn.read_bytes()
    with pytest.raises(NoHeatmap, match="could not be classified"):
        service.recorder.heatmap(failure)

    on_request = make_service()
    upload, _ = on_request.recorder.upload("c.png", png)
    with pytest.raises(NoHeatmap, match="not kept any more"):
        on_request.recorder.heatmap(upload)
    on_request.recorder.keep_upload()
    assert on_request.recorder.heatmap(upload) == drawn.read_bytes()
    other = dataclasses.replace(upload, bundle="0" * 64)
    with pytest.raises(NoHeatmap, match="another bundle"):
        on_request.recorder.heatmap(other)
    (tmp_path / "processed" / upload.kept).write_bytes(b"changed")
    with pytest.raises(NoHeatmap, match="was changed"):
        on_request.recorder.heatmap(upload)

    never = make_service('[worker]\nheatmaps = "never"')
    with pytest.raises(NoHeatmap, match="turned off"):
        never.recorder.heatmap(upload)


def test_recorder_keeps_nothing_where_there_is_no_inbox(tmp_path, png):
    file = write_config(tmp_path, http=True)
    text = file.read_text().replace('folder = "inbox"', 'folder = ""')
    file.write_text(text)
    service = Service(*read_config(file), lambda line: None)
    assert service.inbox is None
    row, is_new = service.recorder.upload("a.png", png)
    assert is_new and row.document["ok"]
    assert isinstance(service.recorder, Recorder)
    service.store.close()


def test_a_file_that_needs_a_missing_package_waits(service, png, monkeypatch, lines):
    """The fault is the installation's: once it is mended, the file is classified."""
    path = put(service, "a.dcm", png)
    predict = service.model.predict

    def refuse(data, name):
        raise MissingExtraError(f"{name}: pydicom is not installed; run: pip install …")

    monkeypatch.setattr(type(service.model), "predict", lambda model, *given: refuse(*given))
    for _ in range(5):  # more often than a file may end the process
        assert work_off(service) == []
        service.inbox._left_alone.clear()
    assert path.exists() and not service.health.report().ok
    assert lines == ["files wait in the inbox: pydicom is not installed; run: pip install …"]
    with pytest.raises(MissingExtraError):
        service.recorder.upload("a.dcm", png)
    monkeypatch.setattr(type(service.model), "predict", lambda model, *given: predict(*given))
    (row,) = work_off(service)
    assert row.document["ok"]
    service.inbox.sweep()
    service.intake.after_sweep()
    assert service.health.report().ok


def test_errors_name_the_settings_they_come_from(tmp_path):
    for text, message in (
        ('artifact = "onnx-int4"', "artifact in line 1: no artifact is called 'onnx-int4'"),
        ('bundle = "nothing"', "bundle in line 1: "),
        ('engine = "tensorrt"', "engine in line 1: no engine is called 'tensorrt'"),
    ):
        file = write_config(tmp_path)
        file.write_text(f"{text}\n{file.read_text()}")
        with pytest.raises(CxrEdgeError) as error:
            Service(*read_config(file), print)
        assert f"cxr-edge.toml: {message}" in str(error.value)
    file = write_config(tmp_path, '[mqtt]\nhost = "a"\npassword_file = "nothing"')
    with pytest.raises(CxrEdgeError, match=r"mqtt\.password_file in line \d+: "):
        Service(*read_config(file), print)
    file = write_config(tmp_path, http=True)
    file.write_text(file.read_text().replace("port = 0", 'port = 0\ntoken_file = "nothing"'))
    with pytest.raises(CxrEdgeError, match=r"http\.token_file in line 4: .*nothing: cannot be"):
        Service(*read_config(file), print)


def claim(service, name, data):
    """What a process that died left of a file."""
    folder = service.inbox.folder / Path(name).parent / ".cxr-edge-claimed-01234567-3"
    folder.mkdir(parents=True)
    (folder / Path(name).name).write_bytes(data)
    return folder


def deal_with_leftovers(service):
    service.inbox.sweep()
    while leftover := service.inbox.take_leftover():
        service.intake.leftover(leftover)


def test_a_leftover_that_has_a_result_goes_to_its_place(service, png, tmp_path):
    """Also where a sender has used its name again: the row says what it is."""
    put(service, "sub/a.png", png)
    (row,) = work_off(service)
    kept = tmp_path / "processed" / row.kept
    kept.unlink()  # the process died before it got there
    folder = claim(service, "sub/a.png", png)
    put(service, "sub/a.png", png + b"another")
    deal_with_leftovers(service)
    assert kept.read_bytes() == png and not folder.exists()
    assert len(work_off(service)) == 2


def test_a_leftover_without_a_result_goes_back(service, png, tmp_path):
    claim(service, "a.png", png)
    (service.inbox.folder / "b").mkdir()
    claim(service, "b/c.png", b"no image")
    deal_with_leftovers(service)
    for path in service.inbox.folder.rglob("*.png"):
        os.utime(path, (1, 1))
    assert sorted(row.path for row in work_off(service)) == ["a.png", "b/c.png"]
    assert not list(service.inbox.folder.rglob(".cxr*"))


def test_one_leftover_that_cannot_be_moved_holds_up_no_other(service, png, monkeypatch, lines):
    for name in ("a.png", "b/c.png"):
        claim(service, name, png)

    def refuse(claimed):
        if claimed.name == "a.png":
            raise PermissionError(13, "Permission denied")
        give_back(claimed)

    monkeypatch.setattr(mover, "give_back", refuse)
    deal_with_leftovers(service)
    service.intake.after_sweep()
    assert (service.inbox.folder / "b/c.png").exists()
    assert not service.health.report().ok
    assert lines == ["a file that was being moved when the service died waits: Permission denied"]
    monkeypatch.undo()
    service.inbox._put_off.clear()
    deal_with_leftovers(service)
    service.inbox.sweep()
    service.intake.after_sweep()
    assert service.health.report().ok


def test_a_share_that_comes_later_has_its_leftovers_dealt_with(service, png, tmp_path):
    service.inbox.folder.rename(tmp_path / "away")
    deal_with_leftovers(service)
    (tmp_path / "away").rename(service.inbox.folder)
    claim(service, "a.png", png)
    deal_with_leftovers(service)
    assert (service.inbox.folder / "a.png").read_bytes() == png


def test_files_that_cannot_be_read_are_told_apart(make_service, tmp_path):
    """Two that are too large, of the same name, size and time."""
    service = make_service("[worker]\nmax_file_mb = 1")
    for letter in (b"a", b"b"):
        put(service, "big.dcm", letter * 1_500_000)
        work_off(service)
    kept = sorted(path.read_bytes()[:1] for path in (tmp_path / "failed").iterdir())
    assert kept == [b"a", b"b"]
    assert len(service.store.newest(9)) == 2
