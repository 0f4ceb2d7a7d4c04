"""I5b: files that ask for much work cost little; the generator is in ``bombs``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydicom", reason="bombs in DICOM need the extra 'dicom'")

BOMBS = Path(__file__).parent / "bombs"
FIGURES = Path("build/reliability")
MAX_SECONDS = 1.0  # for a file under 1 MB
MAX_MEGABYTES = 64.0  # more than the picture itself
SMALL_FILE = 1_000_000

# Sound pictures with something around them that must not matter.
SOUND = (
    *("jpeg exif overlapping", "jpeg quantization tables", "png exif 1.3 MB", "png iCCP inflates"),
    *("png 80,000 empty texts", "png 16 Mpx rgb", "tiff 16 Mpx", "webp exif overlapping"),
    *("webp xmp and profile", "webp lossless 3600x3600", "dicom private elements of 900 kB"),
)

Figures = list[dict[str, Any]]


def read_all(which: str) -> Figures:
    """What each bomb costs, read in a process of its own."""
    command = [sys.executable, str(BOMBS), which]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def report(figures: Figures, name: str) -> None:
    FIGURES.mkdir(parents=True, exist_ok=True)
    (FIGURES / name).write_text(json.dumps(figures, indent=1) + "\n")
    for figure in sorted(figures, key=lambda figure: -figure["megabytes"]):
        print("{kind:38} {bytes:>11,} B {seconds:6.2f} s {megabytes:7.1f} MB".format(**figure))
    slowest = max(figures, key=lambda figure: figure["seconds"])
    largest = max(figures, key=lambda figure: figure["megabytes"])
    print(f"slowest: {slowest['kind']}, {slowest['seconds']} s")
    print(f"largest: {largest['kind']}, {largest['megabytes']} MB")


def excesses(figures: Figures) -> list[str]:
    return [
        f"{figure['kind']}: {figure['seconds']} s, {figure['megabytes']} MB, {figure['outcome']}"
        for figure in figures
        if figure["megabytes"] > MAX_MEGABYTES
        or (figure["seconds"] > MAX_SECONDS and figure["bytes"] < SMALL_FILE)
        or figure["outcome"].startswith(("UNTYPED", "DIED"))
    ]


def record_largest(figures: Figures, record: pytest.RecordProperty) -> None:
    """For docs/reliability.md."""
    most, longest = (max(figures, key=lambda f: f[key]) for key in ("megabytes", "seconds"))
    record(
        "figure",
        f"{len(figures)} kinds: at most {most['megabytes']:.0f} MB above the picture "
        f"({most['kind']}) and {longest['seconds']:.2f} s ({longest['kind']})",
    )


def test_small_files(record_property: pytest.RecordProperty) -> None:
    figures = read_all("short")
    record_largest(figures, record_property)
    report(figures, "bombs.json")
    assert len(figures) > 70
    assert {figure["kind"] for figure in figures if figure["outcome"] == "read"} >= set(SOUND)
    assert not excesses(figures)


@pytest.mark.long
@pytest.mark.thorough
def test_large_files_and_pictures(record_property: pytest.RecordProperty) -> None:
    figures = read_all("long")
    record_largest(figures, record_property)
    report(figures, "bombs-large.json")
    assert len(figures) > 8
    assert not excesses(figures)


@pytest.mark.parametrize("format_name", ["bmp", "tiff", "png"])
def test_too_little_memory_is_an_error_of_ours(format_name: str) -> None:
    """In a folder the next image is read."""
    program = f"""
import resource, sys
import cv2, numpy as np
from cxr_edge.device.batch import map_in_order
from cxr_edge.errors import ImageError
from cxr_edge.image import read_image
cv2.setNumThreads(1)
def encode(side):
    options = [cv2.IMWRITE_TIFF_COMPRESSION, 1] if "{format_name}" == "tiff" else []
    return cv2.imencode(".{format_name}", np.zeros((side, side), np.uint8), options)[1].tobytes()
small, large = encode(9), encode(7000)
read_image(small)
def read(data):
    try:
        return str(read_image(data, name="x").shape)
    except ImageError as err:
        return str(err)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 40 * 2**20,) * 2)
print("\\n".join(map_in_order(read, [small, large, small], 1)))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stderr
    assert lines[0] == lines[2] == "(9, 9)"
    assert lines[1] == "x: not enough memory to read it; free some, or shrink it"
