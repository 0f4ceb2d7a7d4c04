"""Tries damaged and sound JPEGs on ``read_image``: ``python benchmarks/jpeg_damage.py DATA``.

DATA is the data folder, with ``chest_xray``, ``native`` and ``odd_images``. The damaged files are
made from native radiographs, resized and encoded anew, each kind from a random generator of its
own. A row is lost if it is off by more than 8 grey levels on average; a file is wrong if it is
accepted and more than 2 % of its rows are lost.
"""

from __future__ import annotations

import itertools
import re
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from cxr_edge.errors import ImageError
from cxr_edge.image import read_image
from cxr_edge.preprocess import Image

PICTURES = 12
LOST_LEVELS, LOST_SHARE = 8, 0.02
EOI, SOS = b"\xff\xd9", b"\xff\xda"
RESTART_MARKER = re.compile(rb"\xff[\xd0-\xd7]")
FRAME_MARKER = re.compile(rb"\xff[\xc0-\xc2]\x00")

Damage = Callable[[bytes, np.random.Generator], bytes]


def entropy_start(data: bytes) -> int:
    """Offset of the first scan's entropy-coded data."""
    at = data.index(SOS)
    return at + 2 + struct.unpack_from(">H", data, at + 2)[0]


def position(data: bytes, random: np.random.Generator, spare: int = 0) -> int:
    """A random offset in the entropy-coded data, at least ``spare`` bytes before its end."""
    start = entropy_start(data)
    return int(random.integers(start, max(start + 1, len(data) - 2 - spare)))


def cut(data: bytes, random: np.random.Generator) -> bytes:
    """Everything behind an offset replaced with an end marker."""
    return data[: position(data, random)] + EOI


def zero_tail(data: bytes, random: np.random.Generator) -> bytes:
    """Zeros from an offset on, then an end marker."""
    at = position(data, random)
    return data[:at] + bytes(len(data) - 2 - at) + EOI


def zero_hole(data: bytes, random: np.random.Generator) -> bytes:
    """4 KiB of zeros."""
    at = position(data, random, 4096)
    return data[:at] + bytes(4096) + data[at + 4096 :]


def random_bytes(data: bytes, random: np.random.Generator) -> bytes:
    """512 random bytes without markers."""
    at = position(data, random, 512)
    return data[:at] + random.integers(0, 255, 512, np.uint8).tobytes() + data[at + 512 :]


def intervals(data: bytes) -> tuple[bytes, list[bytes]]:
    """The bytes before the entropy-coded data, and its restart intervals."""
    start = entropy_start(data)
    cuts = [start, *(match.start() for match in RESTART_MARKER.finditer(data, start)), len(data)]
    return data[:start], [data[a:b] for a, b in itertools.pairwise(cuts)]


def empty_intervals(data: bytes, random: np.random.Generator) -> bytes:
    """10 to 90 % of the restart intervals emptied; their markers stay."""
    head, parts = intervals(data)
    share = random.uniform(0.1, 0.9)
    emptied = [part[:2] if random.random() < share else part for part in parts[1:-1]]
    return head + b"".join([parts[0], *emptied, parts[-1]])


def drop_intervals(data: bytes, random: np.random.Generator) -> bytes:
    """Eight restart intervals in a row left out, so that the markers' numbers still fit."""
    head, parts = intervals(data)
    at = int(random.integers(1, len(parts) - 9))
    return head + b"".join(parts[:at] + parts[at + 8 :])


def repeat_intervals(data: bytes, random: np.random.Generator) -> bytes:
    """Eight restart intervals in a row twice."""
    head, parts = intervals(data)
    at = int(random.integers(1, len(parts) - 9))
    return head + b"".join(parts[: at + 8] + parts[at:])


def drop_scans(data: bytes, random: np.random.Generator) -> bytes:
    """One to three scans left out, with the tables before them."""
    cuts = [match.start() for match in re.finditer(rb"\xff[\xc4\xda]\x00|\xff\xda\x01", data)]
    starts = [cuts[0]]
    for before, at in itertools.pairwise(cuts):
        if data[before + 1] == SOS[1]:
            starts.append(at)
    parts = [data[a:b] for a, b in itertools.pairwise([*starts, len(data) - 2])]
    dropped = set(random.choice(len(parts), int(random.integers(1, 4)), replace=False).tolist())
    kept = [part for number, part in enumerate(parts) if number not in dropped]
    return data[: starts[0]] + b"".join(kept) + EOI


def change_side(offset: int, data: bytes, random: np.random.Generator) -> bytes:
    """A side in the frame header shorter or longer by 3 to 50 %."""
    found = FRAME_MARKER.search(data)
    at = found.start() + offset if found else 0
    (side,) = struct.unpack_from(">H", data, at)
    changed = max(1, round(side * (1 + random.choice([-1, 1]) * random.uniform(0.03, 0.5))))
    return data[:at] + struct.pack(">H", changed) + data[at + 2 :]


KINDS: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "cut + end marker": (cut, ("baseline", "progressive", "restart")),
    "zero tail + end marker": (zero_tail, ("baseline", "progressive", "restart")),
    "zeroed 4 KiB": (zero_hole, ("baseline", "progressive", "restart")),
    "512 random bytes": (random_bytes, ("baseline", "progressive", "restart")),
    "emptied restart intervals": (empty_intervals, ("restart",)),
    "dropped restart intervals": (drop_intervals, ("restart",)),
    "repeated restart intervals": (repeat_intervals, ("restart",)),
    "dropped scans": (drop_scans, ("progressive",)),
    "changed height": (lambda d, r: change_side(5, d, r), ("baseline", "progressive", "restart")),
    "changed width": (lambda d, r: change_side(7, d, r), ("baseline", "progressive", "restart")),
}
OPTIONS = {
    "baseline": [],
    "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    "restart": [cv2.IMWRITE_JPEG_RST_INTERVAL, 7],
}
SAMPLINGS = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}


def pictures(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    """Sides and colours, process, and file of each picture to damage."""
    paths = sorted(folder.rglob("*.jp*g"))
    for path in paths[:: max(1, len(paths) // PICTURES)][:PICTURES]:
        native = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        for side in (224, 512, 1024):
            grey = cv2.resize(native, (side, side), interpolation=cv2.INTER_AREA)
            colour = np.stack([grey, grey[::-1], grey[:, ::-1]], axis=2)
            for process, options in OPTIONS.items():
                quality = [cv2.IMWRITE_JPEG_QUALITY, 92, *options]
                yield f"{side} grey", process, cv2.imencode(".jpg", grey, quality)[1].tobytes()
                for name, factor in SAMPLINGS.items():
                    chosen = [*quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
                    data = cv2.imencode(".jpg", colour, chosen)[1].tobytes()
                    yield f"{side} {name}", process, data


def lost_share(image: Image, original: Image) -> float:
    """Share of the original's rows that are lost; all where the size differs."""
    if image.shape != original.shape:
        return 1.0
    deltas = np.abs(image.astype(int) - original)
    return float((deltas.reshape(len(deltas), -1).mean(axis=1) > LOST_LEVELS).mean())


def try_damage(folder: Path) -> None:
    """Print how many files of each kind are accepted, and how many of those are wrong."""
    counts: dict[tuple[str, str], list[int]] = {}
    for number, (_label, process, data) in enumerate(pictures(folder)):
        original = read_image(data, channels=3)
        for kind_number, (kind, (damage, processes)) in enumerate(KINDS.items()):
            if process not in processes:
                continue
            random = np.random.default_rng([number, kind_number])
            count = counts.setdefault((kind, process), [0, 0, 0])
            for _ in range(4):
                damaged = damage(data, random)
                if damaged == data:
                    continue
                count[0] += 1
                try:
                    image = read_image(damaged, channels=3)
                except ImageError:
                    continue
                count[1] += 1
                count[2] += lost_share(image, original) > LOST_SHARE
    print(f"\n{'tried':>6} {'accepted':>8} {'wrong':>6}")
    for (kind, process), (tried, accepted, wrong) in sorted(counts.items()):
        print(f"{tried:6} {accepted:8} {wrong:6}  {kind}, {process}")


def try_sound(data_folder: Path) -> None:
    """Print refusals of sound radiographs, and pixels and times compared with OpenCV's."""
    for name in ("chest_xray", "native"):
        paths = sorted((data_folder / name).rglob("*.jp*g"))
        print(f"{sum(map(is_refused, paths)):5} of {len(paths):5} refused: {name}")
    odd = [path for path in sorted((data_folder / "odd_images").rglob("*")) if path.is_file()]
    odd = [path for path in odd if path.read_bytes()[:3] == b"\xff\xd8\xff"]
    print(f"{sum(map(is_refused, odd)):5} of {len(odd):5} refused: JPEGs of odd_images")

    natives = sorted((data_folder / "native").rglob("*.jp*g"))
    equal_grey = equal_rgb = 0
    ours, opencvs = [], []
    for path in natives:
        data = path.read_bytes()
        buffer = np.frombuffer(data, np.uint8)
        for _ in range(5):
            start = time.perf_counter()
            grey = read_image(data)
            middle = time.perf_counter()
            expected = cv2.imdecode(buffer, cv2.IMREAD_GRAYSCALE)
            ours.append(1e3 * (middle - start))
            opencvs.append(1e3 * (time.perf_counter() - middle))
        equal_grey += np.array_equal(grey, expected)
        rgb = cv2.imdecode(buffer, cv2.IMREAD_COLOR_RGB)
        equal_rgb += np.array_equal(read_image(data, channels=3), rgb)
    print(f"equal to OpenCV's: {equal_grey} grey, {equal_rgb} RGB of {len(natives)} natives")
    print(
        f"medians, ms: read_image {statistics.median(ours):.2f}, "
        f"cv2.imdecode {statistics.median(opencvs):.2f}"
    )


def is_refused(path: Path) -> bool:
    """Whether ``read_image`` refuses a file."""
    try:
        read_image(path)
    except ImageError:
        return True
    return False


def start_costs(path: Path) -> None:
    """Print the import times, and the peak memory of a process that reads one picture."""
    for module in ("cv2", "simplejpeg"):
        code = f"import numpy, time; t = time.perf_counter(); import {module}; "
        code += "print(1e3 * (time.perf_counter() - t))"
        times = [float(in_child(code)) for _ in range(5)]
        print(f"import {module} after numpy: {statistics.median(times):.1f} ms")
    code = "from cxr_edge.image import read_image; import resource; "
    code += f"read_image({str(path)!r}); "
    code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    print(f"peak of a process that reads {path.name}: {float(in_child(code)):.1f} MiB")


def in_child(code: str) -> str:
    """What Python code prints in a process of its own."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout


def main(data_folder: Path) -> None:
    """Print all tables."""
    cv2.setNumThreads(1)
    natives = sorted((data_folder / "native").rglob("*.jp*g"), key=lambda path: path.stat().st_size)
    start_costs(natives[-1])
    try_sound(data_folder)
    try_damage(data_folder / "native")


if __name__ == "__main__":
    from arguments import paths

    main(*paths(__doc__, "DATA"))
