"""Long rows of the service: ``make soak``."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from deliveries import Arrivals, check_each_is_stored_once, finish, kill_while_they_arrive
from service_process import ServiceProcess, write_config
from test_soak import SHARE

pytestmark = pytest.mark.soak

HERE = Path(__file__).parent


def test_r9_killed_a_hundred_times(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    count, kills = max(100, int(2_000 * SHARE)), max(5, int(100 * SHARE))
    config = write_config(tmp_path)
    arrivals = Arrivals(tmp_path / "inbox", count, 1.9 * kills / count)
    start = time.monotonic()
    service = finish(config, kill_while_they_arrive(config, arrivals, kills))
    assert service.terminate() == 0
    outcomes = check_each_is_stored_once(tmp_path, arrivals)
    record_property(
        "figure",
        f"{count:,} images in {time.monotonic() - start:.0f} s, killed {kills} times: each has one "
        f"result ({outcomes['predicted']:,} predicted, {outcomes['ImageError']} damaged, "
        f"{outcomes['EngineError']} set aside), audit chain whole",
    )


@pytest.mark.skipif(not shutil.which("unshare"), reason="unshare is not installed")
def test_r9_disk_full_and_freed(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    count = max(60, int(400 * SHARE))
    figures = run_in_own_mounts("full_disk.py", tmp_path, str(count))
    record_property(
        "figure",
        f"{count} images, the disk full after {figures['before']} and freed: each has one result, "
        "said once each",
    )


def run_in_own_mounts(script: str, *arguments: str | Path) -> dict[str, Any]:
    """Run a script beside this file that mounts a small disk; the figures that it prints."""
    in_own_mounts = ["unshare", "--user", "--map-root-user", "--mount"]
    done = subprocess.run(
        [*in_own_mounts, sys.executable, HERE / script, *arguments],
        env={**os.environ, "PYTHONPATH": str(HERE.parent / "service")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


@pytest.mark.parametrize("engine", ["onnxruntime", "litert"])
def test_r10_a_day_of_images(
    engine: str, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    count = max(1_000, int(20_000 * SHARE))
    config = write_config(tmp_path, "keep_mb = 4\nkeep_images_mb = 20")
    config.write_text(f'engine = "{engine}"\n' + config.read_text())
    service = ServiceProcess(config)
    service.wait_for_line("ready")
    arrivals = Arrivals(tmp_path / "inbox", count, 0.002, poison=False)
    states: list[dict[str, int]] = []
    start = time.monotonic()
    arrivals.start()
    while arrivals.is_alive() or any(p.is_file() for p in (tmp_path / "inbox").rglob("*")):
        assert service.process.poll() is None, service.log.read_text()
        states.append(state_of(service.process.pid, tmp_path))
        time.sleep(0.5)
    seconds = time.monotonic() - start
    assert service.terminate() == 0
    third = len(states) // 3
    middle, last = (
        {key: max(state[key] for state in part) for key in states[0]}
        for part in (states[third : 2 * third], states[2 * third :])
    )
    record_property(
        "figure",
        f"{engine}: {count:,} images in {seconds:.0f} s; from the middle third to the last: memory "
        f"{middle['memory'] / 1e6:.1f} → {last['memory'] / 1e6:.1f} MB, descriptors "
        f"{middle['descriptors']} → {last['descriptors']}, database {middle['database'] / 1e6:.1f} "
        f"→ {last['database'] / 1e6:.1f} MB, kept files {middle['kept'] / 1e6:.0f} → "
        f"{last['kept'] / 1e6:.0f} MB",
    )
    assert last["memory"] - middle["memory"] < 5e6
    assert last["descriptors"] <= middle["descriptors"] + 1  # a folder being listed
    assert last["database"] < 1.5 * 4e6 + 2**22


def state_of(pid: int, folder: Path) -> dict[str, int]:
    """Memory, descriptors, and bytes on disk."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    sizes = []
    for root, _, names in [*os.walk(folder / "processed"), *os.walk(folder / "failed")]:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                sizes.append(Path(root, name).stat().st_blocks * 512)
    return {
        "memory": pages * 4096,
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "database": sum(path.stat().st_size for path in folder.glob("results.db*")),
        "kept": sum(sizes),
    }
