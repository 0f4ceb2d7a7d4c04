"""Reports are delivered until the archive has them, or given up and kept."""

from __future__ import annotations

import threading
import time

import pytest
from dicom_outbox import Delivering
from dicom_peers import MARKER, VERIFICATION, Archive, free_port
from service_process import wait_until

from cxr_edge.errors import UsageError
from cxr_edge.service.dicom.settings import DicomSettings, check_dicom, parse_destination
from cxr_edge.service.settings import SettingsFile


@pytest.fixture
def deliver(tmp_path):
    made = []

    def start(port, **settings):
        made.append(Delivering(tmp_path / "outbox", port, **settings))
        return made[-1]

    yield start
    for delivering in made:
        delivering.forwarder.stop()


@pytest.fixture
def archives():
    made = []

    def start(**arguments):
        made.append(Archive(**arguments))
        return made[-1]

    yield start
    for archive in made:
        archive.close()


def test_reports_are_delivered_and_forgotten(deliver, archives):
    archive = archives()
    delivering = deliver(archive.port)
    delivering.put()
    delivering.forwarder.start()
    wait_until(lambda: delivering.waiting == 0, timeout_s=10)
    assert len(archive.received) == 2
    assert str(archive.received[0].PatientName) == f"{MARKER}^0"
    assert delivering.figures.deliveries["delivered"] == 2
    assert delivering.said == []


def test_an_archive_that_is_away_gets_them_when_it_is_back(deliver, archives):
    port = free_port()
    delivering = deliver(port)
    delivering.put()
    delivering.forwarder.start()
    wait_until(lambda: len(delivering.said) >= 2, timeout_s=10)
    assert delivering.said[0] == f"reports wait: 127.0.0.1:{port}:ARCHIVE: no connection"
    archive = archives(port=port)
    wait_until(lambda: delivering.waiting == 0, timeout_s=10)
    wait_until(lambda: not delivering.problems["forward"], timeout_s=10)
    assert len(archive.received) == 2


def test_why_an_archive_refuses_is_said(deliver, archives):
    archive = archives(title="ANOTHER")
    delivering = deliver(archive.port)
    delivering.put()
    delivering.forwarder.start()
    wait_until(lambda: delivering.said, timeout_s=10)
    assert "(Called AE title not recognised)" in delivering.said[0]


def test_what_was_not_delivered_is_by_the_next_process(deliver, archives):
    first = deliver(free_port())
    first.put()
    first.forwarder.start()
    wait_until(lambda: first.said, timeout_s=10)
    first.forwarder.stop()
    archive = archives()
    second = deliver(archive.port)
    second.forwarder.start()
    wait_until(lambda: second.waiting == 0, timeout_s=10)
    assert len(archive.received) == 2


@pytest.mark.parametrize("status", [0xA700, 0xC123, 0x0110, 0xA900])
def test_a_report_that_is_refused_is_sent_again(deliver, archives, status):
    archive = archives(statuses=(status, 0))
    delivering = deliver(archive.port)
    delivering.put()
    delivering.forwarder.start()
    wait_until(lambda: delivering.waiting == 0, timeout_s=10)
    assert len(archive.received) == 2
    assert delivering.figures.deliveries == {"failed": 1, "delivered": 2}
    assert delivering.said == [f"reports wait: 127.0.0.1:{archive.port}:ARCHIVE: refuses a report"]
    wait_until(lambda: not delivering.problems["forward"], timeout_s=5)


@pytest.mark.parametrize("status", [0xB000, 0xB007, 0x0107])
def test_a_warning_is_a_delivery(deliver, archives, status):
    delivering = deliver(archives(statuses=(status,)).port)
    delivering.put()
    delivering.forwarder.start()
    wait_until(lambda: delivering.waiting == 0, timeout_s=10)
    assert delivering.figures.deliveries == {"delivered": 2}


def test_what_an_archive_does_not_take_is_dead_at_once(deliver, archives):
    delivering = deliver(archives(classes=(VERIFICATION, "1.2.840.10008.5.1.4.1.1.2")).port)
    delivering.put()
    delivering.forwarder.start()
    wait_until(lambda: delivering.waiting == 0, timeout_s=10)
    wait_until(lambda: delivering.outbox.count_dead() == 2, timeout_s=10)
    wait_until(lambda: "2 reports could not be" in delivering.problems["dead"], timeout_s=10)
    assert delivering.figures.report().reports_dead == 2


def test_a_class_that_is_refused_by_status_is_dead_at_once(deliver, archives):
    delivering = deliver(archives(statuses=(0x0122,)).port)
    delivering.put(1)
    delivering.forwarder.start()
    wait_until(lambda: delivering.outbox.count_dead() == 1, timeout_s=10)
    assert delivering.figures.deliveries == {"dead": 1}


def test_a_report_is_given_up_after_the_time_and_three_attempts(deliver, archives):
    port = free_port()
    delivering = deliver(port, give_up_h=0.0001)
    delivering.put()
    delivering.forwarder.start()
    wait_until(lambda: delivering.outbox.count_dead() == 2, timeout_s=15)
    assert delivering.figures.deliveries["failed"] >= 6
    archive = archives(port=port)
    for file in delivering.outbox.dead.iterdir():  # as a person does
        file.rename(delivering.outbox.folder / file.name)
    delivering.forwarder.nudge()
    wait_until(lambda: len(archive.received) == 2, timeout_s=15)
    wait_until(lambda: not delivering.problems["dead"], timeout_s=15)


def test_nothing_is_given_up_by_a_clock_that_cannot_be_right(deliver):
    delivering = deliver(free_port(), give_up_h=0.0001, has_clock=False)
    delivering.put()
    delivering.forwarder.start()
    wait_until(lambda: delivering.figures.deliveries["failed"] >= 8, timeout_s=15)
    assert delivering.waiting == 2


def test_a_file_that_is_no_report_stops_nothing(deliver, archives):
    archive = archives()
    delivering = deliver(archive.port)
    delivering.put()
    delivering.outbox.put("0.x.dcm", b"no DICOM")
    delivering.forwarder.start()
    wait_until(lambda: delivering.waiting == 0, timeout_s=10)
    assert len(archive.received) == 2 and delivering.outbox.count_dead() == 1


@pytest.mark.parametrize(
    "text",
    [
        *("pacs", "pacs:104", ":104:A", "pacs:0:A", "pacs:x:A", "pacs:99999:A"),
        *("pacs:000001999999:A", "fe80::1:104:A", "[:104:A", "[]:104:A", "two words:104:A"),
    ],
)
def test_a_destination_that_is_none_is_one_line(text):
    with pytest.raises(UsageError, match="expected HOST:PORT:AETITLE"):
        parse_destination(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_reports_do_not_go_to_the_listener_itself(host):
    forward, source = f"{host}:11112:CXR-EDGE", SettingsFile("settings", "")
    check_dicom(DicomSettings(forward=forward), source)  # it does not listen
    with pytest.raises(UsageError, match="where this service itself listens"):
        check_dicom(DicomSettings(enabled=True, forward=forward), source)


def test_destinations():
    assert str(parse_destination("[::1]:104:MY PACS")) == "[::1]:104:MY PACS"
    assert parse_destination("pacs.ward:104:A").port == 104
    with pytest.raises(UsageError, match="is no AE title"):
        parse_destination("pacs:104:seventeen letters")


def test_an_archive_that_does_not_answer_does_not_keep_the_process(deliver, archives):
    archive = archives()
    archive.may_answer.clear()
    delivering = deliver(archive.port)
    delivering.put(1)
    before = set(threading.enumerate())
    delivering.forwarder.start()
    assert archive.asked.wait(10)
    began = time.monotonic()
    delivering.forwarder.stop()
    assert time.monotonic() - began < 6
    archive.may_answer.set()

    def left():
        return [t for t in set(threading.enumerate()) - before if not t.daemon and is_requestor(t)]

    wait_until(lambda: not left(), timeout_s=5)
    assert delivering.waiting == 1  # the next process sends it


def is_requestor(thread):
    association = getattr(thread, "assoc", None)
    return association is not None and association.is_requestor
