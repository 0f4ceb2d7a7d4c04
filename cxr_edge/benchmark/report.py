"""``report.json``: the document of one benchmark. Its schema is this module.

Every time is in milliseconds, every size in bytes, every score within 0..1. ``null`` means that
something was not measured; the row's ``reason`` or the report's ``warnings`` say why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cxr_edge import documents
from cxr_edge.device.machine import Machine
from cxr_edge.errors import BenchmarkError

SCHEMA = "cxr-edge.benchmark/1"
"""Name and version; the number rises when a key changes its meaning or goes away."""

Kind = Literal["exported", "stock", "keras"]
"""``exported``: a file of the bundle. ``stock``: the same network, converted without our rewriting
and quantizing. ``keras``: the original network itself, run by Keras."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for."""

    threads: tuple[int, ...]
    """Threads for one inference that were tried."""
    rounds: int
    """Turns that each row got."""
    repeats: int
    """Counted inferences of a turn; one more before them is not counted."""
    images: str
    """What was run on, in words."""
    image_count: int
    """How many images."""
    labels: dict[str, int] | None
    """Images by label; null: unlabelled."""
    decode: str
    """``fast`` or ``exact``: how the end-to-end figures decode JPEGs."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The state of the machine at one moment; null: this platform does not tell."""

    load_average: float | None
    """Processes that wanted to run, mean of the last minute."""
    frequency_mhz: float | None
    """Clock of the first processor."""
    governor: str | None
    """What sets that clock, for example ``performance`` or ``ondemand``."""
    temperature_c: float | None
    """The hottest sensor, degrees Celsius."""
    throttled: bool | None
    """Whether a Raspberry Pi is slowing itself down, for heat or for want of power."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one thread of this machine can do at best, measured in the same run."""

    multiply_adds: int | None
    """Multiply-adds of one inference of the unchanged network; null: not known here."""
    sgemm_gflops: float
    """float32 matrix product, 10**9 operations (a multiply-add is two) a second."""
    copy_gb_s: float
    """Copying memory larger than every cache, 10**9 bytes read and written a second."""
    float32_ms: float | None
    """The network at that rate."""
    int8_ms: float | None
    """The network at four times that rate, as integer dot products (VNNI, arm64) allow; without
    them (see the machine's instructions) it is out of reach."""


@dataclass(frozen=True, slots=True)
class RowParity:
    """How far a row's answers lie from the original model's, on the same inputs."""

    inputs: int
    """How many inputs."""
    source: str
    """Which: ``golden inputs``, or the images."""
    max_abs_delta: float
    """Largest |difference| of a score."""
    mean_abs_delta: float
    """Mean |difference| of the scores."""
    p99_abs_delta: float
    """|Difference| that 99 % of the scores stay below or at."""
    flips: int
    """Inputs that are decided otherwise."""


@dataclass(frozen=True, slots=True)
class Start:
    """A first answer, in a process of its own; medians over some processes."""

    import_ms: float
    """Importing the runtime and the engine."""
    load_ms: float
    """Reading, hashing and opening the file."""
    first_ms: float
    """The first inference."""
    peak_mb: float | None
    """Most memory that the process had, 10**6 bytes."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Steady inferences of one image, all rows in turn, in one process."""

    p50_ms: float
    """Half of them are faster."""
    p90_ms: float
    """90 % are faster."""
    p99_ms: float
    """99 % are faster."""
    max_ms: float
    """The slowest."""
    mean_ms: float
    """Their mean."""
    jitter_ms: float
    """Distance of the 25 % and the 75 % point."""
    rounds_ms: tuple[float, ...]
    """Median of each turn, in order: what noise is estimated from."""
    samples_ms: tuple[float, ...]
    """Every counted inference, in order."""


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """From a file to a prediction, medians over images; one thread besides the inference's."""

    read_ms: float
    """Reading the file."""
    decode_ms: float
    """Checking and decoding it."""
    preprocess_ms: float
    """Resizing and scaling."""
    infer_ms: float
    """The network."""
    post_ms: float
    """Telling foreign images apart, and from scores to a decision."""
    total_ms: float
    """The whole of ``Classifier.predict``, measured on its own."""
    images_per_second: float | None
    """Whole folder, as many workers as processors; null: not measured for this row."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation of the network, as onnxruntime's own profiler saw it."""

    name: str
    """The layer, and what it computes."""
    ms: float
    """Its mean time an inference."""
    share: float
    """Of all operations' time, 0..1."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way to run the network."""

    name: str
    """What the tables call it."""
    kind: Kind
    """Ours, or what it is compared with."""
    artifact: str | None
    """The bundle's file; null for the others."""
    engine: str
    """What ran it."""
    threads: int
    """Threads for one inference."""
    precision: str
    """Type of weights and arithmetic."""
    bytes: int | None
    """Size of the file."""
    outcome: Literal["measured", "failed", "skipped"]
    """``skipped``: not possible here; ``failed``: it was tried."""
    reason: str
    """Why it failed or was skipped; empty when measured."""
    parity: RowParity | None
    """Against the original Keras model."""
    start: Start | None
    """A first answer; null for Keras and stock rows."""
    latency: Latency | None
    """Steady inferences."""
    of_limit: float | None
    """Median over the machine's limit for this precision: 1 would be perfect."""
    of_headline: float | None
    """Median over that of the headline baseline, by rounds: .25 is four times as fast."""
    end_to_end: EndToEnd | None
    """From a file; null: not measured for this row."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the original and a row answer to the images; for the plots."""

    row: str
    """Name of the row."""
    original: tuple[float, ...]
    """Score of each image: P(positive label), or P(decision) for more than two labels."""
    exported: tuple[float, ...]
    """The same, by the row."""
    flipped: tuple[bool, ...]
    """Whether the decision differs."""


@dataclass(frozen=True, slots=True)
class Truth:
    """How right the original is on labelled images; for two labels."""

    positive: tuple[bool, ...]
    """Whether each image shows the positive label, in the order of the answers."""


@dataclass(frozen=True, slots=True)
class SuiteRow:
    """One benchmark of ``make bench``, which measures parts and peers, one after the other."""

    group: str
    """What it is compared with."""
    name: str
    """What was measured."""
    median_ms: float
    """Its median."""
    iqr_ms: float
    """Distance of the 25 % and the 75 % point."""
    rounds: int
    """How often it was measured."""


@dataclass(frozen=True, slots=True)
class Report:
    """One benchmark."""

    schema: Literal["cxr-edge.benchmark/1"]
    """Which document this is."""
    created: str
    """When, UTC, ISO 8601."""
    command: str
    """How to make it again."""
    model: str
    """Name of the model."""
    bundle_sha256: str
    """Hash of the bundle's manifest."""
    files_sha256: dict[str, str]
    """Hash of each exported file, by artifact."""
    threshold: float | None
    """A score of at least this is the positive label; null for more than two labels."""
    positive_label: str | None
    """What scores speak for; null for more than two labels."""
    revision: str | None
    """Git revision of the project; null: not run from a checkout."""
    versions: dict[str, str]
    """Of the packages that ran."""
    machine: Machine
    """Where."""
    before: Conditions
    """Before the timing."""
    after: Conditions
    """After it."""
    warnings: tuple[str, ...]
    """What makes these figures less trustworthy, or absent."""
    settings: Settings
    """What was asked for."""
    limits: Limits
    """What the machine can do at best."""
    headline: str | None
    """Name of the row that the others are compared with; null: no baseline could run."""
    rows: tuple[Row, ...]
    """Every way to run the network, ours first."""
    layers: dict[str, tuple[Layer, ...]]
    """The slowest operations of a row, by its name."""
    answers: tuple[Answers, ...]
    """What our rows answer with one thread; on the images, else on golden inputs."""
    suite: tuple[SuiteRow, ...]
    """What ``make bench`` measured, from its own run; empty: none was given."""
    truth: Truth | None
    """Of the images behind the answers; null: unlabelled, or more than two labels."""


def dump_report(report: Report) -> bytes:
    """Write a report as JSON."""
    return documents.dump(report)


def parse_report(data: bytes, name: str) -> Report:
    """Read a report.

    Raises:
        BenchmarkError: it is malformed, or of another version.
    """
    return documents.parse(data, Report, name=name, error=BenchmarkError)
