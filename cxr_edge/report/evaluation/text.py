"""An evaluation as aligned text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cxr_edge.metrics import Interval
from cxr_edge.metrics.evaluation import (
    BaselineComparison,
    CopyComparison,
    Evaluation,
    FigureComparison,
    ModelSource,
    SeriesFigures,
    Spread,
)
from cxr_edge.metrics.evaluation_sources import spread_meaning
from cxr_edge.report.text_tables import Cell, Column, table_lines

# Not "1.000 to 1.000", which would claim certainty.
_ALIKE = "the same in every sample"


class Section(NamedTuple):
    """A sentence or two, then perhaps a table."""

    text: str
    """One line or several; empty: only the table."""
    columns: Sequence[Column] = ()
    rows: Sequence[Sequence[Cell]] = ()

    def lines(self) -> list[str]:
        """The section as plain text."""
        text = self.text.splitlines()
        return [*text, *table_lines(self.columns, self.rows)] if self.rows else text


def report_text(evaluation: Evaluation) -> str:
    """The classification report, the confusion matrix, and every figure with its interval."""
    return "\n\n".join("\n".join(section.lines()) for section in report_sections(evaluation))


def report_sections(evaluation: Evaluation) -> Iterator[Section]:
    """The parts of :func:`report_text`, for a terminal to lay out."""
    model, data = evaluation.model, evaluation.data
    yield Section(f"{model.spec.name}; {model.description}")
    if reason := evaluation.why_useless:
        yield Section(f"of no use: {reason}")
    yield _by_label(evaluation)
    if evaluation.by_series:
        yield _by_series(evaluation.by_series)
    yield _confusion(evaluation)
    patients = "" if data.patients == data.images else f"patients {data.patients}   "
    counts = (
        f"images {data.images}   {patients}"
        f"accuracy {evaluation.accuracy:.4f}   AUC {evaluation.auc:.4f}   "
        f"loss {evaluation.loss:.4f}"
    )
    if data.unreadable:
        counts += f"\n{_not_counted(data.unreadable, 'file')}"
    yield Section(counts)
    yield _intervals(evaluation)
    if evaluation.baseline:
        yield _baseline(evaluation, evaluation.baseline)
    if evaluation.shifts:
        yield _shifts(evaluation, evaluation.shifts)
    if evaluation.copies:
        yield Section(_copies(evaluation.copies))


def spread_section(models: Sequence[ModelSource], spreads: dict[str, Spread]) -> Section:
    """Every run's figures, their mean and their standard deviation, and what that means.

    Args:
        models: at least two.
        spreads: figure → its values over these models.
    """
    runs = next(iter(spreads.values())).runs
    values = {run: [figure.runs[run] for figure in spreads.values()] for run in runs}
    values["mean"] = [figure.mean for figure in spreads.values()]
    values["standard deviation"] = [figure.standard_deviation for figure in spreads.values()]
    rows = [(name, *(f"{value:.4f}" for value in row)) for name, row in values.items()]
    heading = f"{len(models)} models; their standard deviation is {spread_meaning(models)}"
    return Section(heading, [Column(), *_numbers(*spreads)], rows)


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
    units = "images" if data.patients == data.images else "patients"
    return (
        f"95 % intervals: {data.resamples} bootstrap samples of the {data.patients} {units}, "
        "drawn within each label"
    )


def _not_counted(count: int, noun: str, plural: str = "") -> str:
    if count == 1:
        return f"1 unreadable {noun} is not counted"
    return f"{count} unreadable {plural or noun + 's'} are not counted"


def _numbers(*titles: str) -> list[Column]:
    return [Column(title, align="right") for title in titles]


def _by_label(evaluation: Evaluation) -> Section:
    rows = [
        (name, f"{f.precision:.4f}", f"{f.recall:.4f}", f"{f.f1:.4f}", str(f.support))
        for name, f in evaluation.by_label.items()
    ]
    return Section("", [Column(), *_numbers("precision", "recall", "f1", "images")], rows)


def _by_series(by_series: dict[str, SeriesFigures]) -> Section:
    rows = [
        (name, interval_text(series.accuracy), str(series.images), str(series.patients))
        for name, series in by_series.items()
    ]
    columns = [Column("series"), Column("decided right"), *_numbers("images", "patients")]
    return Section("", columns, rows)


def _confusion(evaluation: Evaluation) -> Section:
    rows = [
        (name, *map(str, row))
        for name, row in zip(evaluation.by_label, evaluation.confusion, strict=True)
    ]
    return Section("", [Column("true / decided"), *_numbers(*evaluation.by_label)], rows)


def _intervals(evaluation: Evaluation) -> Section:
    notes = {"ece": f"; perfectly calibrated: {evaluation.calibration_error_floor:.3f}"}
    rows = [
        (name, f"{interval_text(figure)}{notes.get(name, '')}")
        for name, figure in evaluation.figures.items()
    ]
    return Section(describe_intervals(evaluation), [Column(), Column()], rows)


def _baseline(evaluation: Evaluation, compared: BaselineComparison) -> Section:
    baseline = compared.comparison
    rows = [
        (
            name,
            interval_text(evaluation.figures[name]),
            interval_text(baseline.figures[name]),
            change_text(difference),
        )
        for name, difference in baseline.difference.items()
    ]
    titles = ("", "model", "baseline", "model minus baseline")
    text = "compared with a logistic regression on 16 numbers of brightness and sharpness"
    if compared.explained is not None:
        text += (
            f"\nthese numbers explain {compared.explained:.1%} of the variance of the model's "
            "logits within a label"
        )
    return Section(
        text,
        [Column(title) for title in titles],
        rows,
    )


def _shifts(evaluation: Evaluation, shifts: dict[str, FigureComparison]) -> Section:
    names = list(next(iter(shifts.values())).difference)
    rows = [("unchanged", *(f"{evaluation.figures[name].value:.3f}" for name in names), "")]
    for shift, comparison in shifts.items():
        cells = (f"{comparison.figures[name].value:.3f}" for name in names)
        rows.append((shift, *cells, change_text(comparison.difference["accuracy"])))
    columns = [Column(), *_numbers(*names), Column("change of accuracy")]
    return Section("on shifted images", columns, rows)


def _copies(copies: CopyComparison) -> str:
    lines = [
        f"copies at another resolution: {copies.pairs} pairs, {len(copies.changed)} decided "
        f"differently, |dP| mean {copies.mean_abs_delta:.4f}, max {copies.max_abs_delta:.4f}",
        f"  accuracy {copies.accuracy:.4f}, of the copies {copies.copy_accuracy:.4f}",
    ]
    lines += [
        f"  {pair.name}: {pair.score:.4f}, its copy {pair.copy_score:.4f}"
        for pair in copies.changed
    ]
    if copies.unreadable:
        lines.append(f"  {_not_counted(copies.unreadable, 'copy', 'copies')}")
    return "\n".join(lines)
