"""Whether the parts of an evaluation fit together: labels, figures and counts."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from cxr_edge.errors import DataError
from cxr_edge.metrics.evaluation_parts import CHECK, check_figures

if TYPE_CHECKING:
    from cxr_edge.metrics.evaluation import Evaluation

REQUIRED_FIGURES = ("accuracy", "auc", "ece", "loss")
"""Defined for every set of images that holds each label, and no other set is evaluated."""


def check_evaluation(evaluation: Evaluation) -> None:
    """Check what no part can check alone.

    Raises:
        DataError: two parts disagree; the message names one of them.
    """
    labels = evaluation.labels
    check_figures(evaluation.figures)
    CHECK.present("figures", evaluation.figures, REQUIRED_FIGURES)
    CHECK.shares(calibration_error_floor=evaluation.calibration_error_floor)
    CHECK.same_names("by_label", evaluation.by_label, labels)
    CHECK.same_names("histogram", evaluation.histogram.by_label, labels)
    _check_confusion(evaluation)
    _check_curves(evaluation)
    _check_reliability(evaluation)
    _check_comparisons(evaluation)
    for group in evaluation.gallery or ():
        for entry in group.entries:
            CHECK.known_names(f"gallery, {group.kind}", (entry.label, entry.decision), labels)


def _check_confusion(evaluation: Evaluation) -> None:
    confusion, labels = evaluation.confusion, evaluation.labels
    if any(len(row) != len(labels) for row in (confusion, *confusion)):
        raise DataError(
            f"confusion is not square, with {len(labels)} rows of {len(labels)}, one a label"
        )
    for label, row in zip(labels, confusion, strict=True):
        if min(row) < 0:
            raise DataError(f"confusion holds {min(row)}, expected at least 0")
        support = evaluation.by_label[label].support
        if sum(row) != support:
            raise DataError(
                f"confusion counts {sum(row)} images of {label!r:.60}, by_label {support}"
            )
    total = sum(map(sum, confusion))
    if total != evaluation.data.images:
        raise DataError(f"confusion counts {total} images, data {evaluation.data.images}")


def _check_curves(evaluation: Evaluation) -> None:
    positive = evaluation.positive_label
    expected = evaluation.labels if positive is None else (positive,)
    curves: dict[str, Collection[str]] = {
        "roc": evaluation.roc,
        "precision_recall": evaluation.precision_recall,
        "baseline.roc": evaluation.baseline.roc if evaluation.baseline else (),
    }
    for name, labels in curves.items():
        if labels:  # none at all: there is no such curve
            CHECK.same_names(name, labels, expected)


def _check_reliability(evaluation: Evaluation) -> None:
    bins = evaluation.reliability
    CHECK.not_empty(reliability=bins)
    limits = [limit for each in bins for limit in (each.low, each.high)]
    CHECK.rising(reliability=limits)


def _check_comparisons(evaluation: Evaluation) -> None:
    comparisons = {f"shifts[{name!r:.60}]": c for name, c in (evaluation.shifts or {}).items()}
    if comparisons:
        first = next(iter(comparisons.values())).difference
        for name, comparison in comparisons.items():
            CHECK.same_names(f"{name}.difference", comparison.difference, first)
    if evaluation.baseline:
        comparisons["baseline"] = evaluation.baseline.comparison
    for name, comparison in comparisons.items():
        CHECK.known_names(f"{name}.difference", comparison.difference, evaluation.figures)
    copies = evaluation.copies
    if copies and copies.pairs > evaluation.data.images:
        raise DataError(f"copies has {copies.pairs} pairs of {evaluation.data.images} images")
