"""One page that a person reads: self-contained HTML without scripts, links or anything fetched."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from cxr_edge.report.html import facts, notice
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation.document import (
    CURVE_SPECIFICITY,
    CopyComparison,
    Evaluation,
    FigureComparison,
    SeedsDocument,
)
from cxr_edge.train.evaluation.text import change_text, describe_intervals, interval_text
from cxr_edge.train.markup import document, picture, small, table

CAPTIONS = {
    "confusion": "Look at the two cells off the diagonal: which mistake is more frequent?",
    "roc": "Look at how far the curve stays above the baseline's, and whether the working point "
    "lies where the use needs it.",
    "precision-recall": "Look at how precision falls as more cases are found; it depends on the "
    "share of positives among these images.",
    "reliability": "Below the diagonal the probability is too high, above it too low; bins with "
    "few images say little.",
    "histogram": "Look for scores heaped at the threshold, and for a second heap on the wrong side "
    "of it.",
    "shifts": "Look for rows far left of the dotted line: what this network does not bear.",
    "copies": "Every point off the diagonal is an image whose score depends on its resolution.",
    "gallery": "Look at what the wrong images share: the lungs, or borders, letters and exposure?",
}
"""Picture → the sentence below it."""

MEANINGS = {
    "accuracy": "share of right decisions",
    "auc": "how often a positive image outranks a negative one",
    "sensitivity": "share of positive images found",
    "specificity": "share of negative images left alone",
    "precision": "share of positive decisions that are right",
    "f1": "harmonic mean of precision and sensitivity",
    "average precision": "area below the precision-recall curve, by steps",
    CURVE_SPECIFICITY: "read on the ROC curve; not that of the threshold",
    "brier": "mean squared error of the probability; lower is better",
    "ece": "expected calibration error, 10 bins of equal width; lower is better",
    "ece, equal counts": "the same with 10 bins of equal counts",
    "loss": "mean cross-entropy, nats; lower is better",
}
"""Figure → what it means."""


def evaluation_page(evaluation: Evaluation, part: str, plots: dict[str, bytes]) -> bytes:
    """The page of one model.

    Args:
        evaluation: its figures.
        part: what the images are called.
        plots: picture, a key of :data:`CAPTIONS` → PNG, in order; they are embedded.

    Returns:
        A UTF-8 HTML document.
    """
    shown = {name: picture(name, data, CAPTIONS[name]) for name, data in plots.items()}
    body = [*_about(evaluation, part), *_figures(evaluation)]
    if evaluation.baseline:
        body += _baseline(evaluation, evaluation.baseline.comparison)
    body.append("<h2>Decisions and scores</h2>")
    body += [shown[n] for n in shown if n not in ("shifts", "copies", "gallery")]
    if evaluation.shifts:
        body += [*_shifts(evaluation, evaluation.shifts), shown.get("shifts", "")]
    if evaluation.copies:
        body += [*_copies(evaluation.copies), shown.get("copies", "")]
    body += ["<h2>Images</h2>", shown.get("gallery", "")]
    return document(f"{evaluation.model.spec.name}: {part}", body)


def spread_page(seeds: SeedsDocument) -> bytes:
    """The page above those of several models: each one's figures, mean and standard deviation."""
    figures, models, part = seeds.figures, seeds.models, seeds.data.name
    runs = list(next(iter(figures.values())).runs)
    rows = [[run, *(f"{each.runs[run]:.4f}" for each in figures.values())] for run in runs]
    rows.append(["mean", *(f"{each.mean:.4f}" for each in figures.values())])
    deviations = (f"{each.standard_deviation:.4f}" for each in figures.values())
    rows.append(["standard deviation", *deviations])
    origins = [
        (run, f"{model.description}; {_decision(model.spec)}") for run, model in models.items()
    ]
    body = [
        notice(),
        f"<p>{len(models)} models on the same {seeds.data.images:,} images of {escape(part)}. The "
        "sample standard deviation says how much of a figure is luck of the training's seed; how "
        "much is luck of these images, the intervals on each page say, in the folder of its name."
        "</p>",
        table(["run", *figures], rows),
        "<h2>What the runs are</h2>",
        facts(origins),
    ]
    return document(f"{part}: {len(models)} models", body)


def _about(evaluation: Evaluation, part: str) -> Iterator[str]:
    spec, data = evaluation.model.spec, evaluation.data
    colours = "grey" if spec.input.channels == 1 else "RGB"
    geometry = f"{spec.input.width} x {spec.input.height} pixels, {colours}"
    labels = ", ".join(f"{n} {f.support:,}" for n, f in evaluation.by_label.items())
    known = {
        "Model": spec.name,
        "File": evaluation.model.description,
        "Input": f"{geometry}, {spec.input.geometry}, {spec.input.interpolation}",
        "Decision": _decision(spec),
        "Images": f"{part}: {data.images:,} of {data.patients:,} patients ({labels})",
    }
    if data.unreadable:
        known["Left out"] = f"{data.unreadable:,} unreadable files"
    yield notice()
    yield facts(known.items())


def _figures(evaluation: Evaluation) -> Iterator[str]:
    yield "<h2>Figures</h2>"
    rows = [
        [_figure_name(name), interval_text(found), MEANINGS.get(name, "")]
        for name, found in evaluation.figures.items()
    ]
    yield table(["figure", "value (95 % interval)", "meaning"], rows)
    yield small(
        f"{describe_intervals(evaluation)}; exact binomial ones over patients where a share "
        "is 0 or 1. A specificity at a sensitivity is read on the ROC curve, between its points: "
        "it is no figure of the frozen threshold. A perfectly calibrated model with these scores "
        f"would show an ECE of {evaluation.calibration_error_floor:.3f}, from noise in the bins; "
        "an interval of the ECE shares that upward bias."
    )
    names = list(evaluation.by_label)
    rows = [
        [name, f"{f.precision:.3f}", f"{f.recall:.3f}", f"{f.f1:.3f}", f"{f.support:,}"]
        for name, f in evaluation.by_label.items()
    ]
    yield table(["label", "precision", "recall", "F1", "images"], rows)
    counts = [
        [name, *(f"{n:,}" for n in row)]
        for name, row in zip(names, evaluation.confusion, strict=True)
    ]
    yield table(["true \\ decided", *names], counts)


def _baseline(evaluation: Evaluation, baseline: FigureComparison) -> Iterator[str]:
    yield "<h2>Beside a baseline that sees no anatomy</h2>"
    rows = [
        [
            _figure_name(name),
            interval_text(evaluation.figures[name]),
            interval_text(baseline.figures[name]),
            change_text(difference),
        ]
        for name, difference in baseline.difference.items()
    ]
    yield table(["figure", "model", "baseline", "model minus baseline"], rows)
    yield small(
        "The baseline is a logistic regression on sixteen numbers of the whole image: brightness, "
        "sharpness, borders, saturation. What it gets right needs no look at the lungs; a model "
        "that is hardly better may have learnt how pictures were taken. It decides at 0.5."
    )


def _shifts(evaluation: Evaluation, shifts: dict[str, FigureComparison]) -> Iterator[str]:
    names = list(next(iter(shifts.values())).difference)
    yield "<h2>As other machines would have delivered the images</h2>"
    own = [f"{evaluation.figures[name].value:.3f}" for name in names]
    rows = [["unchanged", *own, ""]]
    for shift, found in shifts.items():
        cells = [f"{found.figures[name].value:.3f}" for name in names]
        rows.append([shift, *cells, change_text(found.difference["accuracy"])])
    heads = ["shift", *map(_figure_name, names), "change of accuracy"]
    yield table(heads, rows)


def _copies(copies: CopyComparison) -> Iterator[str]:
    yield "<h2>The same images at another resolution</h2>"
    yield (
        f"<p>{copies.pairs:,} images, {len(copies.changed):,} decided otherwise; |dP| "
        f"{copies.mean_abs_delta:.4f} in the mean, {copies.max_abs_delta:.4f} at most. Accuracy "
        f"{copies.accuracy:.4f}, of the copies {copies.copy_accuracy:.4f}.</p>"
    )
    if copies.changed:
        rows = [[c.name, f"{c.score:.4f}", f"{c.copy_score:.4f}"] for c in copies.changed]
        yield table(["decided otherwise", "score", "of its copy"], rows)


def _decision(spec: ModelSpec) -> str:
    if spec.positive_label is None:
        return f"the label with the largest of {len(spec.labels)} probabilities"
    return (
        f"{spec.positive_label} where its probability is at least {spec.threshold:.4g} "
        f"({spec.threshold_choice})"
    )


def _figure_name(name: str) -> str:
    return {"auc": "AUC", "f1": "F1", "ece": "ECE", "brier": "Brier score"}.get(
        name, name.replace("ece,", "ECE,")
    )
