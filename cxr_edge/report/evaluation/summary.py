"""Sentences, tables and definitions of an evaluation's page, in terms of its own labels."""

from __future__ import annotations

from datetime import datetime

from cxr_edge.metrics import Interval
from cxr_edge.metrics.evaluation import (
    CURVE_SPECIFICITY,
    Evaluation,
    FigureComparison,
    ImageSource,
    Origin,
    SeriesFigures,
)
from cxr_edge.report.evaluation.text import change_text, interval_text
from cxr_edge.report.tables import Cell, Heading, Table, TableRow

BASELINE = "a logistic regression on 16 numbers of brightness and sharpness"

_DEFINITIONS = {
    "accuracy": "Share of right decisions.",
    "auc": "Area under the ROC curve: how often an image of the label scores higher than another "
    "label's.",
    "sensitivity": "Share of positive images that are found, at the model's threshold.",
    "specificity": "Share of negative images correctly called negative, at the model's threshold.",
    "precision": "Share of positive decisions that are right.",
    "f1": "Harmonic mean of precision and sensitivity.",
    "average precision": "Area under the precision-recall curve, by steps.",
    CURVE_SPECIFICITY: "Read on the ROC curve of these images, not at the model's threshold.",
    "brier": "Mean squared error of the probabilities; lower is better.",
    "ece": "Expected calibration error, 10 bins of equal width; lower is better.",
    "ece, equal counts": "Expected calibration error, 10 bins of equal counts; lower is better.",
    "loss": "Mean cross-entropy, nats; lower is better.",
}


_NAMES = {"auc": "AUC", "f1": "F1", "brier": "Brier score", "ece": "ECE"}


def figure_name(figure: str) -> str:
    """A figure as a table writes it, such as ``AUC daisy`` for ``auc daisy``."""
    for name, written in _NAMES.items():
        if figure == name or figure.startswith((f"{name} ", f"{name},")):
            return written + figure.removeprefix(name)
    return figure


def counted(count: int, noun: str, plural: str) -> str:
    """A number with its noun: ``1 copy``, ``2 copies``."""
    return f"{count:,} {noun if count == 1 else plural}"


def score_name(evaluation: Evaluation) -> str:
    """What the scores are."""
    label = evaluation.positive_label
    return f"P({label})" if label else "P(decision)"


def definition(figure: str) -> str:
    """What a figure is; empty for an unknown one."""
    for prefix, text in (
        ("auc ", "Area under the ROC curve of this label against the rest."),
        ("recall ", "Share of the label's images that are decided as the label."),
    ):
        if figure.startswith(prefix):
            return text
    return _DEFINITIONS.get(figure, "")


def verdict(evaluation: Evaluation) -> list[str]:
    """What a reader should know first: how good, on what, and against what."""
    figures = evaluation.figures
    reason = evaluation.why_useless
    sentences = [
        *([f"This model is of no use: {reason}."] if reason else []),
        f"{_percent(evaluation.accuracy)} of {images_text(evaluation.data)} are classified "
        f"correctly ({_range(figures['accuracy'], percent=True)}); AUC {_number(figures['auc'])}.",
        _mistakes(evaluation),
    ]
    if evaluation.baseline:
        comparison = evaluation.baseline.comparison
        difference = comparison.difference.get("accuracy")
        own = comparison.figures["accuracy"].value
        sentence = f"The baseline, {BASELINE}, classifies {_percent(own)} correctly"
        if difference:
            sentence += f": the model is {_gain(difference)}"
        sentences.append(f"{sentence}.")
        explained = evaluation.baseline.explained
        if explained is not None:
            sentences.append(
                f"Within a label, those 16 numbers explain {_percent(explained)} of the variance "
                "of the model's logits: the less, the less it depends on how an image was taken."
            )
    return sentences


def _mistakes(evaluation: Evaluation) -> str:
    """What is confused with what."""
    positive = evaluation.positive_label
    if positive:
        other = next(label for label in evaluation.labels if label != positive)
        of_positive, of_other = (evaluation.by_label[label].recall for label in (positive, other))
        return (
            f"{_percent(1 - of_positive)} of the {positive} images are missed; "
            f"{_percent(1 - of_other)} of the {other} images are called {positive}."
        )
    weakest = min(evaluation.labels, key=lambda label: evaluation.by_label[label].recall)
    recall = evaluation.by_label[weakest].recall
    return f"The weakest label is {weakest}: {_percent(recall)} of its images are right."


def _gain(difference: Interval) -> str:
    points = 100 * difference.value
    word = "better" if points >= 0 else "worse"
    low, high = sorted((100 * difference.low, 100 * difference.high))
    return f"{abs(points):.1f} points {word} (95 % {low:+.1f} to {high:+.1f})"


def _range(figure: Interval, *, percent: bool = False) -> str:
    if percent:
        return f"95 % interval {100 * figure.low:.1f} to {100 * figure.high:.1f}\u00a0%"
    return f"{figure.low:.3f} to {figure.high:.3f}"


def _number(figure: Interval) -> str:
    return f"{figure.value:.3f} ({_range(figure)})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\u00a0%"


def images_text(data: ImageSource) -> str:
    """How many images, and of how many patients where several are of one."""
    images = f"{data.images:,} images"
    return images if data.patients == data.images else f"{images} of {data.patients:,} patients"


def interval_note(data: ImageSource) -> str:
    """One sentence that says what an interval is."""
    units = "images" if data.patients == data.images else "patients"
    return (
        f"Intervals are 95 %: {data.resamples:,} bootstrap samples of the {data.patients:,} "
        f"{units}, drawn within each label."
    )


def date_text(origin: Origin) -> str:
    """The date as a person writes it; as it stands where it is no ISO 8601 date."""
    try:
        made = datetime.fromisoformat(origin.created)
    except ValueError:
        return origin.created
    return f"{made:%d %B %Y, %H:%M} UTC".lstrip("0")


def facts(evaluation: Evaluation, origin: Origin) -> list[tuple[str, str]]:
    """Model, data, threshold and versions."""
    spec, data = evaluation.model.spec, evaluation.data
    pairs = [
        ("model", f"{spec.name}; {evaluation.model.description}"),
        ("labels", ", ".join(spec.labels)),
        ("images", f"{data.name}: {images_text(data)}"),
    ]
    if data.unreadable:
        pairs.append(("unreadable", f"{data.unreadable:,} files, not counted"))
    if spec.threshold is not None:
        chosen = f"{spec.threshold:.4g} on P({spec.positive_label}); {spec.threshold_choice}"
        pairs.append(("threshold", chosen))
    if spec.uncertain_band:
        low, high = spec.uncertain_band
        pairs.append(("called uncertain", f"scores from {low:.3g} to {high:.3g}"))
    if evaluation.baseline:
        fitted = f"{BASELINE}, fitted on {evaluation.baseline.training_images:,} images"
        pairs.append(("baseline", fitted))
    pairs.append(("made", date_text(origin)))
    pairs.append(("with", ", ".join(f"{name} {v}" for name, v in origin.versions.items())))
    return pairs


def figures_table(evaluation: Evaluation) -> Table:
    """Every figure with its interval, beside the baseline's."""
    comparison = evaluation.baseline.comparison if evaluation.baseline else None
    headings = [Heading("figure"), Heading("model (95 % interval)")]
    if comparison:
        headings += [
            Heading("baseline", f"The baseline is {BASELINE}."),
            Heading("model minus baseline", "Paired on the same images."),
        ]
    headings.append(Heading("what it is"))
    rows = []
    for name, figure in evaluation.figures.items():
        cells = [Cell(figure_name(name), name), Cell(interval_text(figure), figure.value)]
        if comparison:
            cells += _comparison_cells(comparison, name)
        cells.append(Cell(definition(name), name, "long"))
        rows.append(TableRow(tuple(cells)))
    return Table(headings, rows, "Figures with intervals")


def _comparison_cells(comparison: FigureComparison, name: str) -> list[Cell]:
    other, difference = comparison.figures.get(name), comparison.difference.get(name)
    return [
        Cell(interval_text(other), other.value) if other else Cell(""),
        Cell(change_text(difference), difference.value) if difference else Cell(""),
    ]


def label_table(evaluation: Evaluation) -> Table:
    """Precision, recall and F1 of each label."""
    headings = [
        Heading("label"),
        Heading("images", "How many have this label.", numeric=True),
        Heading("recall", "Share of them that are decided as this label.", numeric=True),
        Heading("precision", "Share of decisions for this label that are right.", numeric=True),
        Heading("F1", "Harmonic mean of the two.", numeric=True),
    ]
    rows = [
        TableRow(
            (
                Cell(label, label),
                Cell(f"{figures.support:,}", figures.support),
                *(
                    Cell(f"{value:.3f}", value)
                    for value in (figures.recall, figures.precision, figures.f1)
                ),
            )
        )
        for label, figures in evaluation.by_label.items()
    ]
    return Table(headings, rows, "Figures by label")


def series_table(by_series: dict[str, SeriesFigures]) -> Table:
    """Accuracy of each series."""
    headings = [
        Heading("series", "Images that were numbered together."),
        Heading("images", numeric=True),
        Heading("patients", numeric=True),
        Heading("decided right (95 % interval)", "For a series of one label: its recall."),
    ]
    rows = [
        TableRow(
            (
                Cell(name, name),
                Cell(f"{series.images:,}", series.images),
                Cell(f"{series.patients:,}", series.patients),
                Cell(interval_text(series.accuracy), series.accuracy.value),
            )
        )
        for name, series in by_series.items()
    ]
    return Table(headings, rows, "Accuracy by series")


def shift_table(evaluation: Evaluation, shifts: dict[str, FigureComparison]) -> Table:
    """Figures under each shift."""
    names = list(next(iter(shifts.values())).difference)
    headings = [
        Heading("shift"),
        *(Heading(figure_name(name), definition(name), numeric=True) for name in names),
        Heading("change of accuracy (95 % interval)", "Shifted minus unchanged, paired."),
    ]
    unchanged = [evaluation.figures[name].value for name in names]
    rows = [
        TableRow(
            (
                Cell("unchanged", "unchanged"),
                *(Cell(f"{value:.3f}", value) for value in unchanged),
                Cell(""),
            ),
            "best",
        )
    ]
    for shift, comparison in shifts.items():
        values = [comparison.figures[name].value for name in names]
        change = comparison.difference["accuracy"]
        rows.append(
            TableRow(
                (
                    Cell(shift, shift),
                    *(Cell(f"{value:.3f}", value) for value in values),
                    Cell(change_text(change), change.value),
                )
            )
        )
    return Table(headings, rows, "Figures on shifted images")
