"""Figures of a model, each computed at once for all images and for every bootstrap sample.

A sample gives each image a weight, how often it was drawn; every figure is a sum over weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr_edge.data.folders import Labels
from cxr_edge.metrics import (
    Flags,
    Floats,
    Interval,
    Resamples,
    Weights,
    bin_index,
    calibration_error,
    exact_at_ends,
    interval,
    paired_difference,
    rank_counts,
    ratio,
    resample,
    roc_area,
)
from cxr_edge.metrics.evaluation import CURVE_SPECIFICITY, SENSITIVITY, SeriesFigures
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation.scored import Scored, binary, confidence

COMPARED = ("accuracy", "auc", "sensitivity", "specificity")
"""Figures that are compared with a baseline's and under shifts, those that the labels have."""

Samples = dict[str, Floats]
"""Figure → (1 + samples,): on all images, then on each sample; NaN where it is undefined."""

# Keras clips here too before the logarithm, so that the loss equals what it prints.
_EPSILON = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class SampledFigures:
    """Every figure of a model on one set of images."""

    samples: Samples
    """On all images and on each bootstrap sample, for paired differences."""
    intervals: dict[str, Interval]
    """With intervals; without the figures that are undefined."""


def resample_labelled(labels: Labels, patients: Sequence[str] = ()) -> Resamples:
    """Bootstrap samples of labelled images: whole patients, drawn within each label.

    Args:
        labels: (N,) the truth.
        patients: key of each image's patient; empty: every image is another patient's.
    """
    return resample(patients or [str(i) for i in range(len(labels))], strata=labels)


NO_SERIES = "(none)"
"""What the images of no series are listed under, beside those of some."""


def compute_figures(scored: Scored, spec: ModelSpec, resamples: Resamples) -> SampledFigures:
    """Compute every figure with its interval.

    For two labels, about the positive one: ``accuracy``, ``auc``, ``sensitivity``,
    ``specificity``, ``precision``, ``f1``, ``average precision`` (sum of precision times gain of
    recall), :data:`CURVE_SPECIFICITY` (interpolated on the ROC curve, so of no frozen threshold),
    ``brier`` (mean squared error of P, 0..1). For more: ``accuracy``, ``auc`` (mean of one against
    the rest), ``auc LABEL``, ``recall LABEL``, ``brier`` (summed over labels, 0..2). For both:
    ``ece`` and ``ece, equal counts``, see :mod:`cxr_edge.metrics.calibration`, and ``loss`` (mean
    cross-entropy, natural logarithm, probabilities clipped at 1e-7).

    Args:
        scored: scores and truth of N images; every label occurs.
        spec: the positive label.
        resamples: of the same N images.
    """
    blocks = [_figures(scored, spec, weights) for weights in resamples.weights()]
    samples = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    units = _units(scored, spec, resamples)
    intervals = {}
    for name, values in samples.items():
        if (figure := interval(values)) is not None:
            intervals[name] = exact_at_ends(figure, units[name]) if name in units else figure
    return SampledFigures(samples, intervals)


def compute_series(
    scored: Scored, series: Sequence[str], resamples: Resamples
) -> dict[str, SeriesFigures]:
    """Accuracy of each series with its interval.

    Args:
        scored: decisions and truth of N images.
        series: of each of the N images. Those of an empty name are together :data:`NO_SERIES`,
            unless all are.
        resamples: of the same N images.
    """
    if not any(series):
        return {}
    names = np.array([name or NO_SERIES for name in series])
    right = scored.decisions == scored.labels
    figures = {}
    for name in np.unique(names):
        members = names == name
        blocks = [
            ratio(weights @ (members & right), weights @ members, np.nan)
            for weights in resamples.weights()
        ]
        patients = len(np.unique(resamples.patient_of[members]))
        share = interval(np.concatenate(blocks))
        if share is not None:
            accuracy = exact_at_ends(share, patients)
            figures[str(name)] = SeriesFigures(int(members.sum()), patients, accuracy)
    return figures


def figure_differences(first: SampledFigures, second: SampledFigures) -> dict[str, Interval]:
    """``second - first`` of the figures in :data:`COMPARED`, paired over patients."""
    differences = {
        name: paired_difference(first.samples[name], second.samples[name])
        for name in COMPARED
        if name in first.samples
    }
    return {name: change for name, change in differences.items() if change is not None}


def _units(scored: Scored, spec: ModelSpec, resamples: Resamples) -> dict[str, int]:
    """How many patients each share of images is taken over; shares without images left out."""

    def patients(chosen: Flags) -> int:
        return len(np.unique(resamples.patient_of[chosen]))

    units = {"accuracy": resamples.patients}
    if spec.positive_label is None:
        named = enumerate(spec.labels)
        units |= {f"recall {name}": patients(scored.labels == i) for i, name in named}
    else:
        positive = spec.labels.index(spec.positive_label)
        units["sensitivity"] = patients(scored.labels == positive)
        units["specificity"] = patients(scored.labels != positive)
        units["precision"] = patients(scored.decisions == positive)
    return {name: count for name, count in units.items() if count}


def _figures(scored: Scored, spec: ModelSpec, weights: Weights) -> Samples:
    total = weights.sum(axis=1)
    right = scored.decisions == scored.labels
    chosen = scored.table[np.arange(len(scored.labels)), scored.labels]
    nats = -np.log(chosen.clip(_EPSILON, 1 - _EPSILON))
    figures = {"accuracy": weights @ right / total}
    if spec.positive_label is None:
        figures |= _of_many(scored, spec, weights)
    else:
        figures |= _of_two(*binary(scored, spec), right, weights)
    truth, scores = confidence(scored, spec)
    widths, counts = bin_index(scores), bin_index(scores, equal_counts=True)
    figures["ece"] = calibration_error(truth, scores, widths, weights)
    figures["ece, equal counts"] = calibration_error(truth, scores, counts, weights)
    return figures | {"loss": weights @ nats / total}


def _of_two(truth: Flags, scores: Floats, right: Flags, weights: Weights) -> Samples:
    positives, negatives = weights @ truth, weights @ ~truth
    true_positives, true_negatives = weights @ (truth & right), weights @ (~truth & right)
    decided = true_positives + negatives - true_negatives
    counts = rank_counts(truth, scores, weights)
    return {
        "auc": counts.roc_area(),
        "sensitivity": ratio(true_positives, positives, np.nan),
        "specificity": ratio(true_negatives, negatives, np.nan),
        "precision": ratio(true_positives, decided, 0.0),
        "f1": ratio(2 * true_positives, decided + positives, 0.0),
        "average precision": counts.average_precision(),
        CURVE_SPECIFICITY: counts.specificity_at(SENSITIVITY),
        "brier": weights @ (scores - truth) ** 2 / weights.sum(axis=1),
    }


def _of_many(scored: Scored, spec: ModelSpec, weights: Weights) -> Samples:
    columns = {name: (scored.labels == i, scored.table[:, i]) for i, name in enumerate(spec.labels)}
    areas = {name: roc_area(truth, p, weights) for name, (truth, p) in columns.items()}
    right = scored.decisions == scored.labels
    errors = (scored.table - np.eye(len(spec.labels))[scored.labels]) ** 2
    return {
        "auc": np.mean(list(areas.values()), axis=0),
        **{f"auc {name}": area for name, area in areas.items()},
        **{
            f"recall {name}": ratio(weights @ (truth & right), weights @ truth, np.nan)
            for name, (truth, _) in columns.items()
        },
        "brier": weights @ errors.sum(axis=1) / weights.sum(axis=1),
    }
