"""An archive that dies at any moment, or of one report, keeps no other report from it."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from dicom_outbox import SECONDARY_CAPTURE, Delivering
from dicom_peers import Archive, part, radiograph, to_file
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit
from service_process import wait_until

from cxr_edge.service.dicom import archive as archives

LARGE = 2000
"""Side of a picture that no buffer of a connection holds."""


class RawArchive:
    """Answers a request for an association as a function of the connection says, then waits."""

    def __init__(self, answer):
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._answer, self._ended = answer, threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                connected, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connected], daemon=True).start()

    def _serve(self, connected):
        with connected:
            request = connected.recv(2**16)
            try:
                self._answer(connected, request)
            except OSError:
                return  # it was cut
            self._ended.wait(20)

    def close(self):
        self._server.close()
        self._ended.set()


def accept(connected, request):
    """Accept as a real archive does."""
    archive = Archive()
    with socket.create_connection(("127.0.0.1", archive.port)) as asked:
        asked.sendall(request)
        connected.sendall(asked.recv(2**16))
    archive.close()


def stop_in_an_answer(connected, request):
    connected.sendall(b"\x02\x00\x00\x00\x01\x00" + bytes(10))


def announce_four_gigabytes(connected, request):
    connected.sendall(b"\x02\x00\xff\xff\xff\xf0")
    while True:
        connected.sendall(bytes(2**20))


def accept_nothing_by_name(connected, request):
    """An answer that names no presentation context."""
    connected.sendall(b"\x02\x00\x00\x00\x00\x44" + bytes(68))


def answer_nonsense(connected, request):
    accept(connected, request)
    connected.recv(2**16)
    connected.sendall(part(1, 3, b"nonsense" * 10))


@pytest.mark.parametrize(
    "answer",
    [
        stop_in_an_answer,
        announce_four_gigabytes,
        accept_nothing_by_name,
        answer_nonsense,
        accept,  # and read nothing
    ],
)
def test_an_archive_that_stops_midway_is_tried_again(answer, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(archives, "_ANSWER_S", 0.5)
    monkeypatch.setattr(archives, "_CONNECT_S", 0.5)
    raw = RawArchive(answer)
    delivering = Delivering(tmp_path / "outbox", raw.port)
    delivering.outbox.prepare()
    image = radiograph(1, sop_class=SECONDARY_CAPTURE, side=LARGE)
    delivering.outbox.put("1.dcm", to_file(image))
    before = set(threading.enumerate())
    delivering.forwarder.start()
    wait_until(lambda: delivering.figures.deliveries["failed"] >= 2, timeout_s=15)
    assert delivering.problems["forward"].startswith("reports wait: 127.0.0.1")
    delivering.forwarder.stop()
    raw.close()
    wait_until(lambda: not [t for t in set(threading.enumerate()) - before if not t.daemon])
    assert delivering.waiting == 1 and delivering.outbox.count_dead() == 0
    assert "Traceback" not in capfd.readouterr().err


def test_while_an_archive_stops_midway_the_process_can_end(tmp_path):
    raw = RawArchive(stop_in_an_answer)
    delivering = Delivering(tmp_path / "outbox", raw.port)
    delivering.put(1)
    delivering.forwarder.start()
    time.sleep(0.3)
    delivering.forwarder.stop()
    assert not delivering.forwarder._thread.is_alive()
    raw.close()


def test_a_report_that_its_archive_dies_of_keeps_no_other_from_it(tmp_path):
    archive = Archive(dies_of=str(radiograph(0).SOPInstanceUID))
    delivering = Delivering(tmp_path / "outbox", archive.port)
    delivering.put(4)
    delivering.forwarder.start()
    wait_until(lambda: len(archive.received) == 3, timeout_s=15)
    wait_until(lambda: delivering.waiting == 1, timeout_s=5)
    delivering.forwarder.stop()
    archive.close()


def test_a_file_that_cannot_be_sent_keeps_no_other_from_the_archive(tmp_path):
    """An image in a syntax that was not agreed, which somebody put there."""
    archive = Archive()
    delivering = Delivering(tmp_path / "outbox", archive.port)
    delivering.outbox.prepare()
    image = radiograph(9, sop_class=SECONDARY_CAPTURE)
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    image.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
    delivering.outbox.put("0.dcm", to_file(image))
    delivering.put(2)
    delivering.outbox.dead.rmdir()  # as somebody does who tidies up
    delivering.forwarder.start()
    wait_until(lambda: len(archive.received) == 2, timeout_s=15)
    wait_until(lambda: delivering.outbox.count_dead() == 1, timeout_s=5)
    delivering.forwarder.stop()
    archive.close()


def test_an_archive_whose_name_is_not_known(tmp_path):
    delivering = Delivering(tmp_path / "outbox", 104, forward="no-such-host.invalid:104:ARCHIVE")
    delivering.put(1)
    delivering.forwarder.start()
    wait_until(lambda: delivering.said, timeout_s=15)
    assert "no-such-host.invalid:104:ARCHIVE: its name is not known" in delivering.said[0]
    delivering.forwarder.stop()
