"""Compares fast decoding with exact decoding: ``python benchmarks/decoding.py BUNDLE IMAGES``.

IMAGES is a folder of JPEGs at their original resolution. Times are of reading, decoding and
resizing one image, both ways in turn in one process with one thread.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import cv2
import numpy as np

from cxr_edge import Bundle, Classifier, Prediction
from cxr_edge.bundle.manifest import ArtifactRecord
from cxr_edge.engines import installed_engines
from cxr_edge.image import read_image
from cxr_edge.preprocess import resize_to_input
from cxr_edge.spec import InputSpec

ROUNDS = 7


def main(bundle_folder: Path, images: Path) -> None:
    """Print both tables."""
    cv2.setNumThreads(1)
    bundle = Bundle.open(bundle_folder)
    paths = sorted(images.rglob("*.jp*g"))
    print(f"{'decisions':>9}  {'mean |d|':>8}  {'max |d|':>8}  of {len(paths)} images")
    for artifact in bundle.manifest.artifacts:
        if artifact.engines[0].engine in installed_engines():
            compare_scores(bundle_folder, artifact, paths)
    compare_times(bundle.manifest.spec.input, paths)


def compare_scores(bundle_folder: Path, artifact: ArtifactRecord, paths: list[Path]) -> None:
    """Print how far fast decoding moves an artifact's scores, and how many decisions change."""
    fast, exact = (
        [
            result
            for result in Classifier.load(
                bundle_folder, artifact=artifact.name, decode=way
            ).predict_many(paths)
            if isinstance(result, Prediction)
        ]
        for way in ("fast", "exact")
    )
    deltas = [abs(f.score - e.score) for f, e in zip(fast, exact, strict=True)]
    changed = sum(f.label != e.label for f, e in zip(fast, exact, strict=True))
    print(f"{changed:9}  {np.mean(deltas):8.5f}  {max(deltas):8.5f}  {artifact.name}")


def compare_times(spec: InputSpec, paths: list[Path]) -> None:
    """Print the median time of each way, and the median over images of their quotient."""
    times: dict[str, list[float]] = {"fast": [], "exact": []}
    channels = 3 if spec.channels == 3 else 1
    for path in paths:
        data = path.read_bytes()
        rounds: dict[str, list[float]] = {"fast": [], "exact": []}
        for _ in range(ROUNDS):
            for way, shrink_for in (("fast", spec), ("exact", None)):
                start = time.perf_counter()
                resize_to_input(read_image(data, channels=channels, shrink_for=shrink_for), spec)
                rounds[way].append(1e3 * (time.perf_counter() - start))
        for way in times:
            times[way].append(statistics.median(rounds[way]))
    quotient = statistics.median(
        fast / exact for fast, exact in zip(times["fast"], times["exact"], strict=True)
    )
    fast_ms, exact_ms = (statistics.median(times[way]) for way in ("fast", "exact"))
    print(f"{fast_ms:.2f} ms fast, {exact_ms:.2f} ms exact: {quotient:.2f} of the time")


if __name__ == "__main__":
    from arguments import paths

    main(*paths(__doc__, "BUNDLE", "IMAGES"))
