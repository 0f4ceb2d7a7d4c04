"""What a benchmark measured, in sentences and facts, for both ``report.html`` and ``report.md``.

Nothing is escaped here; whoever writes markup does that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from cxr_edge.benchmark.report import Latency, MachineState, Report, Row, SuiteRow
from cxr_edge.benchmark.report_parts import LEAST_FOR_P99
from cxr_edge.report.benchmark.columns import (
    NOT_MEASURED,
    delta,
    figure,
    speed_up,
    start_ms,
    whole,
)

HASH_DIGITS = 12
"""Hexadecimal digits shown of a hash."""

SUITE_NOTE = (
    "A separate run, one benchmark after the other and not in turn with the rows above: compare "
    "within a group, and times roughly."
)
SUITE_HEADS = ("group", "measured", "median, ms", "IQR, ms", "rounds")


def suite_cells(row: SuiteRow) -> tuple[str, ...]:
    """The texts of one line of the suites' table, as :data:`SUITE_HEADS` names them."""
    return (row.group, row.name, figure(row.median_ms), figure(row.iqr_ms), str(row.rounds))


def baseline_row(report: Report) -> Row | None:
    """The stock float32 ONNX, which the others are compared with; None: not measured."""
    return next((row for row in report.rows if row.name == report.baseline), None)


def notes(report: Report) -> list[str]:
    """What the rows are compared with, and which columns are left out for want of inferences."""
    sentences = [
        f"\u00d7 float32 compares with {report.baseline}."
        if report.baseline
        else "\u00d7 float32 is not measured: the stock float32 ONNX on onnxruntime, which it "
        "compares with, did not run here (without TensorFlow: --stock)."
    ]
    latencies = [row.latency for row in report.rows if row.latency]
    if latencies and all(latency.p99_ms is None for latency in latencies):
        most = max(latency.inferences for latency in latencies)
        sentences.append(
            f"p99 is left out: {most:,} inferences for each row, and it needs {LEAST_FOR_P99}."
        )
    return sentences


def best_row(report: Report) -> Row | None:
    """The fastest exported row of those with the fewest changed decisions.

    Rows that were compared with the original come before others; None: none was measured.
    """

    def order(item: tuple[Row, Latency]) -> tuple[float, float]:
        row, latency = item
        return (row.parity.flips if row.parity else math.inf, latency.p50_ms)

    candidates = _exported(report)
    return min(candidates, key=order)[0] if candidates else None


def _exported(report: Report) -> list[tuple[Row, Latency]]:
    """Measured exported rows, where possible with as many threads as the baseline."""
    base = baseline_row(report)
    rows = [(row, row.latency) for row in report.rows if row.kind == "exported" and row.latency]
    same_threads = [item for item in rows if base and item[0].threads == base.threads]
    return same_threads or rows


def headline(report: Report) -> list[str]:
    """The verdict: speed and decisions of the best row, then of all, then start and memory."""
    best = best_row(report)
    if best is None:
        return ["No exported file could be measured here; the table says why."]
    return [_verdict(best, report), *_decisions(report), *_faster(best, report), *_start(report)]


def _verdict(best: Row, report: Report) -> str:
    base, factor = baseline_row(report), speed_up(best)
    median = figure(best.latency.p50_ms) if best.latency else "?"
    speed = f"{named(best)} runs one inference in {median} ms (median)"
    if base is not None and base is not best and factor is not None:
        speed += f", {figure(factor)} times as fast as the float32 baseline ({base.name})"
    parity = best.parity
    if parity is None:
        return f"{speed}; its scores were not compared with the original model's."
    inputs = f"{parity.inputs:,} inputs ({parity.source})"
    if parity.flips == 0:
        return f"{speed}, and makes the same decisions as the original model on {inputs}: 0 flips."
    return (
        f"{speed}, and changes {parity.flips:,} of the original model's decisions (flips) on "
        f"{inputs}."
    )


def named(row: Row) -> str:
    """An exported row in a sentence; its name has commas."""
    threads = "" if row.threads == 1 else f" with {row.threads} threads"
    return f"{row.artifact} on {row.engine}{threads}"


def _decisions(report: Report) -> list[str]:
    """Whether all exported files decide as the original does, and by how much scores move."""
    compared = [(r, r.parity) for r in report.rows if r.kind == "exported" and r.parity]
    if not compared:
        return []
    furthest, parity = max(compared, key=lambda item: item[1].max_abs_delta)
    moved = f"The largest score difference is {delta(parity.max_abs_delta)} ({named(furthest)})."
    changed = [(row, parity) for row, parity in compared if parity.flips]
    rows = f"{len(compared)} exported row{'s' if len(compared) > 1 else ''}"
    if not changed:
        same = f"All {rows} make" if len(compared) > 1 else f"The {rows} makes"
        return [f"{same} the same decisions as the original (0 flips). {moved}"]
    worst, parity = max(changed, key=lambda item: item[1].flips)
    return [
        f"{len(changed)} of {rows} change decisions, at most {parity.flips:,} of "
        f"{parity.inputs:,} ({named(worst)}). {moved}"
    ]


def _faster(best: Row, report: Report) -> list[str]:
    """A row that is faster than the best one but changes more decisions, if there is one."""
    compared = [item for item in _exported(report) if item[0].parity]
    first, latency = min(compared, key=lambda item: item[1].p50_ms, default=(best, best.latency))
    if first is best or not (latency and first.parity):
        return []
    return [
        f"{named(first)} is faster ({figure(latency.p50_ms)} ms) but changes "
        f"{first.parity.flips:,} of {first.parity.inputs:,} decisions."
    ]


def _start(report: Report) -> list[str]:
    exported = [row for row in report.rows if row.kind == "exported"]
    starts = [(total, named(row)) for row in exported if (total := start_ms(row)) is not None]
    peaks = [(mb, named(r)) for r in exported if r.start and (mb := r.start.peak_mb) is not None]
    parts = []
    if starts:
        total, name = min(starts)
        parts.append(
            f"The fastest first answer of a fresh process takes {whole(total)} ms ({name})"
        )
    if peaks:
        peak, name = min(peaks)
        start = "the" if parts else "The"
        parts.append(f"{start} smallest peak memory is {whole(peak)} MB ({name})")
    return [f"{'; '.join(parts)}."] if parts else []


def machine_facts(report: Report) -> list[tuple[str, str]]:
    """Machine, its state before and after, inputs, settings and versions: name and value."""
    machine, settings = report.machine, report.settings
    labels = ", ".join(f"{count:,} {name}" for name, count in (settings.labels or {}).items())
    threads = ", ".join(map(str, settings.threads))
    return [
        ("Date", date_text(report)),
        ("Processor", f"{machine.processor} ({machine.architecture})"),
        ("Instructions", ", ".join(machine.instructions) or "unknown"),
        ("Usable CPUs", str(machine.cpus)),
        ("System", report.platform.system if report.platform else NOT_MEASURED),
        ("Python", report.platform.python if report.platform else NOT_MEASURED),
        ("Before the timing", state_text(report.before)),
        ("After it", state_text(report.after)),
        ("Inputs", f"{settings.images}: {settings.image_count:,} ({labels or 'unlabelled'})"),
        ("Timing", f"{settings.rounds} rounds of {settings.repeats} inferences per row; "
         f"threads: {threads}; JPEG decoding: {settings.decode}"),
        ("Decision", decision_text(report)),
        ("Versions", ", ".join(f"{name} {v}" for name, v in report.versions.items()) or "unknown"),
        ("Revision", (report.revision or "not run from a checkout")[: 2 * HASH_DIGITS]),
        ("Bundle", f"{short(report.bundle_sha256)} (sha256 of its manifest)"),
        ("Files", "; ".join(f"{name} {short(sha)}" for name, sha in report.files_sha256.items())),
    ]  # fmt: skip


def date_text(report: Report) -> str:
    """When it was measured, to the minute."""
    return f"{report.created[:16].replace('T', ' ')} UTC"


def state_text(state: MachineState) -> str:
    """The state of the machine at one moment."""
    parts = []
    if state.load_average is not None:
        parts.append(f"load {state.load_average:.2f}")
    if state.frequency_mhz is not None:
        parts.append(f"{state.frequency_mhz:,.0f} MHz")
    if state.governor is not None:
        parts.append(f"governor {state.governor}")
    if state.temperature_c is not None:
        parts.append(f"{state.temperature_c:.0f} °C")
    if state.throttled is not None:
        parts.append("throttled" if state.throttled else "not throttled")
    return ", ".join(parts) or "not reported by this platform"


def decision_text(report: Report) -> str:
    """How a score becomes a decision."""
    if report.positive_label is None or report.threshold is None:
        return "the label with the largest score"
    return f"{report.positive_label} if its score is at least {report.threshold:.4g}"


def short(sha: str) -> str:
    """The beginning of a hash."""
    return f"{sha[:HASH_DIGITS]}…" if len(sha) > HASH_DIGITS else sha


def roofline_sentences(report: Report) -> list[str]:
    """What one thread of this machine can do at best, and what the network would need then."""
    roofline = report.limits
    if roofline is None:
        return ["The roofline of this machine could not be measured; see the warnings."]
    sentences = [
        f"One thread multiplies float32 matrices at {figure(roofline.sgemm_gflops)} GFLOP/s "
        f"and copies memory at {figure(roofline.copy_gb_s)} GB/s, measured in the same run."
    ]
    if roofline.multiply_adds is None or roofline.float32_ms is None:
        return [*sentences, "The number of multiply-adds of this network is unknown here."]
    sentences.append(
        f"The original network needs {roofline.multiply_adds / 1e6:,.1f} million multiply-adds: "
        f"{figure(roofline.float32_ms)} ms in float32 at that rate."
    )
    if roofline.int8_ms is not None:
        sentences.append(
            f"Integer dot products (VNNI, arm64) are four times as fast, {figure(roofline.int8_ms)}"
            " ms in int8; a CPU without them cannot reach that."
        )
    sentences.append(
        "A row above 100 % is possible: some engines multiply less (Winograd's algorithm), and a "
        "busy machine slows the matrices that the limit is taken from."
    )
    return sentences


def comparable(report: Report) -> Sequence[Row]:
    """Measured rows with one thread, or with the fewest threads that were tried."""
    rows = [row for row in report.rows if row.latency]
    fewest = min((row.threads for row in rows), default=1)
    return [row for row in rows if row.threads == fewest]
