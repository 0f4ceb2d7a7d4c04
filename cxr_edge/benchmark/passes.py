"""The passes of a benchmark over its rows; each adds one kind of figure.

An error takes the row, or only the figure, out of the benchmark, and the row records it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cxr_edge.benchmark.cases import BenchmarkCase
from cxr_edge.benchmark.end_to_end import images_per_second, readable_files, time_stages
from cxr_edge.benchmark.first_answer import measure_first_answer
from cxr_edge.benchmark.images import Inputs
from cxr_edge.benchmark.layers import slowest_operations
from cxr_edge.benchmark.report import Answers, Latency, Layer, Roofline, RowParity
from cxr_edge.benchmark.report_parts import LEAST_FOR_P99
from cxr_edge.bundle.parity import compare
from cxr_edge.bundle.reader import Bundle
from cxr_edge.classifier import Classifier
from cxr_edge.decision import Scores, decide, positive_scores, probabilities
from cxr_edge.device.timing import Times, time_in_turn
from cxr_edge.errors import CxrEdgeError
from cxr_edge.image import ImageLimits
from cxr_edge.preprocess import normalize
from cxr_edge.reporting import Reporter
from cxr_edge.spec import Decoding, ModelSpec


def measure_first_answers(
    cases: Sequence[BenchmarkCase],
    bundle: Bundle,
    *,
    processes: int,
    memory_s: float,
    reporter: Reporter,
) -> None:
    """Run every row but Keras's in fresh processes of its own: first answer and memory.

    This pass goes first: an engine that crashes ends a process of its own, not the benchmark.
    """
    running = [case for case in cases if case.runs and (case.artifact or case.stock_file)]
    with reporter.bar("starting each file") as advance:
        for number, case in enumerate(running):
            with case.failing_alone():
                model: bytes | None = None
                if case.stock_file:
                    model = case.stock_file()
                    case.row = dataclasses.replace(case.row, bytes=len(model))
                start = measure_first_answer(
                    bundle, case.row, model, processes=processes, memory_s=memory_s
                )
                case.row = dataclasses.replace(case.row, start=start)
            advance(number + 1, len(running))


def compare_scores(
    cases: Sequence[BenchmarkCase], inputs: Inputs, spec: ModelSpec, reporter: Reporter
) -> None:
    """Load every row and compare its scores with the original model's."""
    batch = normalize(inputs.pixels, spec.input)
    running = [case for case in cases if case.runs]
    with reporter.bar("comparing scores") as advance:
        for number, case in enumerate(running):
            with case.failing_alone():
                case.engine = case.load()
                if case.row.kind != "keras":
                    _compare(case, case.engine.run(batch), inputs, spec)
            advance(number + 1, len(running))


def _compare(case: BenchmarkCase, scores: Scores, inputs: Inputs, spec: ModelSpec) -> None:
    parity = compare(inputs.scores, scores, spec)
    row_parity = RowParity(
        parity.inputs,
        inputs.source,
        parity.max_abs_delta,
        parity.mean_abs_delta,
        parity.p99_abs_delta,
        parity.flips,
    )
    case.row = dataclasses.replace(case.row, parity=row_parity)
    if case.artifact and case.row.threads == 1:
        original, exported = probabilities(inputs.scores, spec), probabilities(scores, spec)
        case.answers = Answers(
            row=case.row.name,
            original=tuple(positive_scores(original, spec).round(7).tolist()),
            exported=tuple(positive_scores(exported, spec).round(7).tolist()),
            flipped=tuple((decide(original, spec) != decide(exported, spec)).tolist()),
        )


def time_inference(
    cases: Sequence[BenchmarkCase],
    inputs: Inputs,
    spec: ModelSpec,
    *,
    rounds: int,
    repeats: int,
    reporter: Reporter,
) -> None:
    """Time one inference of one image on every loaded row, all rows in turn."""
    batch = normalize(inputs.pixels[:1], spec.input)
    loaded = [(case, case.engine) for case in cases if case.engine]
    steps = [functools.partial(engine.run, batch) for _, engine in loaded]
    failed: dict[int, CxrEdgeError] = {}
    times = time_in_turn(steps, rounds=rounds, repeats=repeats, reporter=reporter, failed=failed)
    for number, (case, _) in enumerate(loaded):
        if number in failed:
            case.fail(failed[number])
        else:
            case.row = dataclasses.replace(case.row, latency=_latency(times[number]))


def _latency(times: Times) -> Latency:
    lower, p50, upper, p90, p99 = np.quantile(times, (0.25, 0.5, 0.75, 0.9, 0.99)).tolist()
    return Latency(
        inferences=times.size,
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99 if times.size >= LEAST_FOR_P99 else None,
        max_ms=float(times.max()),
        mean_ms=float(times.mean()),
        jitter_ms=upper - lower,
        rounds_ms=tuple(np.median(times, axis=1).round(5).tolist()),
        samples_ms=tuple(times.ravel().round(5).tolist()),
    )


def measure_files(
    cases: Sequence[BenchmarkCase],
    bundle: Bundle,
    files: Sequence[Path],
    *,
    decode: Decoding,
    rounds: int,
    reporter: Reporter,
) -> None:
    """Time every artifact with one thread from image file to prediction, and its throughput."""
    spec, domain = bundle.manifest.spec, bundle.domain()
    by_name = {case.row.name: case for case in cases if case.row.threads == 1}
    classifiers = {
        name: Classifier(spec, case.artifact, case.engine, ImageLimits(), domain, decode=decode)
        for name, case in by_name.items()
        if case.artifact and case.engine
    }
    readable = readable_files(files, spec.input.channels, reporter)
    stages = time_stages(classifiers, readable, rounds=rounds, reporter=reporter)
    for name, classifier in classifiers.items():
        case, outcome = by_name[name], stages[name]
        with case.noting_errors("end-to-end times"):
            if isinstance(outcome, CxrEdgeError):
                raise outcome
            case.row = dataclasses.replace(case.row, end_to_end=outcome)
            with case.noting_errors("throughput"):
                rates = images_per_second(classifier, readable)
                end_to_end = dataclasses.replace(
                    outcome, images_per_second=rates.every_cpu, images_per_second_1=rates.one_worker
                )
                case.row = dataclasses.replace(case.row, end_to_end=end_to_end)


def profile_layers(
    cases: Sequence[BenchmarkCase], bundle: Bundle, inputs: Inputs
) -> dict[str, tuple[Layer, ...]]:
    """The slowest operations of every artifact that onnxruntime ran with one thread, by row."""
    batch = normalize(inputs.pixels[:1], bundle.manifest.spec.input)
    layers = {}
    for case in cases:
        row = case.row
        if case.artifact and row.latency and row.engine == "onnxruntime" and row.threads == 1:
            with case.noting_errors("time per operation"):
                layers[row.name] = slowest_operations(bundle.read(case.artifact.file), batch)
    return layers


def compare_latencies(cases: Sequence[BenchmarkCase], roofline: Roofline | None) -> str | None:
    """Relate every latency to the roofline and to the baseline's.

    Returns:
        Name of the baseline, the stock float32 ONNX on onnxruntime; None: it was not measured.
    """
    baseline = next((c.row for c in cases if c.is_baseline and c.row.latency), None)
    for case in cases:
        latency = case.row.latency
        if latency is None:
            continue
        best_ms = None
        if roofline and case.row.threads == 1:
            best_ms = roofline.int8_ms if case.uses_integers else roofline.float32_ms
        ratio = None
        if baseline and baseline.latency:
            by_round = np.divide(latency.rounds_ms, baseline.latency.rounds_ms)
            ratio = float(np.median(by_round))
        case.row = dataclasses.replace(
            case.row, of_limit=latency.p50_ms / best_ms if best_ms else None, of_baseline=ratio
        )
    return baseline.name if baseline else None
