"""The table of a benchmark's rows: its columns, what each one means, how its figures are written.

``report.html`` and ``report.md`` both take their columns from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cxr_edge.benchmark.report import Row


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
    """How many times as fast as the headline baseline a row is; null: not compared."""
    return 1 / row.of_headline if row.of_headline else None


def limit_share(row: Row) -> float | None:
    """The share of a row's time that this machine cannot do without; null: not known."""
    return 1 / row.of_limit if row.of_limit else None


def start_ms(row: Row) -> float | None:
    """From starting a process to its first answer; null: not measured."""
    start = row.start
    return start.import_ms + start.load_ms + start.first_ms if start else None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table."""

    heading: str
    """What stands above it, with its unit."""
    definition: str
    """What its figures are."""
    value: Callable[[Row], str | float | None]
    """What it is sorted by; null: empty."""
    write: Callable[[float], str] | None = None
    """How a number is written; null: the column holds text."""

    def cell(self, row: Row) -> str:
        """What the table shows of a row; empty where nothing was measured."""
        value = self.value(row)
        if value is None or isinstance(value, str):
            return value or ""
        return self.write(value) if self.write else str(value)


def _verdict(row: Row) -> str:
    reasons = "; ".join(filter(None, (row.reason, *row.problems)))
    return f"{row.outcome}: {reasons}" if reasons else row.outcome


ROW = Column(
    "row", "What was run: a file of the bundle, or what it is compared with.", lambda row: row.name
)
SIZE = Column(
    "size, kB",
    "Size of the file, 1000 bytes.",
    lambda row: row.bytes / 1000 if row.bytes else None,
    whole,
)
P50 = Column(
    "p50, ms",
    "One inference: half of them are faster.",
    lambda row: row.latency.p50_ms if row.latency else None,
    figure,
)
P90 = Column(
    "p90, ms",
    "One inference: 90 % are faster.",
    lambda row: row.latency.p90_ms if row.latency else None,
    figure,
)
TIMES = Column(
    "\u00d7 headline",
    "How many times as fast as the headline baseline, compared turn by turn; above 1 is faster.",
    speed_up,
    figure,
)
PEAK = Column(
    "peak, MB",
    "Most memory that a process needed for its first answer, 10⁶ bytes.",
    lambda row: row.start.peak_mb if row.start else None,
    whole,
)
START = Column(
    "start, ms", "Import, load and first inference, in a process of its own.", start_ms, whole
)
MAX_DELTA = Column(
    "max |Δscore|",
    "Largest difference of a score from the original model's.",
    lambda row: row.parity.max_abs_delta if row.parity else None,
    delta,
)
FLIPS = Column(
    "flips",
    "Inputs that are decided otherwise than by the original model.",
    lambda row: row.parity.flips if row.parity else None,
    whole,
)

COLUMNS = (
    ROW,
    Column(
        "kind",
        "exported: a file of the bundle; stock: the same network converted without our "
        "rewriting; keras: the original itself.",
        lambda row: row.kind,
    ),
    Column("engine", "What ran it.", lambda row: row.engine),
    Column("threads", "Threads for one inference.", lambda row: row.threads, whole),
    Column("precision", "Type of weights and arithmetic.", lambda row: row.precision),
    SIZE,
    P50,
    P90,
    Column(
        "p99, ms",
        "One inference: 99 % are faster.",
        lambda row: row.latency.p99_ms if row.latency else None,
        figure,
    ),
    Column(
        "max, ms",
        "The slowest inference.",
        lambda row: row.latency.max_ms if row.latency else None,
        figure,
    ),
    Column(
        "jitter, ms",
        "Distance of the 25 % and the 75 % point of the inferences.",
        lambda row: row.latency.jitter_ms if row.latency else None,
        figure,
    ),
    Column(
        "per second",
        "Inferences a second, one after the other: 1000 over their mean.",
        lambda row: 1000 / max(row.latency.mean_ms, 1e-9) if row.latency else None,
        figure,
    ),
    Column(
        "files per second",
        "From files to decisions, a whole folder with as many workers as processors.",
        lambda row: row.end_to_end.images_per_second if row.end_to_end else None,
        figure,
    ),
    TIMES,
    Column(
        "share of limit",
        "Time that one thread's arithmetic needs at best over the p50: "
        "100 % would be perfect; more threads can exceed it.",
        limit_share,
        percent,
    ),
    Column(
        "import, ms",
        "Importing the runtime and the engine, in a process of its own.",
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
        "first, ms",
        "The first inference of that process.",
        lambda row: row.start.first_ms if row.start else None,
        figure,
    ),
    PEAK,
    Column(
        "compared",
        "Inputs on which it was compared with the original model.",
        lambda row: row.parity.inputs if row.parity else None,
        whole,
    ),
    MAX_DELTA,
    Column(
        "mean |Δscore|",
        "Mean difference of the scores from the original model's.",
        lambda row: row.parity.mean_abs_delta if row.parity else None,
        delta,
    ),
    FLIPS,
    Column("outcome", "Whether it was measured; if not, why.", _verdict),
)
"""The table, from left to right."""

README_COLUMNS = (ROW, SIZE, P50, P90, TIMES, START, PEAK, MAX_DELTA, FLIPS)
"""The compact table."""
