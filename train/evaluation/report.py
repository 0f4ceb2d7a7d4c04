"""An evaluation as aligned text."""

from __future__ import annotations

from collections.abc import Iterator

from cxr_edge.metrics import RESAMPLES, Interval
from cxr_edge.train.evaluation.evaluation import Comparison, Copies, Evaluation
from cxr_edge.train.evaluation.robustness import COMPARED

# Not "1.000 to 1.000", which would claim certainty.
_ALIKE = "every sample alike"


def report_text(evaluation: Evaluation) -> str:
    """The classification report, the confusion matrix, and every figure with its interval."""
    head = [evaluation.model, ""] if evaluation.model else []
    lines = [*head, *_by_label(evaluation), "", *_confusion(evaluation), ""]
    lines.append(
        f"images {evaluation.images}   patients {evaluation.patients}   "
        f"accuracy {evaluation.accuracy:.4f}   AUC {evaluation.auc:.4f}   "
        f"loss {evaluation.loss:.4f}"
    )
    if evaluation.unreadable:
        lines.append(f"{evaluation.unreadable} unreadable files are not counted")
    lines += ["", *_intervals(evaluation)]
    if evaluation.baseline:
        lines += ["", *_baseline(evaluation, evaluation.baseline)]
    if evaluation.shifts:
        lines += ["", *_shifts(evaluation, evaluation.shifts)]
    if evaluation.copies:
        lines += ["", *_copies(evaluation.copies)]
    return "\n".join(lines)


def interval_text(found: Interval) -> str:
    """``0.912 (0.880 to 0.940)``: a figure with its interval, or why it has none."""
    if found.low == found.high:
        return f"{found.value:.3f} ({_ALIKE})"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def change_text(found: Interval) -> str:
    """``-0.012 (-0.030 to +0.004)``: a difference with its interval, or why it has none."""
    # Adding 0 turns the -0.0 of a rounded tiny number into 0.0.
    value, low, high = (round(x, 3) + 0.0 for x in (found.value, found.low, found.high))
    if found.low == found.high:
        return f"{value:+.3f} ({_ALIKE})"
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def how_intervals_are_made(evaluation: Evaluation) -> str:
    """One sentence that says what an interval is."""
    return (
        f"95 % intervals: {RESAMPLES} bootstrap samples of the {evaluation.patients} patients, "
        "each label's patients drawn among themselves"
    )


def _by_label(evaluation: Evaluation) -> Iterator[str]:
    width = _first_column(evaluation)
    yield f"{'':{width}}  precision   recall       f1   images"
    for name, figures in evaluation.by_label.items():
        yield (
            f"{name:{width}}  {figures.precision:9.4f}{figures.recall:9.4f}{figures.f1:9.4f}"
            f"{figures.support:9d}"
        )


def _confusion(evaluation: Evaluation) -> Iterator[str]:
    width = _first_column(evaluation)
    columns = [max(len(name), 6) for name in evaluation.by_label]
    head = "".join(f"  {n:>{w}}" for n, w in zip(evaluation.by_label, columns, strict=True))
    yield f"{'true / decided':{width}}{head}"
    for name, row in zip(evaluation.by_label, evaluation.confusion, strict=True):
        cells = "".join(f"  {n:>{w}d}" for n, w in zip(row, columns, strict=True))
        yield f"{name:{width}}{cells}"


def _intervals(evaluation: Evaluation) -> Iterator[str]:
    width = max(map(len, evaluation.intervals))
    yield how_intervals_are_made(evaluation)
    for name, found in evaluation.intervals.items():
        note = f"; perfectly calibrated: {evaluation.calibrated_ece:.3f}" if name == "ece" else ""
        yield f"  {name:{width}}  {interval_text(found)}{note}"


def _baseline(evaluation: Evaluation, baseline: Comparison) -> Iterator[str]:
    yield "beside a logistic regression on 16 numbers of brightness and sharpness"
    yield f"  {'':11}  {'model':26}  {'baseline':26}  model minus baseline"
    for name, difference in baseline.difference.items():
        own, other = evaluation.intervals[name], baseline.intervals[name]
        yield (
            f"  {name:11}  {interval_text(own):26}  {interval_text(other):26}  "
            f"{change_text(difference)}"
        )


def _shifts(evaluation: Evaluation, shifts: dict[str, Comparison]) -> Iterator[str]:
    names = [name for name in COMPARED if name in evaluation.intervals]
    width = max(map(len, ("unchanged", *shifts)))
    yield "under shifts of the image"
    heads = "".join(f"  {name:>11}" for name in names)
    yield f"  {'':{width}}{heads}  change of accuracy"
    own = "".join(f"  {evaluation.intervals[name].value:11.3f}" for name in names)
    yield f"  {'unchanged':{width}}{own}"
    for shift, found in shifts.items():
        cells = "".join(f"  {found.intervals[name].value:11.3f}" for name in names)
        yield f"  {shift:{width}}{cells}  {change_text(found.difference['accuracy'])}"


def _copies(copies: Copies) -> Iterator[str]:
    yield (
        f"copies at another resolution: {copies.pairs} pairs, {len(copies.changed)} decided "
        f"otherwise, |dP| mean {copies.mean_abs_delta:.4f}, max {copies.max_abs_delta:.4f}"
    )
    yield f"  accuracy {copies.accuracy:.4f}, of the copies {copies.copy_accuracy:.4f}"
    for each in copies.changed:
        yield f"  {each.name}: {each.score:.4f}, its copy {each.copy_score:.4f}"
    if copies.unreadable:
        yield f"  {copies.unreadable} unreadable copies are not counted"


def _first_column(evaluation: Evaluation) -> int:
    return max(len("true \\ decided"), *(len(name) for name in evaluation.by_label))
