"""The disk fills while objects are received: ``unshare … python full_disk_dicom.py FOLDER``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from dicom_deliveries import check_each_is_stored_once, write_dicom_config
from dicom_peers import association, free_port, radiograph, send
from service_process import ServiceProcess, wait_until


def main(folder: Path) -> None:
    disk = folder / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)]
    subprocess.run(command, check=True)
    port = free_port()
    config = write_dicom_config(disk, port)
    config.write_text(config.read_text().replace("[store]", "[store]\nmin_free_mb = 1"))
    service = ServiceProcess(config)
    service.wait_for_line("ready")
    assert send(port, radiograph(0)) == 0
    large = radiograph(1, side=2800)  # 16 MB
    ballast = disk / "ballast"
    ballast.write_bytes(b"\0" * 12 * 10**6)
    statuses = []
    with association(port) as made:  # one association: a refusal does not end it
        statuses.append(int(made.send_c_store(large).Status))
        assert not list((disk / "received").glob(".*"))
        ballast.unlink()
        wait_until(lambda: int(made.send_c_store(radiograph(2)).Status) == 0)
    wait_until(lambda: send(port, large) == 0)
    assert statuses == [0xA700], statuses
    instances = [str(radiograph(0).SOPInstanceUID), str(large.SOPInstanceUID)]
    instances.append(str(radiograph(2).SOPInstanceUID))
    stored = check_each_is_stored_once(disk, instances)
    assert service.terminate() == 0
    assert "Traceback" not in service.log.read_text()
    print(json.dumps({"status": f"0x{statuses[0]:04X}", "stored": stored}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
