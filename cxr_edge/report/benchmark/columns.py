"""The columns of a benchmark's tables: the page, ``report.md`` and README take them from here."""

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
    """How many times as fast as the headline baseline a row is; None: not compared."""
    return 1 / row.of_headline if row.of_headline else None


def roofline_share(row: Row) -> float | None:
    """The roofline time as a share of a row's median; None: unknown."""
    return 1 / row.of_limit if row.of_limit else None


def start_ms(row: Row) -> float | None:
    """From the start of a process to its first answer; None: not measured."""
    start = row.start
    return start.import_ms + start.load_ms + start.first_ms if start else None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table of rows."""

    heading: str
    """With its unit."""
    definition: str
    """One sentence for a reader who does not know the figure."""
    value: Callable[[Row], str | float | None]
    """Sort key of a row; None: an empty cell."""
    write: Callable[[float], str] | None = None
    """Formats a number; None: the column holds text."""

    def cell(self, row: Row) -> str:
        """The text of a row's cell; empty where nothing was measured."""
        value = self.value(row)
        if value is None or isinstance(value, str):
            return value or ""
        return self.write(value) if self.write else str(value)


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
TIMES = Column(
    "\u00d7 headline",
    "How many times as fast as the headline baseline, compared round by round; above 1 is faster.",
    speed_up,
    figure,
)
FLIPS = Column(
    "flips",
    "Inputs on which the decision differs from the original model's.",
    lambda row: row.parity.flips if row.parity else None,
    whole,
)
COMPARED = Column(
    "compared",
    "Inputs on which the row was compared with the original model.",
    lambda row: row.parity.inputs if row.parity else None,
    whole,
)
MAX_DELTA = Column(
    "max |Δscore|",
    "Largest difference between a score and the original model's score.",
    lambda row: row.parity.max_abs_delta if row.parity else None,
    delta,
)
SIZE = Column(
    "size, kB",
    "Size of the file, in units of 1000 bytes.",
    lambda row: row.bytes / 1000 if row.bytes else None,
    whole,
)
START = Column(
    "start, ms",
    "Import, load and first inference in a fresh process.",
    start_ms,
    whole,
)
PEAK = Column(
    "peak, MB",
    "Peak memory of a fresh process up to its first answer, in units of 10⁶ bytes.",
    lambda row: row.start.peak_mb if row.start else None,
    whole,
)
OUTCOME = Column("outcome", "Whether the row was measured; if not, why.", _outcome)

COLUMNS = (
    ROW,
    P50,
    TIMES,
    FLIPS,
    COMPARED,
    MAX_DELTA,
    Column(
        "mean |Δscore|",
        "Mean difference between the scores and the original model's scores.",
        lambda row: row.parity.mean_abs_delta if row.parity else None,
        delta,
    ),
    SIZE,
    START,
    PEAK,
    Column(
        "kind",
        "exported: a file of the bundle; stock: the original network as a stock converter exports "
        "it; keras: the original network run by Keras.",
        lambda row: row.kind,
    ),
    Column("engine", "The engine that ran it.", lambda row: row.engine),
    Column("threads", "Threads for one inference.", lambda row: row.threads, whole),
    Column("precision", "Type of weights and arithmetic.", lambda row: row.precision),
    P90,
    Column(
        "p99, ms",
        "99 % of the inferences are faster.",
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
        "Interquartile range of the inference times.",
        lambda row: row.latency.jitter_ms if row.latency else None,
        figure,
    ),
    Column(
        "per second",
        "Inferences per second, one after the other: 1000 divided by their mean in ms.",
        lambda row: 1000 / max(row.latency.mean_ms, 1e-9) if row.latency else None,
        figure,
    ),
    Column(
        "files per second",
        "Image files classified per second, a whole folder with one worker per CPU.",
        lambda row: row.end_to_end.images_per_second if row.end_to_end else None,
        figure,
    ),
    Column(
        "of roofline",
        "The time that the arithmetic alone would need on one thread, as a share of the p50; "
        "100 % would be perfect.",
        roofline_share,
        percent,
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
        "first, ms",
        "The first inference of that process.",
        lambda row: row.start.first_ms if row.start else None,
        figure,
    ),
    OUTCOME,
)
"""The full table, from left to right; what most readers want comes first."""

COMPACT_COLUMNS = (ROW, SIZE, P50, P90, TIMES, START, PEAK, MAX_DELTA, FLIPS)
"""The table of docs/measured.md."""

SHORT_COLUMNS = (ROW, SIZE, P50, TIMES, MAX_DELTA, FLIPS)
"""The table of README."""

KEY_COLUMNS = (ROW, P50, P90, TIMES, FLIPS, MAX_DELTA, SIZE, START, PEAK)
"""The page's first table, of measured rows: as wide as a laptop's window."""
