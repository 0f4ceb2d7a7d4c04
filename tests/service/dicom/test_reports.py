"""Whatever dies when: a received image has one row, and its report is in the outbox."""

from __future__ import annotations

import os
from io import BytesIO

import pydicom
import pytest
from dicom_peers import MARKER, radiograph, to_file
from service_process import write_config

from cxr_edge import results
from cxr_edge.errors import MissingExtraError, OutputError
from cxr_edge.files import sha256
from cxr_edge.service import recorder
from cxr_edge.service.config import read_config
from cxr_edge.service.dicom import outbox, reports
from cxr_edge.service.inbox import mover
from cxr_edge.service.service import Service


class Received:
    """A service that is not started, and its folder of received objects."""

    def __init__(self, folder, text):
        self.folder, self.lines = folder, []
        forward = 'forward = "127.0.0.1:9:ARCHIVE"'
        file = write_config(folder, f"[dicom]\nenabled = true\n{forward}\n{text}")
        self.service = Service(*read_config(file), self.lines.append)
        self.intake = self.service._dicom.intake
        self.inbox = self.intake._inbox
        (folder / "received").mkdir(exist_ok=True)
        (folder / "outbox/dead").mkdir(parents=True, exist_ok=True)

    def receive(self, data):
        """As the listener puts it there."""
        path = self.folder / "received" / f"{sha256(data)}.dcm"
        path.write_bytes(data)
        return path

    def work_off(self):
        self.inbox._left_alone.clear()
        self.inbox.sweep()
        while self.intake.take():
            pass
        return self.rows

    @property
    def rows(self):
        return self.service.store.after(0, 100)

    @property
    def reports(self):
        return sorted((self.folder / "outbox").glob("*.dcm"))


@pytest.fixture
def make(tmp_path):
    made = []

    def start(text=""):
        made.append(Received(tmp_path, text))
        return made[-1]

    yield start
    for received in made:
        received.service.store.close()


@pytest.fixture
def data():
    return to_file(radiograph(1))


def test_a_received_image_is_stored_reported_and_moved(make, data, tmp_path):
    received = make('report = "sr+heatmap"')
    path = received.receive(data)
    (row,) = received.work_off()
    assert (row.source, row.path, row.content) == ("dicom", path.name, sha256(data))
    assert not path.exists() and (tmp_path / "processed" / row.kept).read_bytes() == data
    assert row.kept.startswith("received/")
    assert [file.name.split(".")[-2] for file in received.reports] == ["heatmap", "sr"]
    report = pydicom.dcmread(received.reports[1])
    assert report.Modality == "SR" and report.PatientID == radiograph(1).PatientID
    assert MARKER not in str(received.reports) + str(row.document)


def test_an_image_sent_again_at_any_moment_has_one_row(make, data, monkeypatch):
    received = make()
    for _ in range(2):  # before and after the first is done
        received.receive(data)
        assert len(received.work_off()) == 1
    real = mover.move

    def arrives_again(file, seen, target):
        """Another copy takes the place of the first between its row and its move."""
        other = file.with_name("other")
        other.write_bytes(data)
        other.rename(file)
        monkeypatch.setattr(mover, "move", real)
        return real(file, seen, target)

    monkeypatch.setattr(mover, "move", arrives_again)
    image = to_file(radiograph(2))
    data = image
    received.receive(image)
    assert len(received.work_off()) == 2
    assert len(received.work_off()) == 2
    assert not list((received.folder / "received").iterdir())


def test_a_process_that_dies_before_the_report_is_written_makes_it_later(make, data, monkeypatch):
    received = make()
    received.receive(data)

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(outbox.Outbox, "put", die)
    with pytest.raises(KeyboardInterrupt):
        received.work_off()
    assert len(received.rows) == 1 and not received.reports
    monkeypatch.undo()
    received.service.store.close()
    again = make()
    assert len(again.work_off()) == 1
    (report,) = again.reports
    first = report.read_bytes()
    report.unlink()  # delivered
    again.receive(data)
    assert len(again.work_off()) == 1
    assert again.reports[0].read_bytes() == first


def test_an_image_waits_for_an_outbox_that_cannot_be_written(make, data, monkeypatch):
    received = make()
    path = received.receive(data)

    def fail(*_):
        raise OutputError("outbox/x.dcm: cannot be written: No space left on device")

    monkeypatch.setattr(outbox.Outbox, "put", fail)
    assert len(received.work_off()) == 1
    assert path.exists() and not received.service.health.report().ok
    assert received.lines == [
        "a report cannot be written, so its image waits: No space left on device"
    ]
    monkeypatch.undo()
    assert len(received.work_off()) == 1
    assert not path.exists() and len(received.reports) == 1
    assert received.service.health.report().ok


def test_a_report_that_cannot_be_made_stops_nothing(make, data, monkeypatch):
    received = make()
    image = radiograph(3)
    del image.StudyInstanceUID
    received.receive(to_file(image))
    assert len(received.work_off()) == 1 and not received.reports
    (line,) = received.lines
    assert line.startswith("an image has no report: the DICOM file has no valid Study")
    assert received.service.health.report().ok  # a remark
    monkeypatch.setattr(reports, "prediction_of", lambda result: {}[result.id])
    received.receive(data)  # a fault of ours: named, and no reason to stop at this image for ever
    assert len(received.work_off()) == 2 and not received.reports
    problem = "2 images have no report: KeyError"
    assert received.service.health.report().problems == (problem,)
    monkeypatch.undo()
    received.receive(to_file(radiograph(5)))
    assert len(received.work_off()) == 3 and len(received.reports) == 1
    assert received.service.health.report().problems == (problem,)  # they are still without


def test_a_row_of_a_version_whose_results_had_less_stops_nothing(make, data, monkeypatch):
    received = make()
    document = results.to_document

    def to_less(result):
        return {k: v for k, v in document(result).items() if k != "out_of_domain"}

    monkeypatch.setattr(recorder, "to_document", to_less)
    received.receive(data)
    assert len(received.work_off()) == 1 and not received.reports
    assert received.lines == ["an image has no report: TypeError"]


def test_another_bundle_reports_nothing_of_the_one_before(make, data, monkeypatch):
    received = make('report = "sr+heatmap"')
    received.receive(data)
    received.work_off()
    (heatmap, sr) = received.reports
    heatmap.unlink()
    sr.unlink()
    monkeypatch.setattr(received.service.model, "sha256", "f" * 64)
    received.receive(data)
    assert len(received.work_off()) == 1
    assert [file.name.split(".")[-2] for file in received.reports] == ["sr"]  # from its row
    (line,) = received.lines
    assert line == ("an image has no report: it was classified by another bundle than runs now")


def test_a_failure_and_an_image_that_is_no_dicom_have_no_report(make, data):
    received = make()
    image = pydicom.dcmread(BytesIO(data))
    image.Modality = "US"
    received.receive(to_file(image))
    (row,) = received.work_off()
    assert not row.document["ok"] and not received.reports
    assert str(image.SOPInstanceUID) not in str(row)


def test_a_received_file_that_cannot_be_moved_is_remembered_apart_from_the_inbox(
    make, data, monkeypatch
):
    received = make()
    path = received.receive(data)

    def fail(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(mover, "move", fail)
    received.work_off()
    assert received.service.store.stuck_paths() == [f"\\dicom/{path.name}"]
    assert received.lines == [
        "a classified file cannot be moved out of the folder of received images: "
        "Operation not permitted"
    ]
    received.service.intake.forget_gone()  # of the inbox: not its own
    received.intake.forget_gone()
    assert received.service.store.stuck_paths()
    monkeypatch.undo()
    received.work_off()
    os.sync()
    received.intake.forget_gone()
    assert received.service.store.stuck_paths() == []
    assert len(received.rows) == 1 and received.service.health.report().ok


def test_a_missing_package_is_named(make, monkeypatch):
    monkeypatch.setattr("cxr_edge.extras.is_installed", lambda name: name != "pynetdicom")
    expected = (
        r"dicom.enabled in line \d+.*: the table \[dicom\] needs pynetdicom, which is not "
        r"installed; run: pip install 'cxr-edge\[dicom\]'"
    )
    with pytest.raises(MissingExtraError, match=expected):
        make()
