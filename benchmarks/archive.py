"""Images a second from an archive: threads, processes and Ray, with one worker and two.

``python benchmarks/archive.py [--images 2000]`` draws radiographs of the median size, lists each
many times, and prints for every way the time of a start, the steady rate, the time that each image
takes beyond the prediction itself, and the memory of a worker along the run.

The rate comes from two runs of different length, so that it has nothing of the start in it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from cxr_edge import Classifier
from cxr_edge.data.phantom import phantom_jpeg

PICTURES = 40
SHORT = 4
"""The short run has this part of the images."""

THREADS = """
import sys
from cxr_edge import Classifier
from cxr_edge.archive.listing import list_archive
from pathlib import Path
paths = (image.path for image in list_archive(Path(sys.argv[1])))
for _ in Classifier.load(threads=1).predict_many(paths, workers=int(sys.argv[2])):
    pass
"""


@dataclass(slots=True)
class Run:
    """One call, and the memory of its largest child along it."""

    seconds: float
    worker_mb: list[int] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2000, help="of the long run")
    parser.add_argument("--ways", nargs="*", default=["threads", "processes", "ray"])
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 2])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        long = draw(folder, "long", arguments.images)
        short = draw(folder, "short", arguments.images // SHORT)
        alone = prediction_seconds(long)
        print(f"a prediction alone, one thread: {1e3 * alone:.2f} ms")
        print("way        workers  start, s  images/s  ms beyond the prediction  worker, MB")
        for workers in arguments.workers:
            for way in arguments.ways:
                few, many = (measure(way, archive, workers, folder) for archive in (short, long))
                images = arguments.images - arguments.images // SHORT
                seconds = (many.seconds - few.seconds) / images
                start = few.seconds - seconds * (arguments.images // SHORT)
                # With as many processors as workers, each image takes one of them that much longer.
                beyond = 1e3 * (seconds * min(workers, os.cpu_count() or 1) - alone)
                memory = " ".join(map(str, quarters(many.worker_mb)))
                figures = f"{start:8.1f}  {1 / seconds:8.1f}  {beyond:24.2f}"
                print(f"{way:9}  {workers:7}  {figures}  {memory}")


def draw(folder: Path, name: str, images: int) -> Path:
    """An archive whose files are links to some pictures."""
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    for seed in range(PICTURES):
        path = pictures / f"{seed}.jpeg"
        if not path.exists():
            path.write_bytes(phantom_jpeg(seed))
    for number in range(images):
        link = folder / name / f"{number // 1000:03}" / f"{number:06}.jpeg"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.hardlink_to(pictures / f"{number % PICTURES}.jpeg")
    return folder / name


def prediction_seconds(archive: Path) -> float:
    """Mean time of a prediction in this process, after some."""
    classifier = Classifier.load(threads=1)
    paths = sorted(archive.rglob("*.jpeg"))[: 4 * PICTURES]
    for path in paths[:PICTURES]:
        classifier.predict(path)
    started = time.perf_counter()
    for path in paths:
        classifier.predict(path)
    return (time.perf_counter() - started) / len(paths)


def measure(way: str, archive: Path, workers: int, folder: Path) -> Run:
    """Run one way over an archive in a process of its own."""
    if way == "threads":
        command = [sys.executable, "-c", THREADS, str(archive), str(workers)]
    else:
        with tempfile.TemporaryDirectory(dir=folder) as results:
            command = [sys.executable, "-m", "cxr_edge", "predict", str(archive), "--to", results]
            command += ["--workers", str(workers), "-q", *(["--ray"] if way == "ray" else [])]
            return timed(command)
    return timed(command)


def timed(command: list[str]) -> Run:
    """Run a command; raises if it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(command)
    run = Run(0.0)
    while process.poll() is None:
        run.worker_mb.append(largest_child_mb(process.pid))
        time.sleep(0.5)
    run.seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{command} failed with {process.returncode}")
    return run


def largest_child_mb(parent: int) -> int:
    """Memory of the largest process below one that has the model loaded, in MB; 0: none."""
    below, largest = {parent}, 0
    for pid in sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        values = dict(row.split(":\t", 1) for row in status.splitlines() if ":\t" in row)
        if int(values["PPid"]) not in below:
            continue
        below.add(pid)
        if b"spawn_main" in line or b"Actor" in line or b"MapWorker" in line:
            largest = max(largest, int(values.get("VmRSS", "0 kB").split()[0]) // 1000)
    return largest


def quarters(values: list[int]) -> list[int]:
    """The values at a quarter, a half, three quarters and the end."""
    values = [value for value in values if value]
    return [values[len(values) * part // 4 - 1] for part in range(1, 5)] if len(values) > 3 else []


if __name__ == "__main__":
    main()
