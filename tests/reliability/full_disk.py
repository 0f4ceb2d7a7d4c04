"""The disk of the service fills and is freed: ``unshare … python full_disk.py FOLDER COUNT``."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from deliveries import Arrivals, check_each_is_stored_once, finish
from service_process import ServiceProcess, wait_until, write_config

from cxr_edge.service.store.reader import StoreReader


def main(folder: Path, count: int) -> None:
    disk = folder / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)]
    subprocess.run(command, check=True)
    config = write_config(disk, "min_free_mb = 1")
    arrivals = Arrivals(disk / "inbox", count, 0.02, poison=False)
    service = ServiceProcess(config)
    service.wait_for_line("ready")
    arrivals.start()
    reader = StoreReader(disk / "results.db")
    wait_until(lambda: len(reader.after(0, count)) > count // 4)
    arrivals.hold()  # a sender would try again; a file that it could not write is not delivered
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
    service.wait_for_line("no work is taken")
    before = len(reader.after(0, count))
    time.sleep(3)
    assert service.process.poll() is None, service.log.read_text()
    ballast.unlink()
    arrivals.go_on()
    service.wait_for_line("over: ")
    arrivals.join()
    service = finish(config, service)
    assert service.terminate() == 0
    lines = service.log.read_text().splitlines()
    assert len(lines) <= 8, lines
    assert not any("Traceback" in line for line in lines), lines
    outcomes = check_each_is_stored_once(disk, arrivals)
    print(json.dumps({"before": before, **outcomes}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
