"""Long runs in a process of their own: ``python long_runs.py RUN ARGUMENT...`` prints JSON."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
import time
from pathlib import Path

_WARM = 1_000
"""Predictions after which memory must not grow any more."""


def resident_bytes() -> int:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def predictions(artifact: str, engine: str, count: str, image: str) -> dict[str, float]:
    """Predict one image many times, as bytes, as a path and as an array in turn."""
    from cxr_edge import Classifier
    from cxr_edge.image import read_image

    classifier = Classifier.load(artifact=artifact, engine=engine)
    sources = [image, Path(image).read_bytes(), read_image(image)]
    scores = [classifier.predict(source).score for source in sources]
    before: dict[str, float] = {}
    start = time.perf_counter()
    for number in range(int(count)):
        if number == min(_WARM, int(count) // 2):
            before = _state()
        score = classifier.predict(sources[number % 3]).score
        assert score == scores[number % 3], "the same image has another score"
    seconds = time.perf_counter() - start
    after = _state()
    return {key: after[key] - before[key] for key in after} | {"seconds": seconds}


def _state() -> dict[str, float]:
    return {
        "bytes": resident_bytes(),
        "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - counts itself both times
        "threads": len(os.listdir("/proc/self/task")),  # noqa: PTH208
    }


def hashing(artifact: str, engine: str) -> dict[str, float]:
    """Seconds to hash what is loaded, to load it first in this process, and to load it again."""
    from cxr_edge import Classifier
    from cxr_edge.bundle.reader import Bundle
    from cxr_edge.engines import ENGINES

    bundle = Bundle.open()
    record = bundle.artifact(artifact)
    importlib.import_module(ENGINES[engine].module)  # its import is no part of loading a model
    files = [record.file, *([bundle.manifest.domain] if bundle.manifest.domain else [])]
    contents = [(bundle.folder / file.file).read_bytes() for file in files]
    hash_times, load_times = [], []
    for _ in range(30):
        start = time.perf_counter()
        Classifier.load(artifact=artifact, engine=engine)
        load_times.append(time.perf_counter() - start)
        start = time.perf_counter()
        for content in contents:
            hashlib.sha256(content).hexdigest()
        hash_times.append(time.perf_counter() - start)
    return {
        "hash": sorted(hash_times)[15],
        "first load": load_times[0],
        "load": sorted(load_times)[15],
    }


if __name__ == "__main__":
    run = {"predictions": predictions, "hashing": hashing}[sys.argv[1]]
    print(json.dumps(run(*sys.argv[2:])))
