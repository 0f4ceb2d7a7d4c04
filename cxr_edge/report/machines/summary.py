"""What several runs show, in sentences and facts. Nothing is escaped here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from cxr_edge.benchmark.report import Report
from cxr_edge.report.benchmark.columns import NOT_MEASURED, OUTCOME, figure
from cxr_edge.report.benchmark.summary import (
    best_row,
    machine_facts,
    named,
    notes,
    short,
)
from cxr_edge.report.machines.merge import Run, SideBySide

_SAME_SCORES = 1e-4
"""Scores of one network on one image differ by less between machines."""
_DOT_PRODUCTS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


def title(merged: SideBySide) -> str:
    """The heading; it says so where the bundles differ."""
    number, models = len(merged.runs), dict.fromkeys(run.report.model for run in merged.runs)
    kind = "runs of one machine" if merged.one_machine else "machines"
    if not merged.one_bundle:
        return f"Benchmarks of {number} runs: DIFFERENT BUNDLES"
    return f"Benchmark of {' and '.join(models)}: {number} {kind}"


def verdict(merged: SideBySide) -> list[str]:
    """The fastest row of each run that changes the fewest decisions; then how the runs compare."""
    sentences = [_best_sentence(run) for run in merged.runs]
    first = best_row(merged.runs[0].report)
    row = next((row for row in merged.rows if first and row.rows[0] is first), None)
    if row is None:
        return sentences
    for place, run in enumerate(merged.runs[1:], 1):
        if ratio := row.ratio(place):
            sentences.append(
                f"{run.letter} takes {figure(ratio)} times the time of A for {row.name}."
            )
    return sentences


def _best_sentence(run: Run) -> str:
    best = best_row(run.report)
    if best is None or best.latency is None:
        return f"{run.title}: no exported file could be measured."
    if best.parity is None:
        decisions = "not compared with the original"
    else:
        flips, inputs = best.parity.flips, best.parity.inputs
        decisions = f"{flips:,} flip{'s' if flips != 1 else ''} of {inputs:,}"
    return f"{run.title}: {named(best)}, {figure(best.latency.p50_ms)} ms (median), {decisions}."


def differences(merged: SideBySide) -> list[str]:
    """What makes the runs less comparable, the gravest first."""
    runs = merged.runs
    sentences = [*_bundles(merged)]
    for what, of, consequence in _SETTINGS:
        if text := _different(what, of, runs):
            sentences.append(f"{text}: {consequence}")
    if not _different("inputs", _inputs_text, runs):
        sentences += _other_images(merged)
    return sentences


def _bundles(merged: SideBySide) -> Iterator[str]:
    if merged.one_bundle:
        return
    hashes = ", ".join(
        f"{run.letter} {short(run.report.bundle_sha256)} ({run.report.model})"
        for run in merged.runs
    )
    yield (
        f"DIFFERENT BUNDLES (sha256 of the manifest): {hashes}; times of a file are compared only "
        "where the file is the same"
    )


def _different(what: str, of: Callable[[Report], str], runs: Sequence[Run]) -> str:
    """Names a setting of each run where they differ; else empty."""
    values = [of(run.report) for run in runs]
    if len(set(values)) == 1:
        return ""
    listed = "; ".join(f"{run.letter} {value}" for run, value in zip(runs, values, strict=True))
    return f"{what} differ: {listed}"


def _inputs_text(report: Report) -> str:
    settings = report.settings
    labels = ", ".join(f"{count:,} {name}" for name, count in (settings.labels or {}).items())
    return f"{settings.images}, {settings.image_count:,} ({labels or 'unlabelled'})"


def _timing_text(report: Report) -> str:
    return f"{report.settings.rounds} x {report.settings.repeats} inferences"


_SETTINGS: tuple[tuple[str, Callable[[Report], str], str], ...] = (
    ("inputs", _inputs_text, "flips and score differences are of different images"),
    ("JPEG decoding settings", lambda r: r.settings.decode, "images/s do not compare"),
    ("timings", _timing_text, "percentiles rest on different numbers of inferences"),
    ("baselines", lambda r: r.baseline or NOT_MEASURED, "ratios to them do not compare"),
)
"""What should be the same, of a report, and what it means where it is not."""


def _other_images(merged: SideBySide) -> Iterator[str]:
    """Images of one description may still be others: then the original's scores differ."""
    if not merged.one_bundle:
        return
    first, *others = merged.runs
    for run in others:
        pair = _original_scores(first.report), _original_scores(run.report)
        if all(scores is not None for scores in pair) and not _alike(*pair):
            yield (
                f"A and {run.letter} describe their inputs alike, but the original model's scores "
                "on them differ: other images, or in another order"
            )


def _original_scores(report: Report) -> Sequence[float] | None:
    return next((answers.original for answers in report.answers), None)


def _alike(one: Sequence[float] | None, other: Sequence[float] | None) -> bool:
    if one is None or other is None or len(one) != len(other):
        return False
    return bool(np.allclose(one, other, rtol=0, atol=_SAME_SCORES))


def warnings(merged: SideBySide) -> list[str]:
    """What each run's own report warns of."""
    return [f"{run.letter}: {text}" for run in merged.runs for text in run.report.warnings]


def run_notes(merged: SideBySide) -> list[str]:
    """What the ratios compare with, and which columns are left out, by run."""
    texts: dict[str, list[str]] = {}
    for run in merged.runs:
        for text in notes(run.report):
            texts.setdefault(text, []).append(run.letter)
    everyone = len(merged.runs)
    return [
        text if len(letters) == everyone else f"{' and '.join(letters)}: {text}"
        for text, letters in texts.items()
    ]


def problems(merged: SideBySide) -> list[tuple[str, str]]:
    """Rows that were not measured in a run, or only in part: run and row, and why."""
    return [
        (f"{run.letter}, {row.name}", OUTCOME.cell(row))
        for run in merged.runs
        for row in run.report.rows
        if row.outcome != "measured" or row.problems
    ]


def facts(merged: SideBySide) -> list[tuple[str, list[str]]]:
    """What each machine is, its state, and how it was measured: name and a value for each run."""
    by_run = [_facts(run) for run in merged.runs]
    names = [name for name, _ in by_run[0]]
    return [(name, [pairs[place][1] for pairs in by_run]) for place, name in enumerate(names)]


def _facts(run: Run) -> list[tuple[str, str]]:
    instructions = run.report.machine.instructions
    products = [name for name in instructions if name in _DOT_PRODUCTS]
    return [
        ("Label", run.report.label or "none"),
        ("File", run.file),
        ("8-bit dot products", ", ".join(products) or "none known"),
        *machine_facts(run.report),
        ("Command", run.report.command),
    ]
