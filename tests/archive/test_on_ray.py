"""Ray Data gives the rows of a local run, whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from drawn_archive import draw_archive, read_rows

CALL = [sys.executable, "-m", "cxr_edge", "predict"]
pytestmark = pytest.mark.long


def predict(archive: Path | str, to: Path, *options: str, home: Path) -> list[str]:
    home.mkdir(exist_ok=True)
    return [*CALL, str(archive), "--to", str(to), "--workers", "2", "-q", *options]


def run(command: list[str], home: Path) -> int:
    environment = {**os.environ, "HOME": str(home)}
    return subprocess.run(command, env=environment, timeout=500).returncode


def processes_of(parent: int, text: str) -> list[int]:
    """Processes below ``parent`` whose command line has ``text``."""
    below, all_pids = {parent}, [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]
    matching = []
    for pid in sorted(all_pids):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if int(status.partition("PPid:")[2].split()[0]) in below:
            below.add(pid)
            if text in line:
                matching.append(pid)
    return matching


def test_the_rows_are_those_of_a_local_run_and_home_stays_empty(tmp_path: Path) -> None:
    archive = draw_archive(tmp_path / "archive", 40, bad=4)
    home, local, ray = tmp_path / "home", tmp_path / "local", tmp_path / "ray"
    assert run(predict(archive, local, home=home), home) == 1
    assert run(predict(archive, ray, "--ray", home=home), home) == 1
    assert read_rows(ray / "rows") == read_rows(local)
    assert len(read_rows(local)) == 40
    assert list(home.iterdir()) == []
    assert sorted(path.name for path in ray.iterdir()) == [".checkpoint", "_archive.json", "rows"]


@pytest.mark.thorough
def test_a_worker_and_the_driver_are_killed_and_every_image_is_there_once(tmp_path: Path) -> None:
    archive = draw_archive(tmp_path / "archive", 6000, bad=200)
    home, local, ray = tmp_path / "home", tmp_path / "local", tmp_path / "ray"
    assert run(predict(archive, local, home=home), home) == 1
    command = predict(archive, ray, "--ray", home=home)

    driver = subprocess.Popen(command, env={**os.environ, "HOME": str(home)})
    wait_for_rows(ray, 1)
    actor = processes_of(driver.pid, "ray::MapWorker")[0]
    os.kill(actor, signal.SIGKILL)
    wait_for_rows(ray, 4)
    assert driver.poll() is None, "the run was over too soon to be killed"
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert 0 < len(read_rows_so_far(ray)) < 6000

    assert run(command, home) == 1
    assert read_rows(ray / "rows") == read_rows(local)
    # What failed is tried again once, on request; what is there stays.
    assert run([*command, "--retry-failed"], home) == 1
    again = read_rows(ray / "rows")
    assert len(again) == 6200
    assert sum(row["attempt"] == 2 for row in again) == 200


POISON = """
import dataclasses, sys
from drawn_archive import DeadlyChoice, request
from cxr_edge.archive.on_ray import run_on_ray
from cxr_edge.archive.request import load_model
from cxr_edge.archive.worker import ModelChoice

if __name__ == "__main__":
    model = load_model(ModelChoice())
    choice = DeadlyChoice(artifact=model.choice.artifact, engine=model.choice.engine)
    model = dataclasses.replace(model, choice=choice)
    order = request(sys.argv[1], sys.argv[2])
    run_on_ray(order, model, address=None, workers=1, show_progress=False)
"""


@pytest.mark.thorough
def test_an_image_that_kills_its_process_ends_the_run(tmp_path: Path) -> None:
    archive = draw_archive(tmp_path / "archive", 20)
    with (archive / "000/image-00005.jpeg").open("ab") as file:
        file.write(b"kill me")
    (tmp_path / "poison.py").write_text(POISON)
    result = subprocess.run(
        [sys.executable, tmp_path / "poison.py", archive, tmp_path / "ray"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 1
    assert "EngineError: worker processes died 5 times at the same images" in result.stderr


def wait_for_rows(ray: Path, parts: int) -> None:
    deadline = time.monotonic() + 300
    while len([*(ray / "rows").glob("*.parquet")]) < parts:
        assert time.monotonic() < deadline, "Ray wrote nothing"
        time.sleep(0.05)


def read_rows_so_far(ray: Path) -> list[str]:
    """Committed files; a killed run may leave half of another."""
    return [path.name for path in (ray / ".checkpoint").iterdir() if "pending" not in path.name]
