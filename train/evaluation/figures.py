"""What the figures are: each computed at once for all images and for every bootstrap sample.

A sample gives each image a weight, how often it was drawn; every figure is a sum over weights.
"""

from __future__ import annotations

import numpy as np

from cxr_edge.metrics import (
    Flags,
    Floats,
    Resamples,
    Weights,
    bin_index,
    calibration_error,
    rank_counts,
    ratio,
    roc_area,
)
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation.scored import Scored, binary, confidence

SENSITIVITY = 0.95
"""Where on the ROC curve the specificity is read."""
CURVE_SPECIFICITY = f"specificity at sensitivity {SENSITIVITY:g}"
"""Name of that figure."""

Samples = dict[str, Floats]
"""Figure → (1 + samples,): on all images, then on each sample; NaN where it is undefined."""

# Keras clips here too before the logarithm, so that the loss equals what it prints.
_EPSILON = 1e-7


def sampled_figures(scored: Scored, spec: ModelSpec, resamples: Resamples) -> Samples:
    """Every figure on all images and on each bootstrap sample.

    For two labels, about the positive one: ``accuracy``, ``auc``, ``sensitivity``,
    ``specificity``, ``precision``, ``f1``, ``average precision`` (sum of precision times gain of
    recall), :data:`CURVE_SPECIFICITY` (interpolated on the ROC curve, so of no frozen threshold),
    ``brier`` (mean squared error of P, 0..1). For more: ``accuracy``, ``auc`` (mean of one against
    the rest), ``auc LABEL``, ``recall LABEL``, ``brier`` (summed over labels, 0..2). For both:
    ``ece`` and ``ece, equal counts``, see :mod:`.calibration`, and ``loss``.

    Args:
        scored: answers and truth of N images; every label occurs.
        spec: the positive label.
        resamples: of the same N images.
    """
    blocks = [_figures(scored, spec, weights) for weights in resamples.weights()]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _figures(scored: Scored, spec: ModelSpec, weights: Weights) -> Samples:
    total = weights.sum(axis=1)
    right = scored.decisions == scored.labels
    chosen = scored.table[np.arange(len(scored.labels)), scored.labels]
    nats = -np.log(chosen.clip(_EPSILON, 1 - _EPSILON))
    known = {"accuracy": weights @ right / total}
    if spec.positive_label is None:
        known |= _of_many(scored, spec, weights)
    else:
        known |= _of_two(*binary(scored, spec), right, weights)
    truth, scores = confidence(scored, spec)
    widths, counts = bin_index(scores), bin_index(scores, equal_counts=True)
    known["ece"] = calibration_error(truth, scores, widths, weights)
    known["ece, equal counts"] = calibration_error(truth, scores, counts, weights)
    return known | {"loss": weights @ nats / total}


def _of_two(truth: Flags, scores: Floats, right: Flags, weights: Weights) -> Samples:
    positives, negatives = weights @ truth, weights @ ~truth
    found, spared = weights @ (truth & right), weights @ (~truth & right)
    called = found + negatives - spared
    counts = rank_counts(truth, scores, weights)
    return {
        "auc": counts.roc_area(),
        "sensitivity": ratio(found, positives, np.nan),
        "specificity": ratio(spared, negatives, np.nan),
        "precision": ratio(found, called, 0.0),
        "f1": ratio(2 * found, called + positives, 0.0),
        "average precision": counts.average_precision(),
        CURVE_SPECIFICITY: counts.specificity_at(SENSITIVITY),
        "brier": weights @ (scores - truth) ** 2 / weights.sum(axis=1),
    }


def _of_many(scored: Scored, spec: ModelSpec, weights: Weights) -> Samples:
    columns = {name: (scored.labels == i, scored.table[:, i]) for i, name in enumerate(spec.labels)}
    areas = {n: roc_area(truth, p, weights) for n, (truth, p) in columns.items()}
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
