"""Long rows of the DICOM listener: ``make soak``."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest
from dicom_deliveries import (
    check_each_is_stored_once,
    kill_while_it_receives,
    write_dicom_config,
)
from dicom_peers import (
    RetryingSender,
    association,
    free_port,
    part,
    radiograph,
    request_bytes,
    send,
    store_command,
)
from service_process import ServiceProcess
from test_soak import SHARE
from test_soak_service import run_in_own_mounts, state_of

pytestmark = pytest.mark.soak

HERE = Path(__file__).parent


def test_r12_killed_while_receiving(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    count, kills = max(20, int(200 * SHARE)), max(3, int(20 * SHARE))
    port = free_port()
    config = write_dicom_config(tmp_path, port)
    images = [radiograph(number) for number in range(count)]
    sender = RetryingSender(images, lambda image: send(port, image) == 0)
    start = time.monotonic()
    service = kill_while_it_receives(config, sender, kills)
    sender.join(600)
    assert sender.acknowledged == count
    predicted = check_each_is_stored_once(tmp_path, [str(i.SOPInstanceUID) for i in images])
    assert service.terminate() == 0
    record_property(
        "figure",
        f"{count} images in {time.monotonic() - start:.0f} s by {sender.attempts} attempts, killed "
        f"{kills} times: each acknowledged one has one result ({predicted} predicted)",
    )


def test_r12_hostile_peers(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    """1,000 associations at once, and objects of 2 GB: memory, threads and files stay bounded."""
    port = free_port()
    limits = "max_object_mb = 64\nidle_s = 5\nassociation_s = 5"
    service = ServiceProcess(write_dicom_config(tmp_path, port, limits))
    service.wait_for_line("ready: ")
    assert send(port, radiograph(0)) == 0
    pid, image, states = service.process.pid, radiograph(1), []
    before = state_of(pid, tmp_path)
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.05):
            threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
            states.append({**state_of(pid, tmp_path), "threads": threads})

    watching = threading.Thread(target=watch)
    watching.start()
    request, answered = request_bytes(), 0
    with contextlib.ExitStack() as stack:
        peers = []
        for _ in range(1000):
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            with contextlib.suppress(ConnectionError):
                peer.sendall(request)
            peers.append(peer)
        for peer in peers:
            peer.settimeout(15)
            with contextlib.suppress(ConnectionError):
                answered += bool(peer.recv(100))
    sent = 0
    chunk = b"\0" * 60_000
    for _ in range(4):  # one after another, each 2 GB long if nobody stops it
        with association(port) as made:
            context = made.accepted_contexts[-1].context_id
            peer = made.dul.socket.socket
            peer.settimeout(10)
            with contextlib.suppress(OSError):
                peer.sendall(part(context, 3, store_command(image)))
                for _ in range(2**31 // len(chunk)):
                    peer.sendall(part(context, 0, chunk))
                    sent += len(chunk)
    assert send(port, image) == 0
    is_over.set()
    watching.join()
    most = {key: max(state[key] for state in states) for key in states[0]}
    assert service.process.poll() is None
    assert not list((tmp_path / "received").glob(".*"))
    assert service.terminate() == 0
    assert "Traceback" not in service.log.read_text()
    grown = (most["memory"] - before["memory"]) / 1e6
    record_property(
        "figure",
        f"1,000 associations at once ({answered} answered) and 4 objects of "
        f"2 GB ({sent / 4e6:.0f} MB of each taken, limit 64): memory {grown:+.0f} MB, at most "
        f"{most['threads']} threads",
    )
    assert grown < 64
    assert sent / 4 < 80e6


@pytest.mark.skipif(not shutil.which("unshare"), reason="unshare is not installed")
def test_r12_disk_full(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    figures = run_in_own_mounts("full_disk_dicom.py", tmp_path)
    record_property(
        "figure",
        f"the disk full while receiving: refused with {figures['status']}, nothing left behind; "
        f"after it was freed all {figures['stored']} objects have one result",
    )
