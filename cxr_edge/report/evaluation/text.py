"""An evaluation as aligned text."""

from __future__ import annotations

from collections.abc import Iterator

from cxr_edge.metrics import Interval
from cxr_edge.metrics.evaluation import (
    CopyComparison,
    Evaluation,
    FigureComparison,
)

# Not "1.000 to 1.000", which would claim certainty.
_ALIKE = "the same in every sample"


def report_text(evaluation: Evaluation) -> str:
    """The classification report, the confusion matrix, and every figure with its interval."""
    model, data = evaluation.model, evaluation.data
    lines = [f"{model.spec.name}; {model.description}", ""]
    lines += [*_by_label(evaluation), "", *_confusion(evaluation), ""]
    lines.append(
        f"images {data.images}   patients {data.patients}   "
        f"accuracy {evaluation.accuracy:.4f}   AUC {evaluation.auc:.4f}   "
        f"loss {evaluation.loss:.4f}"
    )
    if data.unreadable:
        lines.append(f"{data.unreadable} unreadable files are not counted")
    lines += ["", *_intervals(evaluation)]
    if evaluation.baseline:
        lines += ["", *_baseline(evaluation, evaluation.baseline.comparison)]
    if evaluation.shifts:
        lines += ["", *_shifts(evaluation, evaluation.shifts)]
    if evaluation.copies:
        lines += ["", *_copies(evaluation.copies)]
    return "\n".join(lines)


def interval_text(figure: Interval) -> str:
    """``0.912 (0.880 to 0.940)``: a figure with its interval, or why it has none."""
    if figure.low == figure.high:
        return f"{figure.value:.3f} ({_ALIKE})"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def change_text(difference: Interval) -> str:
    """``-0.012 (-0.030 to +0.004)``: a difference with its interval, or why it has none."""
    # Adding 0 turns the -0.0 of a rounded tiny number into 0.0.
    value, low, high = (
        round(x, 3) + 0.0 for x in (difference.value, difference.low, difference.high)
    )
    if difference.low == difference.high:
        return f"{value:+.3f} ({_ALIKE})"
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def describe_intervals(evaluation: Evaluation) -> str:
    """One sentence that says what an interval is."""
    data = evaluation.data
    return (
        f"95 % intervals: {data.resamples} bootstrap samples of the {data.patients} patients, "
        "drawn within each label"
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
    width = max(map(len, evaluation.figures))
    yield describe_intervals(evaluation)
    notes = {"ece": f"; perfectly calibrated: {evaluation.calibration_error_floor:.3f}"}
    for name, figure in evaluation.figures.items():
        yield f"  {name:{width}}  {interval_text(figure)}{notes.get(name, '')}"


def _baseline(evaluation: Evaluation, baseline: FigureComparison) -> Iterator[str]:
    yield "compared with a logistic regression on 16 numbers of brightness and sharpness"
    yield f"  {'':11}  {'model':26}  {'baseline':26}  model minus baseline"
    for name, difference in baseline.difference.items():
        own, other = evaluation.figures[name], baseline.figures[name]
        yield (
            f"  {name:11}  {interval_text(own):26}  {interval_text(other):26}  "
            f"{change_text(difference)}"
        )


def _shifts(evaluation: Evaluation, shifts: dict[str, FigureComparison]) -> Iterator[str]:
    names = list(next(iter(shifts.values())).difference)
    width = max(map(len, ("unchanged", *shifts)))
    yield "on shifted images"
    heads = "".join(f"  {name:>11}" for name in names)
    yield f"  {'':{width}}{heads}  change of accuracy"
    own = "".join(f"  {evaluation.figures[name].value:11.3f}" for name in names)
    yield f"  {'unchanged':{width}}{own}"
    for shift, comparison in shifts.items():
        cells = "".join(f"  {comparison.figures[name].value:11.3f}" for name in names)
        yield f"  {shift:{width}}{cells}  {change_text(comparison.difference['accuracy'])}"


def _copies(copies: CopyComparison) -> Iterator[str]:
    yield (
        f"copies at another resolution: {copies.pairs} pairs, {len(copies.changed)} decided "
        f"differently, |dP| mean {copies.mean_abs_delta:.4f}, max {copies.max_abs_delta:.4f}"
    )
    yield f"  accuracy {copies.accuracy:.4f}, of the copies {copies.copy_accuracy:.4f}"
    for pair in copies.changed:
        yield f"  {pair.name}: {pair.score:.4f}, its copy {pair.copy_score:.4f}"
    if copies.unreadable:
        yield f"  {copies.unreadable} unreadable copies are not counted"


def _first_column(evaluation: Evaluation) -> int:
    return max(len("true \\ decided"), *(len(name) for name in evaluation.by_label))
