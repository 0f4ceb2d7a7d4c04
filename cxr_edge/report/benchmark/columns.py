"""The columns of a benchmark's tables: the page, ``report.md`` and README take them from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cxr_edge.benchmark.report import Row
from cxr_edge.benchmark.report_parts import LEAST_FOR_P99


def figure(value: float) -> str:
    """A measured number with three significant digits, never in scientific notation."""
    if value >= 99.95 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}" if value >= 0.1 else f"{value:.4f}"


def whole(value: float) -> str:
    """A number without decimals."""
    return f"{value:,.0f}"


def delta(value: float) -> str:
    """A difference of scores; those span seven powers of ten."""
    return f"{value:.1e}" if value else "0"


def percent(share: float) -> str:
    """A share, 0..1, as a percentage."""
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"


def speed_up(row: Row) -> float | None:
    """How many times as fast as the float32 baseline a row is; None: not compared."""
    return 1 / row.of_baseline if row.of_baseline else None


def roofline_share(row: Row) -> float | None:
    """The roofline time as a share of a row's median; None: unknown."""
    return 1 / row.of_limit if row.of_limit else None


def start_ms(row: Row) -> float | None:
    """From the start of a process to its first answer; None: not measured.

    Older reports left out the start of the interpreter.
    """
    start = row.start
    if start is None:
        return None
    parts_ms = start.import_ms + start.load_ms + start.first_ms
    return parts_ms if start.to_first_ms is None else start.to_first_ms


NOT_MEASURED = "not measured"


def _always(row: Row) -> bool:
    return True


def _is_compared(row: Row) -> bool:
    return row.kind != "keras"


def _has_one_thread(row: Row) -> bool:
    return row.threads == 1


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table of rows."""

    heading: str
    """With its unit."""
    definition: str
    """What the figure is, for a reader who does not know it."""
    value: Callable[[Row], str | float | None]
    """Sort key of a row; None: not measured, or the row has no such figure."""
    write: Callable[[float], str] | None = None
    """Formats a number; None: the column holds text."""
    applies: Callable[[Row], bool] = _always
    """Whether a measured row should have the figure."""
    suffix: Callable[[Row], str] = lambda row: ""
    """What follows the number."""

    def cell(self, row: Row) -> str:
        """The text of a row's cell; empty for a row that was not run or has no such figure."""
        value = self.value(row)
        if value is None:
            return NOT_MEASURED if row.outcome == "measured" and self.applies(row) else ""
        if isinstance(value, str):
            return value
        return f"{self.write(value) if self.write else value}{self.suffix(row)}"


def _outcome(row: Row) -> str:
    reasons = "; ".join(filter(None, (row.reason, *row.problems)))
    return f"{row.outcome}: {reasons}" if reasons else row.outcome


ROW = Column("row", "The file and the engine that ran it, or a baseline.", lambda row: row.name)
P50 = Column(
    "p50, ms",
    "Median time of one inference.",
    lambda row: row.latency.p50_ms if row.latency else None,
    figure,
)
P90 = Column(
    "p90, ms",
    "90 % of the inferences are faster.",
    lambda row: row.latency.p90_ms if row.latency else None,
    figure,
)
P99 = Column(
    "p99, ms",
    f"99 % of the inferences are faster; not measured with fewer than {LEAST_FOR_P99} inferences.",
    lambda row: row.latency.p99_ms if row.latency else None,
    figure,
)
TIMES = Column(
    "\u00d7 float32",
    "How many times as fast as the float32 baseline, the stock ONNX on onnxruntime, compared round "
    "by round; above 1 is faster.",
    speed_up,
    figure,
)
FLIPS = Column(
    "flips",
    "Inputs on which the decision differs from the original model's, and how many were compared.",
    lambda row: row.parity.flips if row.parity else None,
    whole,
    _is_compared,
    lambda row: f" of {row.parity.inputs:,}" if row.parity else "",
)
MAX_DELTA = Column(
    "max |Δscore|",
    "Largest difference between a score and the original model's score.",
    lambda row: row.parity.max_abs_delta if row.parity else None,
    delta,
    _is_compared,
)
SIZE = Column(
    "size, kB",
    "Size of the file, in units of 1000 bytes.",
    lambda row: row.bytes / 1000 if row.bytes else None,
    whole,
    _is_compared,
)
FIRST = Column(
    "first answer, ms",
    "From the start of a process to its first answer, imports and loading included.",
    lambda row: row.start.to_first_ms if row.start else None,
    whole,
)
PEAK = Column(
    "peak, MB",
    "Largest resident memory of a process that runs this row only, in units of 10⁶ bytes.",
    lambda row: row.start.peak_mb if row.start else None,
    whole,
)
AVERAGE = Column(
    "average, MB",
    "Mean resident memory of that process while it repeats inferences, in units of 10⁶ bytes.",
    lambda row: row.start.average_mb if row.start else None,
    whole,
)
RATE_1 = Column(
    "images/s, 1 worker",
    "Image files classified per second by one worker: reading, decoding, inference, decision.",
    lambda row: row.end_to_end.images_per_second_1 if row.end_to_end else None,
    figure,
)
RATE = Column(
    "images/s, all CPUs",
    "Image files classified per second with one worker for each usable CPU.",
    lambda row: row.end_to_end.images_per_second if row.end_to_end else None,
    figure,
)
OUTCOME = Column("outcome", "Whether the row was measured; if not, why.", _outcome)

COLUMNS = (
    ROW,
    P50,
    TIMES,
    FLIPS,
    P90,
    P99,
    MAX_DELTA,
    FIRST,
    PEAK,
    AVERAGE,
    RATE_1,
    RATE,
    SIZE,
    Column(
        "mean |Δscore|",
        "Mean difference between the scores and the original model's scores.",
        lambda row: row.parity.mean_abs_delta if row.parity else None,
        delta,
        _is_compared,
    ),
    Column(
        "kind",
        "exported: a file of the bundle; stock: the original network as a stock converter exports "
        "it; keras: the original network run by Keras.",
        lambda row: row.kind,
    ),
    Column("engine", "The engine that ran it.", lambda row: row.engine),
    Column("threads", "Threads for one inference.", lambda row: row.threads, whole),
    Column("precision", "Type of weights and arithmetic.", lambda row: row.precision),
    Column(
        "inferences",
        "Timed inferences, which the times are quantiles of.",
        lambda row: row.latency.inferences if row.latency else None,
        whole,
    ),
    Column(
        "max, ms",
        "The slowest inference.",
        lambda row: row.latency.max_ms if row.latency else None,
        figure,
    ),
    Column(
        "jitter, ms",
        "Interquartile range of the inference times.",
        lambda row: row.latency.jitter_ms if row.latency else None,
        figure,
    ),
    Column(
        "inferences/s",
        "Inferences per second, one after the other: 1000 divided by their mean in ms.",
        lambda row: 1000 / max(row.latency.mean_ms, 1e-9) if row.latency else None,
        figure,
    ),
    Column(
        "of roofline",
        "The time that the arithmetic alone would need on one thread, as a share of the p50; "
        "100 % would be perfect.",
        roofline_share,
        percent,
        _has_one_thread,
    ),
    Column(
        "import, ms",
        "Importing the runtime and the engine in a fresh process.",
        lambda row: row.start.import_ms if row.start else None,
        whole,
    ),
    Column(
        "load, ms",
        "Reading, hashing and opening the file.",
        lambda row: row.start.load_ms if row.start else None,
        figure,
    ),
    Column(
        "first inference, ms",
        "The first inference of that process alone.",
        lambda row: row.start.first_ms if row.start else None,
        figure,
    ),
    OUTCOME,
)
"""The full table, from left to right; what most readers want comes first."""

COMPACT_COLUMNS = (
    ROW, SIZE, P50, P90, P99, TIMES, FIRST, PEAK, AVERAGE, RATE_1, RATE, MAX_DELTA, FLIPS,
)  # fmt: skip
"""The table of docs/measured.md."""

SHORT_COLUMNS = (ROW, SIZE, P50, TIMES, MAX_DELTA, FLIPS)
"""The table of README."""

KEY_COLUMNS = (ROW, P50, TIMES, FLIPS, P90, P99, MAX_DELTA, FIRST, PEAK, AVERAGE, RATE_1, RATE)
"""The page's first table, of measured rows: as wide as a laptop's window."""
