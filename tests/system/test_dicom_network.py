"""dcmtk and Orthanc as the peers: devices, and an archive."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pydicom
import pytest
from dicom_certificates import make_certificates
from dicom_deliveries import (
    check_each_is_stored_once,
    kill_while_it_receives,
    write_dicom_config,
)
from dicom_peers import MARKER, RetryingSender, free_port, radiograph, to_file
from service_process import ServiceProcess, wait_until

pytestmark = pytest.mark.system


def tool(name: str) -> str:
    """A program of Debian."""
    package = {"Orthanc": "orthanc"}.get(name, "dcmtk")
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if path is None:
        pytest.fail(f"{name} is missing: apt-get install {package}")
    return path


def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [tool(name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def start():
    services = []

    def start_service(config: Path) -> ServiceProcess:
        services.append(ServiceProcess(config))
        services[-1].wait_for_line("ready: ")
        return services[-1]

    yield start_service
    for service in services:
        if service.process.poll() is None:
            service.kill()


@pytest.fixture
def programs():
    """Programs that run beside the test."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*command: object, **options: object) -> subprocess.Popen[bytes]:
        program = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **options,  # type: ignore[call-overload]
        )
        started.append(program)
        return program

    yield begin
    for program in started:
        program.terminate()
        program.wait(30)


def test_echoscu_and_storescu(tmp_path, start):
    port = free_port()
    service = start(write_dicom_config(tmp_path, port, 'calling_ae_titles = ["DX1"]'))
    at = ("-aet", "DX1", "-aec", "CXR-EDGE", "127.0.0.1", port)
    assert run("echoscu", *at).returncode == 0
    refused = run("echoscu", "-aet", "OTHER", "-aec", "CXR-EDGE", "127.0.0.1", port)
    assert refused.returncode != 0 and "Calling AE Title Not Recognized" in refused.stderr
    refused = run("echoscu", "-aet", "DX1", "-aec", "OTHER", "127.0.0.1", port)
    assert refused.returncode != 0 and "Called AE Title Not Recognized" in refused.stderr
    files = []
    for number in range(3):
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(to_file(radiograph(number)))
    sent = run("storescu", *at, *files)
    assert sent.returncode == 0, sent.stderr
    instances = [str(radiograph(number).SOPInstanceUID) for number in range(3)]
    assert check_each_is_stored_once(tmp_path, instances) == 3
    assert service.terminate() == 0


def test_storescu_by_tls(tmp_path, start):
    port, keys = free_port(), make_certificates(tmp_path)
    names = {"certificate": "server.pem", "private_key": "server.key", "ca_file": "ca.pem"}
    service = start(
        write_dicom_config(tmp_path, port, "\n".join(f'{k} = "{v}"' for k, v in names.items()))
    )
    file = tmp_path / "scan.dcm"
    file.write_bytes(to_file(radiograph(1)))
    at = ("-aec", "CXR-EDGE", "127.0.0.1", port, file)
    own = ("+tls", keys / "client.key", keys / "client.pem", "+cf", keys / "ca.pem")
    assert run("storescu", "+tla", "+cf", keys / "ca.pem", *at).returncode != 0  # without its own
    assert run("storescu", *at).returncode != 0
    sent = run("storescu", *own, *at)
    assert sent.returncode == 0, sent.stderr
    assert check_each_is_stored_once(tmp_path, [str(radiograph(1).SOPInstanceUID)]) == 1
    assert service.terminate() == 0


@pytest.mark.parametrize("option", ["-xs", "-xr", "-xt", "-xe", "-xi", "-xb"])
def test_transfer_syntaxes_of_storescu(tmp_path, start, option):
    """Lossless JPEG, RLE, JPEG-LS, and the three uncompressed ones."""
    port = free_port()
    service = start(write_dicom_config(tmp_path, port))
    plain, encoded = tmp_path / "plain.dcm", tmp_path / "encoded.dcm"
    plain.write_bytes(to_file(radiograph(1)))
    convert = {
        "-xs": ("dcmcjpeg", "+e1"),
        "-xr": ("dcmcrle",),
        "-xt": ("dcmcjpls", "+el"),
        "-xe": ("dcmconv", "+te"),
        "-xi": ("dcmconv", "+ti"),
        "-xb": ("dcmconv", "+tb"),
    }[option]
    made = run(*convert, plain, encoded)
    assert made.returncode == 0, made.stderr
    sent = run("storescu", option, "-R", "-aec", "CXR-EDGE", "127.0.0.1", port, encoded)
    has_codec = option != "-xs" or pydicom.pixels.get_decoder("1.2.840.10008.1.2.4.70").is_available
    assert (sent.returncode == 0) == has_codec, sent.stderr
    if has_codec:
        assert check_each_is_stored_once(tmp_path, [str(radiograph(1).SOPInstanceUID)]) == 1
    assert service.terminate() == 0


def test_reports_arrive_at_storescp(tmp_path, start, programs):
    port, archive = free_port(), free_port()
    received = tmp_path / "archive"
    received.mkdir()
    programs(tool("storescp"), "-od", received, "-aet", "ARCHIVE", archive)
    text = f'forward = "127.0.0.1:{archive}:ARCHIVE"\nretry_s = 0.5\nreport = "sr+heatmap"'
    service = start(write_dicom_config(tmp_path, port, text))
    file = tmp_path / "scan.dcm"
    file.write_bytes(to_file(radiograph(1)))
    assert run("storescu", "-aec", "CXR-EDGE", "127.0.0.1", port, file).returncode == 0
    wait_until(lambda: len(list(received.iterdir())) == 2)
    wait_until(lambda: not list((tmp_path / "outbox").glob("*.dcm")))
    assert service.terminate() == 0
    report = next(path for path in received.iterdir() if path.name.startswith("SR"))
    dumped = run("dsrdump", report)
    assert dumped.returncode == 0 and MARKER in dumped.stdout, dumped.stderr
    assert "research use" in dumped.stdout.lower()


def test_two_hundred_images_by_storescu_while_the_service_is_killed(tmp_path):
    port, count, kills = free_port(), 200, 20
    config = write_dicom_config(tmp_path, port)
    files = []
    for number in range(count):
        files.append(tmp_path / f"sent/{number}.dcm")
        files[-1].parent.mkdir(exist_ok=True)
        files[-1].write_bytes(to_file(radiograph(number)))
    at = ("-to", 5, "-ta", 5, "-td", 5, "-aec", "CXR-EDGE", "127.0.0.1", port)
    sender = RetryingSender(files, lambda file: run("storescu", *at, file).returncode == 0)
    began = time.monotonic()
    service = kill_while_it_receives(config, sender, kills)
    sender.join(300)
    assert sender.acknowledged == count
    instances = [str(radiograph(number).SOPInstanceUID) for number in range(count)]
    predicted = check_each_is_stored_once(tmp_path, instances)
    assert service.terminate() == 0
    print(
        f"{count} images by {sender.attempts} runs of storescu, {kills} kills, {predicted} "
        f"predicted, {time.monotonic() - began:.0f} s"
    )


class Orthanc:
    """A server of its own, on loopback."""

    def __init__(self, folder: Path, programs, service_port: int) -> None:
        folder.mkdir()
        self.http, self.dicom = free_port(), free_port()
        settings = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "index"),
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "HttpPort": self.http,
            "DicomPort": self.dicom,
            "DicomAet": "ORTHANC",
            "Plugins": [],
            "DicomModalities": {"edge": ["CXR-EDGE", "127.0.0.1", service_port]},
        }
        file = folder / "orthanc.json"
        file.write_text(json.dumps(settings))
        programs(tool("Orthanc"), file, cwd=folder)
        wait_until(self._answers)

    def _answers(self) -> bool:
        try:
            self.ask("/system")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def ask(self, path: str, data: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data=data)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bytes(answer.read())

    def documents(self, path: str):  # type: ignore[no-untyped-def]
        return json.loads(self.ask(path))


def test_a_study_of_orthanc_gets_its_report(tmp_path, start, programs):
    port = free_port()
    orthanc = Orthanc(tmp_path / "orthanc", programs, port)
    text = f'forward = "127.0.0.1:{orthanc.dicom}:ORTHANC"\nretry_s = 0.5\nreport = "sr+heatmap"'
    service = start(write_dicom_config(tmp_path, port, text))
    image = radiograph(7)
    orthanc.ask("/instances", to_file(image))
    (study,) = orthanc.documents("/studies")
    (radiographs,) = (one["ID"] for one in orthanc.documents(f"/studies/{study}/series"))
    for sent in (study, radiographs):  # sent again, the archive keeps one report
        orthanc.ask("/modalities/edge/store", sent.encode())
        wait_until(lambda: len(orthanc.documents(f"/studies/{study}/series")) == 3)
        wait_until(lambda: not list((tmp_path / "outbox").glob("*.dcm")))
    assert orthanc.documents("/studies") == [study]
    series = orthanc.documents(f"/studies/{study}/series")
    by_modality = {one["MainDicomTags"]["Modality"]: one for one in series}
    assert len(series) == 3 and {"CR", "SR"} < {*by_modality}
    assert all(len(one["Instances"]) == 1 for one in series)
    (instance,) = by_modality["SR"]["Instances"]
    report = tmp_path / "report.dcm"
    report.write_bytes(orthanc.ask(f"/instances/{instance}/file"))
    assert pydicom.dcmread(report).StudyInstanceUID == image.StudyInstanceUID
    dumped = run("dsrdump", report)
    assert dumped.returncode == 0, dumped.stderr
    print(dumped.stdout)
    assert re.search("PNEUMONIA|NORMAL", dumped.stdout, re.IGNORECASE)
    assert service.terminate() == 0
    log = service.log.read_text()
    assert MARKER not in log and "Traceback" not in log
