"""From a device to the archive: through the running service."""

from __future__ import annotations

import json
import signal
import sqlite3
import urllib.request

import pytest
from deliveries import wait_for_results
from dicom_deliveries import (
    check_each_is_stored_once,
    kill_while_it_receives,
    write_dicom_config,
)
from dicom_peers import MARKER, Archive, RetryingSender, everything_below, free_port, radiograph
from dicom_peers import send as send_image
from service_process import ServiceProcess, wait_until, write_config

from cxr_edge.service.store.reader import StoreReader


@pytest.fixture
def start():
    services = []

    def start_service(config):
        services.append(ServiceProcess(config))
        services[-1].wait_for_line("ready: ")
        return services[-1]

    yield start_service
    for service in services:
        if service.process.poll() is None:
            service.kill()


def ask(service, path):
    line = service.wait_for_line("ready: ")
    address = next(word for word in line.split() if word.startswith("http://")).rstrip(",")
    with urllib.request.urlopen(f"{address}{path}") as answer:
        return answer.read().decode()


@pytest.mark.slow
def test_an_image_comes_in_and_its_report_goes_out(tmp_path, start):
    """And nothing of the patient stays anywhere but in the DICOM files."""
    archive, port = Archive(), free_port()
    forward = f'forward = "127.0.0.1:{archive.port}:ARCHIVE"\nretry_s = 0.2\n'
    service = start(
        write_dicom_config(tmp_path, port, f'{forward}report = "sr+heatmap"', http=True)
    )
    image, other = radiograph(1), radiograph(2)
    other.Modality, other.BodyPartExamined = "US", "ABDOMEN"
    assert send_image(port, image) == 0
    wait_until(lambda: len(archive.received) == 2)
    assert send_image(port, other) == 0  # acknowledged, and a failure: no report of it
    assert send_image(port, image) == 0
    wait_for_results(tmp_path, 2)
    wait_until(lambda: not list((tmp_path / "received").iterdir()))
    rows = StoreReader(tmp_path / "results.db").after(0, 10)
    assert [(row.source, row.document["ok"]) for row in rows] == [("dicom", True), ("dicom", False)]
    assert (tmp_path / "processed" / rows[0].kept).exists()
    assert (tmp_path / "failed" / rows[1].kept).exists()
    wait_until(lambda: len(archive.received) == 4)  # the same again, for the image sent again
    report, picture, *again = archive.received
    assert {d.SOPInstanceUID for d in again} == {report.SOPInstanceUID, picture.SOPInstanceUID}
    assert report.Modality == "SR" and report.StudyInstanceUID == image.StudyInstanceUID
    assert picture.StudyInstanceUID == image.StudyInstanceUID
    assert report.PatientID == picture.PatientID == image.PatientID
    wait_until(lambda: not list((tmp_path / "outbox").glob("*.dcm")))
    health = json.loads(ask(service, "healthz"))
    assert health["ok"], health
    expected = {"received": 3, "refused": 0, "reports_dead": 0}
    assert health["dicom"].items() >= expected.items()
    metrics, results = ask(service, "metrics"), ask(service, "v1/predictions")
    assert 'cxr_edge_dicom_objects_total{status="0000"} 3.0' in metrics
    assert service.terminate() == 0
    sqlite3.connect(tmp_path / "results.db").execute("PRAGMA wal_checkpoint(TRUNCATE)")
    files = everything_below(tmp_path, without=("processed", "failed"))
    seen = files + (metrics + results + json.dumps(health)).encode()
    secrets = [MARKER, "19310807", "20260203", image.StudyInstanceUID, image.SOPInstanceUID]
    secrets += [image.SeriesInstanceUID, other.SOPInstanceUID, report.SOPInstanceUID]
    assert [secret for secret in secrets if str(secret).encode() in seen] == []
    archive.close()


@pytest.mark.slow
def test_a_file_of_the_inbox_has_a_report_too_and_settings_are_read_again(tmp_path, start):
    from dicom_peers import to_file

    archive, port = Archive(), free_port()
    config = write_config(tmp_path, f'[dicom]\nforward = "127.0.0.1:{archive.port}:ARCHIVE"\n')
    service = start(config)
    (tmp_path / "inbox/scan").write_bytes(to_file(radiograph(3)))
    wait_until(lambda: archive.received)
    assert send_image(port, radiograph(4)) is None  # nothing listens
    config.write_text(config.read_text() + f"enabled = true\nport = {port}\n")
    service.process.send_signal(signal.SIGHUP)
    service.wait_for_line(f"DICOM CXR-EDGE at 127.0.0.1:{port}")
    assert send_image(port, radiograph(4)) == 0
    wait_until(lambda: len(archive.received) == 2)
    config.write_text(
        config.read_text().replace("enabled = true", 'host = "0.0.0.0"\nenabled = true')
    )
    service.process.send_signal(signal.SIGHUP)
    assert "dicom.host in line" in service.wait_for_line("the new settings are not used")
    assert send_image(port, radiograph(5)) == 0
    assert service.terminate() == 0
    archive.close()


@pytest.mark.long
def test_killed_while_receiving(tmp_path):
    """The short version of R12's long run."""
    port = free_port()
    config = write_dicom_config(tmp_path, port)
    images = [radiograph(number) for number in range(24)]
    sender = RetryingSender(images, lambda image: send_image(port, image) == 0)
    service = kill_while_it_receives(config, sender, 3)
    sender.join(120)
    assert sender.acknowledged == len(images)
    instances = [str(image.SOPInstanceUID) for image in images]
    assert check_each_is_stored_once(tmp_path, instances) == len(images)
    assert service.terminate() == 0
