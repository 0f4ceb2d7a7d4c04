"""Parts of ``report.json``: settings, machine, and everything that is measured of a row.

Times are in milliseconds, sizes in bytes, scores in 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cxr_edge.document_checks import Checks
from cxr_edge.errors import BenchmarkError

CHECK = Checks(BenchmarkError)

Kind = Literal["exported", "stock", "keras"]
"""``exported``: an artifact of the bundle. ``stock``: the original network as a stock converter
exports it, neither rewritten nor quantized. ``keras``: the original network, run by Keras."""

LEAST_FOR_P99 = 300
"""Inferences that a p99 needs: of fewer, less than three lie beyond it."""
MOST_LABEL_CHARACTERS = 40


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

    def __post_init__(self) -> None:
        CHECK.counts(rounds=self.rounds, repeats=self.repeats, image_count=self.image_count)
        for count in self.threads:
            CHECK.counts(least=1, threads=count)
        for images in (self.labels or {}).values():
            CHECK.counts(labels=images)


@dataclass(frozen=True, slots=True)
class Platform:
    """The software below the runtime."""

    system: str
    """Kernel and distribution, for example ``Linux 6.12.20, Debian GNU/Linux 13 (trixie)``."""
    python: str
    """For example ``CPython 3.13.5``."""


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

    def __post_init__(self) -> None:
        CHECK.within(0, 1e9, load_average=self.load_average, frequency_mhz=self.frequency_mhz)
        CHECK.within(-300, 1e4, temperature_c=self.temperature_c)


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

    def __post_init__(self) -> None:
        CHECK.counts(multiply_adds=self.multiply_adds)
        CHECK.positive(sgemm_gflops=self.sgemm_gflops, copy_gb_s=self.copy_gb_s)
        CHECK.durations(float32_ms=self.float32_ms, int8_ms=self.int8_ms)


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

    def __post_init__(self) -> None:
        CHECK.counts(inputs=self.inputs, flips=self.flips)
        if self.flips > self.inputs:
            raise BenchmarkError(f"flips is {self.flips}, more than the {self.inputs} inputs")
        CHECK.shares(
            max_abs_delta=self.max_abs_delta,
            mean_abs_delta=self.mean_abs_delta,
            p99_abs_delta=self.p99_abs_delta,
        )
        CHECK.rising(deltas=(self.mean_abs_delta, self.max_abs_delta))
        CHECK.rising(deltas=(self.p99_abs_delta, self.max_abs_delta))


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """Time and memory of a process that runs this row only; medians over several processes."""

    to_first_ms: float | None
    """From the start of the process to its first answer; null: a report of version 1 or 2."""
    import_ms: float
    """Importing the runtime and the engine."""
    load_ms: float
    """Reading, hashing and opening the model file."""
    first_ms: float
    """The first inference."""
    peak_mb: float | None
    """Largest resident memory of the process up to its end, 10**6 bytes."""
    average_mb: float | None
    """Mean resident memory while it repeats inferences after its first answer, 10**6 bytes; null:
    a report of version 1 or 2, or a platform without ``/proc``."""

    def __post_init__(self) -> None:
        CHECK.durations(
            to_first_ms=self.to_first_ms,
            import_ms=self.import_ms,
            load_ms=self.load_ms,
            first_ms=self.first_ms,
        )
        CHECK.within(0, 1e9, peak_mb=self.peak_mb, average_mb=self.average_mb)


@dataclass(frozen=True, slots=True)
class Latency:
    """Steady-state time of one inference with one image."""

    inferences: int
    """Timed inferences."""
    p50_ms: float
    p90_ms: float
    p99_ms: float | None
    """null: fewer than 300 inferences."""
    max_ms: float
    mean_ms: float
    jitter_ms: float
    """Interquartile range."""
    rounds_ms: tuple[float, ...]
    """Median of each round, in order; the noise estimate of a comparison uses them."""
    samples_ms: tuple[float, ...]
    """Every timed inference, in order."""

    def __post_init__(self) -> None:
        CHECK.counts(least=1, inferences=self.inferences)
        if self.p99_ms is not None and self.inferences < LEAST_FOR_P99:
            raise BenchmarkError(
                f"p99_ms is of {self.inferences} inferences, expected null below {LEAST_FOR_P99}"
            )
        CHECK.durations(
            may_be_zero=False,
            p50_ms=self.p50_ms,
            p90_ms=self.p90_ms,
            p99_ms=self.p99_ms,
            max_ms=self.max_ms,
            mean_ms=self.mean_ms,
        )
        CHECK.durations(jitter_ms=self.jitter_ms)
        for time_ms in self.rounds_ms:
            CHECK.durations(may_be_zero=False, rounds_ms=time_ms)
        for time_ms in self.samples_ms:
            CHECK.durations(may_be_zero=False, samples_ms=time_ms)


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
    images_per_second_1: float | None
    """Throughput with one worker; null: not measured, as in a report of version 1 or 2."""

    def __post_init__(self) -> None:
        CHECK.durations(
            read_ms=self.read_ms,
            decode_ms=self.decode_ms,
            preprocess_ms=self.preprocess_ms,
            infer_ms=self.infer_ms,
            post_ms=self.post_ms,
            total_ms=self.total_ms,
        )
        CHECK.within(
            0,
            1e9,
            images_per_second=self.images_per_second,
            images_per_second_1=self.images_per_second_1,
        )


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation of the network, timed by onnxruntime's profiler."""

    name: str
    ms: float
    """Mean time per inference."""
    share: float
    """Share of the time of all operations, 0..1."""

    def __post_init__(self) -> None:
        CHECK.durations(ms=self.ms)
        CHECK.shares(share=self.share)


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
    """The first answer of a fresh process, and its memory; null for Keras."""
    latency: Latency | None
    """One inference."""
    of_limit: float | None
    """Median divided by the roofline time of its precision: 1 would be perfect."""
    of_baseline: float | None
    """Median divided by the baseline's, round by round: .25 is four times as fast."""
    end_to_end: EndToEnd | None
    """From image file to prediction; null for baselines and for more than one thread."""

    def __post_init__(self) -> None:
        CHECK.counts(least=1, threads=self.threads)
        CHECK.counts(bytes=self.bytes)
        CHECK.positive(of_limit=self.of_limit, of_baseline=self.of_baseline)
