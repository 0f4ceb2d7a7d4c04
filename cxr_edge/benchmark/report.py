"""``report.json``: the document of one benchmark. This module is its schema.

Times are in milliseconds, sizes in bytes, scores in 0..1. ``null`` means "not measured": the
row's ``reason`` or ``problems``, or the report's ``warnings``, say why.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from cxr_edge import documents
from cxr_edge.device.machine import Machine
from cxr_edge.errors import BenchmarkError

SCHEMA = "cxr-edge.benchmark/2"
"""Name and version; the version rises whenever a key is added, removed or changes its meaning."""
_SCHEMA_1 = "cxr-edge.benchmark/1"

Kind = Literal["exported", "stock", "keras"]
"""``exported``: an artifact of the bundle. ``stock``: the original network as a stock converter
exports it, neither rewritten nor quantized. ``keras``: the original network, run by Keras."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of the benchmark."""

    threads: tuple[int, ...]
    """Thread counts tried for one inference."""
    rounds: int
    """Timing rounds; every row gets one turn in each."""
    repeats: int
    """Timed inferences in a turn, after one untimed warm-up inference."""
    images: str
    """Description of the inputs."""
    image_count: int
    labels: dict[str, int] | None
    """Inputs per label; null: unlabelled."""
    decode: str
    """JPEG decoding in the end-to-end figures: ``fast`` or ``exact``."""


@dataclass(frozen=True, slots=True)
class MachineState:
    """The state of the machine at one moment; null: this platform does not report it."""

    load_average: float | None
    """Runnable processes, averaged over the last minute."""
    frequency_mhz: float | None
    """Clock of the first CPU."""
    governor: str | None
    """Of the CPU frequency, for example ``performance`` or ``ondemand``."""
    temperature_c: float | None
    """The hottest sensor, degrees Celsius."""
    throttled: bool | None
    """Whether a Raspberry Pi is throttled, because of heat or low voltage."""


@dataclass(frozen=True, slots=True)
class Roofline:
    """The best one thread of this machine can do, measured in the same run."""

    multiply_adds: int | None
    """Multiply-adds in one inference of the original network; null: unknown."""
    sgemm_gflops: float
    """float32 matrix product, 10**9 operations per second (one multiply-add is two)."""
    copy_gb_s: float
    """Copying memory larger than the caches, 10**9 bytes read plus written per second."""
    float32_ms: float | None
    """One inference at the matrix product's rate."""
    int8_ms: float | None
    """One inference at four times that rate, the gain of integer dot products (VNNI, arm64);
    out of reach on a CPU without them, see the machine's instructions."""


@dataclass(frozen=True, slots=True)
class RowParity:
    """Differences between a row's scores and the original model's on the same inputs."""

    inputs: int
    source: str
    max_abs_delta: float
    """Largest |difference| of a score."""
    mean_abs_delta: float
    p99_abs_delta: float
    """99th percentile of the |differences|."""
    flips: int
    """Inputs with a changed decision."""


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """Time and memory up to the first answer of a fresh process; medians over several processes."""

    import_ms: float
    """Importing the runtime and the engine."""
    load_ms: float
    """Reading, hashing and opening the model file."""
    first_ms: float
    peak_mb: float | None
    """Peak memory of the process, 10**6 bytes."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Steady-state time of one inference with one image."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    mean_ms: float
    jitter_ms: float
    """Interquartile range."""
    rounds_ms: tuple[float, ...]
    """Median of each round, in order; the noise estimate of a comparison uses them."""
    samples_ms: tuple[float, ...]
    """Every timed inference, in order."""


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """Time from image file to prediction, medians over images; one thread beside the engine's."""

    read_ms: float
    decode_ms: float
    """Checking and decoding the file."""
    preprocess_ms: float
    """Resizing and scaling."""
    infer_ms: float
    post_ms: float
    """The out-of-domain check and the decision."""
    total_ms: float
    """All of ``Classifier.predict``, timed separately."""
    images_per_second: float | None
    """Throughput on a folder with one worker per CPU; null: not measured."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation of the network, timed by onnxruntime's profiler."""

    name: str
    ms: float
    """Mean time per inference."""
    share: float
    """Share of the time of all operations, 0..1."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way to run the network, and everything that was measured of it."""

    name: str
    """Unique name, used in tables and by the other parts of the report."""
    kind: Kind
    """An artifact of the bundle, or a baseline."""
    artifact: str | None
    """Name of the artifact; null for a baseline."""
    engine: str
    threads: int
    """Threads for one inference."""
    precision: str
    """Type of weights and arithmetic."""
    bytes: int | None
    """Size of the model file."""
    outcome: Literal["measured", "failed", "skipped"]
    """``failed``: an error ended its measurement; ``skipped``: it cannot run on this machine."""
    reason: str
    """Why it failed or was skipped; empty when measured."""
    problems: tuple[str, ...]
    """Figures that could not be measured although the row ran, each with the reason."""
    parity: RowParity | None
    """Compared with the original Keras model; null for Keras itself."""
    start: FirstAnswer | None
    """The first answer of a fresh process; null for baselines."""
    latency: Latency | None
    """One inference."""
    of_limit: float | None
    """Median divided by the roofline time of its precision: 1 would be perfect."""
    of_headline: float | None
    """Median divided by the headline baseline's, round by round: .25 is four times as fast."""
    end_to_end: EndToEnd | None
    """From image file to prediction; null for baselines and for more than one thread."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Scores of the original and of one row, input by input, for the plots."""

    row: str
    """Name of the row; its scores are ``exported``."""
    original: tuple[float, ...]
    """P(positive label) by the original; with more than two labels, P(decided label)."""
    exported: tuple[float, ...]
    flipped: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Truth:
    """True labels of the inputs, for models with two labels."""

    positive: tuple[bool, ...]
    """Whether each input has the positive label, in the order of the answers."""


@dataclass(frozen=True, slots=True)
class SuiteRow:
    """Median and interquartile range of one benchmark of ``make bench``."""

    group: str
    """The benchmarks it is compared with."""
    name: str
    """What was timed."""
    median_ms: float
    iqr_ms: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Report:
    """One benchmark."""

    schema: Literal["cxr-edge.benchmark/2"]
    """:data:`SCHEMA`."""
    created: str
    """Date and time, UTC, ISO 8601."""
    command: str
    """The command that makes this report again."""
    model: str
    bundle_sha256: str
    """Hash of the bundle's manifest."""
    files_sha256: dict[str, str]
    """Hash of each model file, by artifact."""
    threshold: float | None
    """Smallest score that is decided positive; null for more than two labels."""
    positive_label: str | None
    """The label that the score is the probability of; null for more than two labels."""
    revision: str | None
    """Git revision of the project; null: not run from a checkout."""
    versions: dict[str, str]
    """Versions of engines and packages."""
    machine: Machine
    before: MachineState
    after: MachineState
    """Before and after all timing."""
    warnings: tuple[str, ...]
    """What makes the figures less trustworthy, and what could not be measured for any row."""
    settings: Settings
    limits: Roofline | None
    """The best this machine can do; null: it could not be measured, see ``warnings``."""
    headline: str | None
    """Name of the baseline that rows are compared with; null: no suitable baseline ran."""
    rows: tuple[Row, ...]
    """Artifacts first, then baselines."""
    layers: dict[str, tuple[Layer, ...]]
    """The slowest operations, by name of the row."""
    answers: tuple[Answers, ...]
    """Scores of the artifacts run with one thread."""
    suite: tuple[SuiteRow, ...]
    """From a separate run; empty: none were given."""
    truth: Truth | None
    """Labels of the inputs in ``answers``; null: unlabelled, or more than two labels."""


def dump_report(report: Report) -> bytes:
    """Write a report as JSON."""
    return documents.dump(report)


def parse_report(data: bytes, name: str) -> Report:
    """Read a report of this version or of version 1.

    Args:
        data: UTF-8 JSON.
        name: name of the file, for error messages.

    Raises:
        BenchmarkError: it is malformed or of another version.
    """
    return documents.parse(_upgraded(data), Report, name=name, error=BenchmarkError)


def _upgraded(data: bytes) -> bytes:
    """Version 1 lacks ``problems`` of a row; anything else is returned unchanged."""
    try:
        document = json.loads(data)
        if document["schema"] != _SCHEMA_1:
            return data
        rows = [{**row, "problems": []} for row in document["rows"]]
        return json.dumps({**document, "schema": SCHEMA, "rows": rows}).encode()
    except (
        ValueError,
        LookupError,
        TypeError,
        RecursionError,
    ):  # documents.parse says why
        return data
