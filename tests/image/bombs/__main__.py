"""Reads every bomb in a process of its own and prints what it cost, a JSON line for each.

Each process is forked from one that has everything loaded. What takes nearly a second is read again
and counted as on an idle server (``slowness``). Arguments: ``short`` or ``long``, and optionally a
part of the names.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bmp
import cv2
import dicom
import jpeg
import numpy as np
import png
import tiff
import webp
from bomb import Bomb

BOMBS = (*jpeg.BOMBS, *png.BOMBS, *bmp.BOMBS, *tiff.BOMBS, *webp.BOMBS, *dicom.BOMBS)
_SLOW, _GIVE_UP = 0.9, 20  # seconds
_ZEROS = zlib.compress(bytes(64 * 2**20))
_INFLATED_S = 0.16  # what inflating them takes a server's processor of 2021 that does nothing else
_GIVE_UP_BYTES = 4 * 2**30


def read_apart(bomb: Bomb, data: bytes) -> dict[str, Any]:
    """Read a bomb in a forked process; what it cost."""
    from cxr_edge.errors import CxrEdgeError
    from cxr_edge.image import read_image

    ctypes.CDLL(None).malloc_trim(0)  # what making it took is no room for reading it
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        limit = _used_bytes() + _GIVE_UP_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CPU, (_GIVE_UP, _GIVE_UP))
        before, started = _peak_megabytes(), time.process_time()
        pixels = 0
        try:
            height, width = read_image(data, channels=bomb.asked, name="bomb").shape[:2]
            pixels = height * width
            outcome = "read"
        except CxrEdgeError as err:
            outcome = str(err)
        except BaseException as err:
            outcome = f"UNTYPED {type(err).__name__}: {err}"[:300]
        own = pixels * max(bomb.channels, bomb.asked) / 2**20
        report = {
            "seconds": round(time.process_time() - started, 3),
            "megabytes": round(_peak_megabytes() - before - own, 1),
            "outcome": outcome,
        }
        os.write(sender, json.dumps(report).encode())
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    base: dict[str, Any] = {"id": "I5b", "kind": bomb.kind, "bytes": len(data)}
    if not answer:
        died = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else str(status)
        return base | {"seconds": float(_GIVE_UP), "megabytes": 0.0, "outcome": f"DIED {died}"}
    return base | json.loads(answer)


def slowness() -> float:
    """How much longer than on an idle server work takes here and now, at least 1.

    A picture of 50 Mpx takes nearly the second that it may, and a processor that shares its core
    and its caches takes half as long again.
    """
    started = time.process_time()
    inflater, packed = zlib.decompressobj(), _ZEROS
    while packed:
        inflater.decompress(packed, 0xFFFF)
        packed = inflater.unconsumed_tail
    return max((time.process_time() - started) / _INFLATED_S, 1.0)


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _used_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def warm_up() -> None:
    """Load every reader, so that what a bomb costs is its own."""
    from cxr_edge.image import read_image

    cv2.setNumThreads(1)  # a pool of threads does not survive the fork
    picture = np.arange(64 * 64, dtype=np.uint32).astype(np.uint8).reshape(64, 64)
    for suffix in (".jpg", ".png", ".bmp", ".webp"):
        read_image(cv2.imencode(suffix, picture)[1].tobytes())
    read_image(tiff.strip(64, 64, zlib.compress(picture.tobytes())))
    for data in dicom.pictures():
        read_image(data)


def main(arguments: list[str]) -> Iterator[str]:
    is_long, part = arguments[0] == "long", arguments[1] if len(arguments) > 1 else ""
    warm_up()
    for bomb in BOMBS:
        if bomb.is_long == is_long and part in bomb.kind:
            data = bomb.make()
            cost = read_apart(bomb, data)
            for _ in range(4):  # what else runs takes time too: the best of five
                if cost["seconds"] <= _SLOW:
                    break
                slow = slowness()
                again = read_apart(bomb, data)
                again["seconds"] = round(again["seconds"] / slow, 3)
                cost = min(cost, again, key=lambda cost: cost["seconds"])
            yield json.dumps(cost)


if __name__ == "__main__":
    for line in main(sys.argv[1:]):
        print(line, flush=True)
