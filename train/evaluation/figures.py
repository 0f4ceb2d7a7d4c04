"""What the figures are: each computed at once for all images and for every bootstrap sample.

A sample gives each image a weight, how often it was drawn; every figure is a sum over weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cxr_edge.metrics import Resamples, Weights
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation.reliability import bin_of, calibration_error
from cxr_edge.train.evaluation.scored import Floats, Scored, Truth, binary, confidence, ratio

SENSITIVITY = 0.95
"""Where on the ROC curve the specificity is read."""
CURVE_SPECIFICITY = f"specificity at sensitivity {SENSITIVITY:g}"
"""Name of that figure."""

Samples = dict[str, Floats]
"""Figure → (1 + samples,): on all images, then on each sample; NaN where it is undefined."""

# Keras clips here too before the logarithm, so that the loss equals what it prints.
_EPSILON = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """How often each decision rule "score of at least ``scores[k]``" is right."""

    scores: Floats
    """(K,) different scores, falling."""
    true: Floats
    """(samples, K) weight of true cases that the rule calls positive."""
    false: Floats
    """(samples, K) weight of false cases that it calls positive."""


def sampled_figures(scored: Scored, spec: ModelSpec, resamples: Resamples) -> Samples:
    """Every figure on all images and on each bootstrap sample.

    For two labels, about the positive one: ``accuracy``, ``auc``, ``sensitivity``,
    ``specificity``, ``precision``, ``f1``, ``average precision`` (sum of precision times gain of
    recall), :data:`CURVE_SPECIFICITY` (interpolated on the ROC curve, so of no frozen threshold),
    ``brier`` (mean squared error of P, 0..1). For more: ``accuracy``, ``auc`` (mean of one against
    the rest), ``auc LABEL``, ``recall LABEL``, ``brier`` (summed over labels, 0..2). For both:
    ``ece`` and ``ece, equal counts``, see :mod:`.reliability`, and ``loss``.

    Args:
        scored: answers and truth of N images; every label occurs.
        spec: the positive label.
        resamples: of the same N images.
    """
    blocks = [_figures(scored, spec, weights) for weights in resamples.weights()]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def curve(truth: Truth, scores: Floats, weights: Weights) -> Curve:
    """Count true and false cases from the highest score down; equal scores count together.

    Args:
        truth: (N,) whether each case is true.
        scores: (N,) higher: rather true.
        weights: (samples, N).
    """
    order = np.argsort(-scores, kind="stable")
    different, starts = np.unique(-scores[order], return_index=True)
    sorted_weights, sorted_truth = weights[:, order], truth[order]
    true = np.add.reduceat(sorted_weights * sorted_truth, starts, axis=1)
    false = np.add.reduceat(sorted_weights * ~sorted_truth, starts, axis=1)
    return Curve(-different, true.cumsum(axis=1), false.cumsum(axis=1))


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
    widths, counts = bin_of(scores), bin_of(scores, equal_counts=True)
    known["ece"] = calibration_error(truth, scores, widths, weights)
    known["ece, equal counts"] = calibration_error(truth, scores, counts, weights)
    return known | {"loss": weights @ nats / total}


def _of_two(truth: Truth, scores: Floats, right: Truth, weights: Weights) -> Samples:
    positives, negatives = weights @ truth, weights @ ~truth
    found, spared = weights @ (truth & right), weights @ (~truth & right)
    called = found + negatives - spared
    counted = curve(truth, scores, weights)
    return {
        "auc": _area(counted),
        "sensitivity": ratio(found, positives, np.nan),
        "specificity": ratio(spared, negatives, np.nan),
        "precision": ratio(found, called, 0.0),
        "f1": ratio(2 * found, called + positives, 0.0),
        "average precision": _average_precision(counted),
        CURVE_SPECIFICITY: _specificity_at(counted, SENSITIVITY),
        "brier": weights @ (scores - truth) ** 2 / weights.sum(axis=1),
    }


def _of_many(scored: Scored, spec: ModelSpec, weights: Weights) -> Samples:
    columns = {name: (scored.labels == i, scored.table[:, i]) for i, name in enumerate(spec.labels)}
    areas = {n: _area(curve(truth, p, weights)) for n, (truth, p) in columns.items()}
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


def _area(counted: Curve) -> Floats:
    """The share of pairs of a true and a false case in which the true one scores higher."""
    gained = np.diff(counted.true, axis=1, prepend=0.0)
    tied = np.diff(counted.false, axis=1, prepend=0.0)
    positives, negatives = counted.true[:, -1], counted.false[:, -1]
    below = negatives[:, np.newaxis] - counted.false + tied / 2
    return ratio((gained * below).sum(axis=1), positives * negatives, np.nan)


def _average_precision(counted: Curve) -> Floats:
    gained = np.diff(counted.true, axis=1, prepend=0.0)
    precision = ratio(counted.true, counted.true + counted.false, 0.0)
    return ratio((gained * precision).sum(axis=1), counted.true[:, -1], np.nan)


def _specificity_at(counted: Curve, sensitivity: float) -> Floats:
    """Specificity where the ROC curve, a line between its points, reaches a sensitivity."""
    start = np.zeros((len(counted.true), 1))
    true, false = (np.concatenate([start, part], axis=1) for part in (counted.true, counted.false))
    wanted = sensitivity * true[:, -1]
    # The slack: 0.95 * 20 images may be 19.000000000000004 of them.
    reached = (true >= wanted[:, np.newaxis] - 1e-9).argmax(axis=1)
    rows, before = np.arange(len(true)), np.maximum(reached - 1, 0)
    step = ratio(wanted - true[rows, before], true[rows, reached] - true[rows, before], 0.0)
    alarms = false[rows, before] + step * (false[rows, reached] - false[rows, before])
    defined = np.where(true[:, -1] > 0, false[:, -1], 0.0)
    return 1 - ratio(alarms, defined, np.nan)
