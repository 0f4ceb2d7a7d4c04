"""From image file to prediction: the time of each stage, and the throughput on a folder."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from cxr_edge.benchmark.report import EndToEnd
from cxr_edge.classifier import Classifier, Stage
from cxr_edge.device.machine import usable_cpus
from cxr_edge.errors import CxrEdgeError, EngineError, ImageError, MissingExtraError
from cxr_edge.image import read_image
from cxr_edge.reporting import Reporter
from cxr_edge.results import Failure

_TOTAL = "total"

_StageTimes = dict[str, list[list[float]]]
"""Milliseconds by stage, then by file, then by round."""


def readable_files(
    files: Sequence[Path], channels: Literal[1, 3], reporter: Reporter
) -> tuple[Path, ...]:
    """The files that can be read; each of the others is reported with one line."""
    readable = []
    for path in files:
        try:
            read_image(path, channels=channels)
        except (ImageError, MissingExtraError) as err:
            reporter.say(f"left out: {err}")
        else:
            readable.append(path)
    return tuple(readable)


def time_stages(
    classifiers: Mapping[str, Classifier], files: Sequence[Path], *, rounds: int, reporter: Reporter
) -> dict[str, EndToEnd | CxrEdgeError]:
    """Classify every file with every classifier in turn.

    Args:
        classifiers: classifiers by name of the row.
        files: readable images.
        rounds: predictions per file and classifier.
        reporter: shows progress.

    Returns:
        By name, medians over the files of the medians over rounds, without throughput; or the
        error of a classifier that failed.
    """
    if not files:
        return dict.fromkeys(classifiers, ImageError("none of the images can be read"))
    times: dict[str, _StageTimes] = {
        name: {stage: [[] for _ in files] for stage in (*get_args(Stage), _TOTAL)}
        for name in classifiers
    }
    failed: dict[str, CxrEdgeError] = {}
    with reporter.bar("from file to prediction") as advance:
        for turn in range(rounds):
            for number, path in enumerate(files):
                for name, classifier in classifiers.items():
                    if name not in failed:
                        try:
                            _time_once(classifier, path, number, times[name])
                        except CxrEdgeError as err:
                            failed[name] = err
            advance(turn + 1, rounds)
    return {name: failed.get(name) or _medians(times[name]) for name in classifiers}


@dataclass(frozen=True, slots=True)
class Throughput:
    """Images per second, medians over passes."""

    one_worker: float
    every_cpu: float
    """With one worker for each usable CPU."""


def images_per_second(
    classifier: Classifier, files: Sequence[Path], *, passes: int = 3
) -> Throughput:
    """Classify all files, with one worker and with one for each CPU in turn.

    Args:
        classifier: reads and classifies.
        files: readable images.
        passes: times that each number of workers gets its turn.

    Raises:
        EngineError: the engine failed, or an image could not be classified.
    """
    counts = (1, usable_cpus())
    rates = [[_rate(classifier, files, workers) for workers in counts] for _ in range(passes)]
    one_worker, every_cpu = map(statistics.median, zip(*rates, strict=True))
    return Throughput(one_worker, every_cpu)


def _rate(classifier: Classifier, files: Sequence[Path], workers: int) -> float:
    start = time.perf_counter()
    results = list(classifier.predict_many(files, workers=workers))
    seconds = time.perf_counter() - start
    for result in results:
        if isinstance(result, Failure):
            raise EngineError(f"an image that was readable before failed: {result.message}")
    return len(results) / seconds


def _medians(times: _StageTimes) -> EndToEnd:
    ms = {
        stage: statistics.median(map(statistics.median, by_file))
        for stage, by_file in times.items()
    }
    return EndToEnd(
        read_ms=ms["read"],
        decode_ms=ms["decode"],
        preprocess_ms=ms["preprocess"],
        infer_ms=ms["infer"],
        post_ms=ms["post"],
        total_ms=ms[_TOTAL],
        images_per_second=None,
        images_per_second_1=None,
    )


def _time_once(classifier: Classifier, path: Path, number: int, times: _StageTimes) -> None:
    """Classify a file in stages, then once more as a whole; ``number`` is the file's index."""
    last = time.perf_counter()

    def end_stage(stage: Stage) -> None:
        nonlocal last
        now = time.perf_counter()
        times[stage][number].append(1e3 * (now - last))
        last = now

    classifier.predict_in_stages(path, end_stage)
    start = time.perf_counter()
    classifier.predict(path)
    times[_TOTAL][number].append(1e3 * (time.perf_counter() - start))
