"""Images are sent while the service is killed; afterwards each has one result, none is lost."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pydicom
from dicom_peers import RetryingSender
from service_process import ServiceProcess, wait_until, write_config

from cxr_edge.service.store.reader import StoreReader


def write_dicom_config(folder: Path, port: int, text: str = "", *, http: bool = False) -> Path:
    """Settings of a service that listens for DICOM."""
    return write_config(folder, f"[dicom]\nenabled = true\nport = {port}\n{text}", http=http)


def kill_while_it_receives(config: Path, sender: RetryingSender, kills: int) -> ServiceProcess:
    """Kill the service at random moments while it receives, from each start on; leave it running.

    The kills are spread over all images.
    """
    choice = random.Random(13)
    sender.start()
    for number in range(kills):
        service = ServiceProcess(config)
        service.wait_for_line("ready: ", timeout_s=60)
        goal = len(sender.images) * (number + 1) // (kills + 1)
        wait_until(lambda goal=goal: sender.acknowledged >= goal, timeout_s=120)
        time.sleep(choice.uniform(0, 0.12))
        service.kill()
        service.log.write_text("")
    return ServiceProcess(config)


def check_each_is_stored_once(folder: Path, instances: list[str]) -> int:
    """Compare the store and the kept files with what was sent.

    Returns:
        How many were predicted.
    """
    reader = StoreReader(folder / "results.db")

    def is_done() -> bool:
        waiting = [path for path in (folder / "received").rglob("*") if path.is_file()]
        return not waiting and len(reader.after(0, 10**6)) >= len(instances)

    wait_until(is_done, timeout_s=120)
    rows = reader.after(0, 10**6)
    assert {row.source for row in rows} == {"dicom"}
    assert len({row.path for row in rows}) == len(rows) == len(instances), "lost, or stored twice"
    kept = []
    for row in rows:
        kind = "processed" if row.document["ok"] else "failed"
        dataset = pydicom.dcmread(folder / kind / str(row.kept), stop_before_pixels=True)
        kept.append(str(dataset.SOPInstanceUID))
    assert sorted(kept) == sorted(instances)
    assert not reader.audit().problem
    return sum(bool(row.document["ok"]) for row in rows)
