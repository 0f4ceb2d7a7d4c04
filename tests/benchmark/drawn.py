"""A benchmark's report, drawn instead of measured, for the tests of what is made of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from cxr_edge.benchmark.report import (
    SCHEMA,
    Answers,
    EndToEnd,
    FirstAnswer,
    Latency,
    Layer,
    MachineState,
    Platform,
    Report,
    Roofline,
    Row,
    RowParity,
    Settings,
    SuiteRow,
    Truth,
)
from cxr_edge.device.machine import Machine

HOSTILE = "<script>alert(1)</script>"
KERAS = "Keras, original"
BASELINE = "stock ONNX, onnxruntime"

# artifact, engine, threads, precision, bytes, p50, max |Δscore|, flips
DRAWN = (
    ("onnx-int8", "onnxruntime", 1, "int8-static", 642_310, 3.21, 4.9e-2, 1),
    ("onnx-fp32", "onnxruntime", 1, "float32", 2_400_112, 7.9, 3.1e-7, 0),
    ("tflite-fp32", "litert", 1, "float32", 2_391_004, 8.4, 6.0e-7, 0),
    ("tflite-dynamic", "litert", 1, "int8-dynamic", 655_120, 5.1, 8.8e-3, 0),
    ("tflite-int8", "litert", 1, "int8-static", 702_448, 4.3, 5.5e-2, 2),
    ("onnx-fp32", "openvino", 1, "float32", 2_400_112, 6.6, 0.0, 0),
    ("onnx-int8", "openvino", 1, "int8-static", 642_310, 3.3, 4.7e-2, 1),
    ("onnx-int8", "onnxruntime", 2, "int8-static", 642_310, 2.15, 4.9e-2, 1),
    ("onnx-fp32", "onnxruntime", 2, "float32", 2_400_112, 4.6, 3.1e-7, 0),
    ("tflite-fp32", "litert", 2, "float32", 2_391_004, 5.2, 6.0e-7, 0),
    ("tflite-dynamic", "litert", 2, "int8-dynamic", 655_120, 3.9, 8.8e-3, 0),
    ("onnx-fp32", "openvino", 2, "float32", 2_400_112, 3.9, 0.0, 0),
)


def draw_latency(p50: float, seed: int) -> Latency:
    """Log-normal noise around a median, with a few slow ones."""
    random = np.random.default_rng([11, seed])
    samples = p50 * np.exp(np.abs(random.normal(0, 0.05, 300)))
    samples[::40] *= 2.5
    samples *= p50 / np.median(samples)
    q25, q50, q75, q90, q99 = (float(q) for q in np.quantile(samples, [0.25, 0.5, 0.75, 0.9, 0.99]))
    rounds = tuple(float(np.median(part)) for part in samples.reshape(6, 50))
    largest, mean = float(samples.max()), float(samples.mean())
    spread, times = q75 - q25, tuple(map(float, samples))
    return Latency(300, q50, q90, q99, largest, mean, spread, rounds, times)


def draw_row(number: int, **changes: Any) -> Row:
    """One of :data:`DRAWN`, with everything measured."""
    artifact, engine, threads, precision, size, p50, delta, flips = DRAWN[number]
    name = f"{artifact}, {engine}, {threads} thread{'s' if threads > 1 else ''}"
    row = Row(
        name=name,
        kind="exported",
        artifact=artifact,
        engine=engine,
        threads=threads,
        precision=precision,
        bytes=size,
        outcome="measured",
        reason="",
        problems=(),
        parity=RowParity(304, "the images", delta, delta / 20, delta / 2, flips),
        start=draw_start(p50, 80.0 + 9 * number, size),
        latency=draw_latency(p50, number),
        of_limit=p50 / (1.9 if "int8" in precision else 4.2),
        of_baseline=p50 / 8.2,
        end_to_end=draw_end_to_end(p50, threads) if engine == "onnxruntime" else None,
    )
    return dataclasses.replace(row, **changes)


def draw_start(p50: float, import_ms: float, size: int) -> FirstAnswer:
    """20 ms for the interpreter; less memory on average than at most."""
    load_ms, peak_mb = 12.5 + p50, 88.0 + size / 60_000
    to_first_ms = 20 + import_ms + load_ms + 2 * p50
    return FirstAnswer(to_first_ms, import_ms, load_ms, 2 * p50, peak_mb, peak_mb - 9)


def draw_end_to_end(p50: float, threads: int) -> EndToEnd:
    """Throughput only with one thread."""
    rates = (210.0 - p50, 118.0 - p50) if threads == 1 else (None, None)
    return EndToEnd(0.12, 5.2, 1.4, p50, 0.31, 7.2 + p50, *rates)


def absent_row(name: str, outcome: str, reason: str, **changes: Any) -> Row:
    """A row of which nothing was measured."""
    nothing: dict[str, Any] = dict.fromkeys(
        ("parity", "start", "latency", "of_limit", "of_baseline", "end_to_end", "bytes")
    )
    values = {**nothing, "name": name, "outcome": outcome, "reason": reason, **changes}
    return draw_row(0, **values)


def baselines() -> tuple[Row, ...]:
    """What ours are compared with: the original, and a plain conversion of it."""
    none: dict[str, Any] = {"artifact": None, "end_to_end": None}
    keras = {"name": KERAS, "kind": "keras", "engine": "keras", "precision": "float32"}
    parity = RowParity(304, "the images", 7e-7, 5e-8, 4e-7, 0)
    return (
        draw_row(1, **none, **keras, start=None, bytes=None, of_limit=41 / 4.2, of_baseline=5.0,
                 latency=draw_latency(41.0, 90), parity=None),
        draw_row(1, **none, name=BASELINE, kind="stock", latency=draw_latency(8.2, 92),
                 of_baseline=1.0, parity=parity),
        draw_row(2, **none, name="stock TFLite, litert", kind="stock",
                 latency=draw_latency(11.8, 91), of_baseline=11.8 / 8.2, parity=parity),
    )  # fmt: skip


def draw_answers(row: str, spread: float, seed: int, count: int = 304) -> Answers:
    """Scores of two heaps; the row's differ from the original's by noise."""
    random = np.random.default_rng([12, seed])
    original = 1 / (1 + np.exp(-draw_logits(count)))
    exported = np.clip(original + spread * random.normal(0, 0.3, count), 0, 1)
    flipped = (original >= 0.42) != (exported >= 0.42)
    return Answers(
        row, tuple(map(float, original)), tuple(map(float, exported)), tuple(map(bool, flipped))
    )


def draw_logits(count: int) -> np.ndarray:
    """The same for each row."""
    random = np.random.default_rng(13)
    return np.where(draw_truth(count), 3.0, -2.5) + random.normal(0, 2.0, count)


def draw_truth(count: int) -> np.ndarray:
    """Two thirds are positive."""
    return np.random.default_rng(14).random(count) < 0.62


def draw_report(**changes: Any) -> Report:
    """A report with all that a report can have; ``changes`` replace fields.

    Other rows take the baseline, layers and answers of rows that are no more with them.
    """
    rows = (
        *(draw_row(number) for number in range(len(DRAWN))),
        absent_row(
            "onnx-fp16, onnxruntime, 1 thread",
            "failed",
            "EngineError: no kernel for it",
            artifact="onnx-fp16",
        ),
        absent_row(
            "tflite-int8, openvino, 1 thread",
            "skipped",
            "openvino reads no int8 .tflite",
            artifact="tflite-int8",
            engine="openvino",
        ),
        *baselines(),
    )
    rows = changes.pop("rows", rows)
    names = [row.name for row in rows]
    single = [row for row in rows if row.kind == "exported" and row.threads == 1 and row.parity]
    spreads = {row.name: row.parity.max_abs_delta for row in single if row.parity}
    report = Report(
        schema=SCHEMA,
        label="",
        created="2025-06-01T12:00:00Z",
        command="cxr-edge benchmark --images ../shared/data/test --threads 1 --threads 2 -o report",
        model="chest-xray-reference",
        bundle_sha256="0123456789abcdef" * 4,
        files_sha256={"onnx-int8": "ab" * 32, "onnx-fp32": "cd" * 32},
        threshold=0.42,
        positive_label="PNEUMONIA",
        revision="a709588e0c2f4d5a6b7c8d9e0f1a2b3c4d5e6f70",
        versions={"cxr-edge": "0.4.0", "onnxruntime": "1.22.1", "numpy": "2.2.6"},
        machine=Machine(
            "Drawn Processor @ 2.50GHz", "x86_64", ("avx2", "fma", "avx512_vnni"), 2, "0" * 16
        ),
        platform=Platform("Linux 6.12.20, Debian GNU/Linux 13 (trixie)", "CPython 3.13.5"),
        before=MachineState(0.12, 2500.0, "performance", 51.0, None),
        after=MachineState(1.05, 2480.0, "performance", 58.0, None),
        warnings=("The load average was 1.05: something else ran.",),
        settings=Settings((1, 2), 6, 50, "images of test", 304,
                          {"NORMAL": 115, "PNEUMONIA": 189}, "fast"),
        limits=Roofline(112_000_000, 53.0, 11.2, 4.2, 1.05),
        baseline=BASELINE if BASELINE in names else None,
        rows=rows,
        layers={name: tuple(
            Layer(f"block{n}/conv2d_{n}/Conv: QLinearConv 3x3, {32 * n} channels",
                  0.9 / n, 0.28 / n) for n in range(1, 9)
        ) for name in names[:1]},
        answers=tuple(draw_answers(name, spread, n) for n, (name, spread)
                      in enumerate(spreads.items())),
        suite=(
            SuiteRow("peers: inference", "ncnn", 5.1751, 0.5107, 67),
            SuiteRow("parts", f"domain {HOSTILE}", 0.2295, 0.0198, 1678),
        ),
        truth=Truth(tuple(map(bool, draw_truth(304)))),
    )  # fmt: skip
    return dataclasses.replace(report, **changes)


def unlabelled(report: Report) -> Report:
    """The same without labels of the images."""
    settings = dataclasses.replace(report.settings, labels=None)
    return dataclasses.replace(report, truth=None, settings=settings)


def many_labels(report: Report) -> Report:
    """The same of a model with more than two labels: no threshold."""
    changed = unlabelled(report)
    return dataclasses.replace(changed, threshold=None, positive_label=None)


def one_row(report: Report) -> Report:
    """One exported row, nothing to compare it with."""
    row = dataclasses.replace(report.rows[0], of_baseline=None, of_limit=None)
    return dataclasses.replace(
        unlabelled(report), rows=(row,), baseline=None, layers={}, answers=(), warnings=()
    )


def nothing_measured(report: Report) -> Report:
    """Only rows that failed."""
    rows = (absent_row("onnx-fp32, onnxruntime, 1 thread", "failed", "EngineError: none"),)
    return dataclasses.replace(one_row(report), rows=rows)


def hostile(report: Report) -> Report:
    """Markup wherever a text can be."""
    row = dataclasses.replace(report.rows[0], name=f"a|{HOSTILE}", engine=HOSTILE,
                              precision=HOSTILE)  # fmt: skip
    failed = absent_row(f"b|{HOSTILE}", "failed", f"`{HOSTILE}`\n| and *more*", engine=HOSTILE)
    answers = dataclasses.replace(report.answers[0], row=row.name)
    return dataclasses.replace(
        report,
        model=HOSTILE,
        command=f"cxr-edge benchmark '{HOSTILE}'",
        positive_label=HOSTILE,
        revision=HOSTILE,
        versions={HOSTILE: HOSTILE},
        files_sha256={HOSTILE: HOSTILE},
        warnings=(HOSTILE,),
        baseline=row.name,
        label=HOSTILE,
        platform=Platform(HOSTILE, HOSTILE),
        rows=(row, failed),
        answers=(answers,),
        layers={row.name: (Layer(HOSTILE, 1.0, 1.0),)},
        settings=dataclasses.replace(report.settings, images=HOSTILE, labels={HOSTILE: 1}),
        machine=dataclasses.replace(report.machine, processor=HOSTILE, instructions=(HOSTILE,)),
    )


VARIANTS = {
    "whole": lambda report: report,
    "unlabelled": unlabelled,
    "many labels": many_labels,
    "one row": one_row,
    "nothing measured": nothing_measured,
    "hostile": hostile,
}
"""What a report can be like."""
