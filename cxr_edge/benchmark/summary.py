"""What a benchmark found, in sentences and facts: what both ``report.html`` and ``report.md`` say.

Nothing is escaped here; whoever writes markup does that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from cxr_edge.benchmark.columns import delta, figure, speed_up, start_ms, whole
from cxr_edge.benchmark.report import Latency, MachineState, Report, Row, SuiteRow

HASH_DIGITS = 12
"""How much of a hash is shown."""


SUITE_NOTE = (
    "Each was measured after the other, not in turn with the rows above: compare within a group, "
    "and times roughly."
)
"""What to know of the suites' figures."""
SUITE_HEADS = ("group", "measured", "median, ms", "IQR, ms", "rounds")


def suite_cells(row: SuiteRow) -> tuple[str, ...]:
    """What both forms of the report show of one benchmark of the suites."""
    return (row.group, row.name, figure(row.median_ms), figure(row.iqr_ms), str(row.rounds))


def headline_row(report: Report) -> Row | None:
    """The row that the others are compared with."""
    return next((row for row in report.rows if row.name == report.headline), None)


def best_row(report: Report) -> Row | None:
    """The fastest exported row of those with the fewest changed decisions.

    Rows that were compared with the original come before others; null: none was measured.
    """

    def order(item: tuple[Row, Latency]) -> tuple[float, float]:
        row, latency = item
        return (row.parity.flips if row.parity else math.inf, latency.p50_ms)

    return min(_ours(report), key=order)[0] if _ours(report) else None


def _ours(report: Report) -> list[tuple[Row, Latency]]:
    """Exported rows that may stand beside the headline baseline: with as many threads."""
    base = headline_row(report)
    ours = [(row, row.latency) for row in report.rows if row.kind == "exported" and row.latency]
    alike = [item for item in ours if base and item[0].threads == base.threads]
    return alike or ours


def headline(report: Report) -> list[str]:
    """What a person should know first: speed and likeness, then start and memory."""
    best = best_row(report)
    if best is None:
        return ["No exported file could be measured here; the table says why."]
    return [f"{_speed(best, report)}{_likeness(best)}", *_faster(best, report), *_smallest(report)]


def _speed(best: Row, report: Report) -> str:
    base, factor = headline_row(report), speed_up(best)
    spent = figure(best.latency.p50_ms) if best.latency else "?"
    text = f"{best.name} answers in {spent} ms (median)"
    if base is None or base is best or factor is None:
        return text
    return f"{text}, {figure(factor)} times as fast as {base.name}"


def _likeness(best: Row) -> str:
    parity = best.parity
    if parity is None:
        return "; its answers were not compared with the original model's."
    if parity.flips:
        decided = f"{parity.flips:,} otherwise than the original (flips)"
    else:
        decided = "all like the original (no flips)"
    return (
        f"; of {parity.inputs:,} inputs ({parity.source}) it decides {decided}, and no score "
        f"moves by more than {delta(parity.max_abs_delta)}."
    )


def _faster(best: Row, report: Report) -> list[str]:
    """What is faster, but decides otherwise; else nothing."""
    compared = [item for item in _ours(report) if item[0].parity]
    first, latency = min(compared, key=lambda item: item[1].p50_ms, default=(best, best.latency))
    if first is best or not (latency and first.parity):
        return []
    return [
        f"{first.name} is faster ({figure(latency.p50_ms)} ms) but decides "
        f"{first.parity.flips:,} of {first.parity.inputs:,} inputs otherwise."
    ]


def _smallest(report: Report) -> list[str]:
    ours = [row for row in report.rows if row.kind == "exported"]
    starts = [(spent, row.name) for row in ours if (spent := start_ms(row)) is not None]
    peaks = [(peak, r.name) for r in ours if r.start and (peak := r.start.peak_mb) is not None]
    said = []
    if starts:
        spent, name = min(starts)
        said.append(f"the quickest first answer of a new process takes {whole(spent)} ms ({name})")
    if peaks:
        peak, name = min(peaks)
        said.append(f"the least memory is {whole(peak)} MB ({name})")
    text = "; ".join(said)
    return [f"{text[0].upper()}{text[1:]}."] if text else []


def machine_facts(report: Report) -> list[tuple[str, str]]:
    """Where and how it was measured: name and value."""
    machine, asked = report.machine, report.settings
    labels = "; ".join(f"{name} {count:,}" for name, count in (asked.labels or {}).items())
    threads = ", ".join(map(str, asked.threads))
    return [
        ("Processor", f"{machine.processor} ({machine.architecture})"),
        ("Instructions", ", ".join(machine.instructions) or "unknown"),
        ("Usable CPUs", str(machine.cpus)),
        ("Before the timing", conditions_text(report.before)),
        ("After it", conditions_text(report.after)),
        ("Images", f"{asked.images}: {asked.image_count:,} ({labels or 'unlabelled'})"),
        ("Timing", f"{asked.rounds} turns of {asked.repeats} inferences for each row; "
         f"threads {threads}; JPEGs decoded {asked.decode}"),
        ("Decision", decision_text(report)),
        ("Measured", report.created),
        ("Versions", ", ".join(f"{name} {v}" for name, v in report.versions.items()) or "unknown"),
        ("Revision", (report.revision or "not run from a checkout")[: 2 * HASH_DIGITS]),
        ("Bundle", f"{short(report.bundle_sha256)} (sha256 of its manifest)"),
        ("Files", "; ".join(f"{name} {short(sha)}" for name, sha in report.files_sha256.items())),
    ]  # fmt: skip


def conditions_text(state: MachineState) -> str:
    """The state of the machine at one moment."""
    said = []
    if state.load_average is not None:
        said.append(f"load {state.load_average:.2f}")
    if state.frequency_mhz is not None:
        said.append(f"{state.frequency_mhz:,.0f} MHz")
    if state.governor is not None:
        said.append(f"governor {state.governor}")
    if state.temperature_c is not None:
        said.append(f"{state.temperature_c:.0f} °C")
    if state.throttled is not None:
        said.append("throttled" if state.throttled else "not throttled")
    return ", ".join(said) or "this platform does not tell"


def decision_text(report: Report) -> str:
    """How a score becomes a decision."""
    if report.positive_label is None or report.threshold is None:
        return "the label with the largest score"
    return f"{report.positive_label} where its score is at least {report.threshold:.4g}"


def short(sha: str) -> str:
    """The beginning of a hash."""
    return f"{sha[:HASH_DIGITS]}…" if len(sha) > HASH_DIGITS else sha


def limit_sentences(report: Report) -> list[str]:
    """What one thread of this machine can do at best, and what the network would need then."""
    limits = report.limits
    if limits is None:
        return ["What this machine can do at best could not be measured; see the warnings."]
    said = [
        f"One thread here multiplies float32 matrices at {figure(limits.sgemm_gflops)} GFLOP/s "
        f"and copies memory at {figure(limits.copy_gb_s)} GB/s, measured in the same run."
    ]
    if limits.multiply_adds is None or limits.float32_ms is None:
        return [*said, "How many multiply-adds this network needs is not known here."]
    said.append(
        f"The unchanged network needs {limits.multiply_adds / 1e6:,.1f} million multiply-adds: "
        f"{figure(limits.float32_ms)} ms in float32 at that rate."
    )
    if limits.int8_ms is not None:
        said.append(
            f"Integer dot products (VNNI, arm64) do four times as many: {figure(limits.int8_ms)} "
            "ms in int8; without these instructions that is out of reach."
        )
    return said


def comparable(report: Report) -> Sequence[Row]:
    """Measured rows of one thread: our files, and what they are compared with.

    Where one thread was not tried, the fewest that were.
    """
    rows = [row for row in report.rows if row.latency]
    fewest = min((row.threads for row in rows), default=1)
    return [row for row in rows if row.threads == fewest]
