"""From a file to a prediction, stage by stage."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from cxr_edge.benchmark.report import EndToEnd
from cxr_edge.classifier import Classifier, Stage
from cxr_edge.device.machine import usable_cpus
from cxr_edge.errors import CxrEdgeError, ImageError, MissingExtraError
from cxr_edge.image import read_image
from cxr_edge.reporting import Reporter

_ROUNDS = 5
_WHOLE = "total"


def measure_end_to_end(
    classifiers: Mapping[str, Classifier], files: Sequence[Path], reporter: Reporter
) -> dict[str, EndToEnd | CxrEdgeError]:
    """Classify files, every row in turn on every file.

    Args:
        classifiers: by row.
        files: images; those that cannot be read are left out with one line.
        reporter: shows progress.

    Returns:
        The figures of each row, or why it failed.
    """
    channels = {classifier.spec.input.channels for classifier in classifiers.values()}
    readable = _readable(files, max(channels, default=1), reporter)
    times: dict[str, dict[str, list[list[float]]]] = {
        name: {stage: [[] for _ in readable] for stage in (*get_args(Stage), _WHOLE)}
        for name in classifiers
    }
    failed: dict[str, CxrEdgeError] = {}
    with reporter.bar("from file to prediction") as advance:
        for turn in range(_ROUNDS):
            for number, path in enumerate(readable):
                for name, classifier in classifiers.items():
                    if name not in failed:
                        try:
                            _once(classifier, path, number, times[name])
                        except CxrEdgeError as err:
                            failed[name] = err
            advance(turn + 1, _ROUNDS)
    found: dict[str, EndToEnd | CxrEdgeError] = {}
    for name, classifier in classifiers.items():
        if name in failed or not readable:
            found[name] = failed.get(name) or CxrEdgeError("no image could be read")
            continue
        found[name] = _summary(times[name], _rate(classifier, readable))
    return found


def _summary(times: dict[str, list[list[float]]], rate: float) -> EndToEnd:
    ms = {
        stage: statistics.median(statistics.median(each) for each in by_file)
        for stage, by_file in times.items()
    }
    return EndToEnd(
        read_ms=ms["read"],
        decode_ms=ms["decode"],
        preprocess_ms=ms["preprocess"],
        infer_ms=ms["infer"],
        post_ms=ms["post"],
        total_ms=ms[_WHOLE],
        images_per_second=rate,
    )


def _once(
    classifier: Classifier, path: Path, number: int, times: dict[str, list[list[float]]]
) -> None:
    """Classify one file in stages, and once more as a whole."""
    last = time.perf_counter()

    def mark(stage: Stage) -> None:
        nonlocal last
        now = time.perf_counter()
        times[stage][number].append(1e3 * (now - last))
        last = now

    classifier.predict_in_stages(path, mark)
    start = time.perf_counter()
    classifier.predict(path)
    times[_WHOLE][number].append(1e3 * (time.perf_counter() - start))


def _readable(files: Sequence[Path], channels: Literal[1, 3], reporter: Reporter) -> list[Path]:
    kept = []
    for path in files:
        try:
            read_image(path, channels=channels)
        except (ImageError, MissingExtraError) as err:
            reporter.say(f"left out: {err}")
        else:
            kept.append(path)
    return kept


def _rate(classifier: Classifier, files: Sequence[Path]) -> float:
    """Images a second, as many at a time as there are processors."""
    start = time.perf_counter()
    count = sum(1 for _ in classifier.predict_many(files, workers=usable_cpus()))
    return count / (time.perf_counter() - start)
