"""ROC and precision-recall curves, and what is read from them; tied scores form one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from cxr_edge.metrics.intervals import Weights

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def as_cases(truth: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Flags, Floats]:
    """Convert truth and scores to the types that every figure is computed with.

    Args:
        truth: (N,) whether each case is positive: booleans, or 0 and 1.
        scores: (N,) numbers of any type.

    Raises:
        ValueError: there is no case, the lengths differ, a truth is neither 0 nor 1, or a score is
            NaN.
    """
    flags, scores = as_flags(truth), as_scores(scores)
    if len(flags) != len(scores):
        raise ValueError(f"{len(flags)} truths for {len(scores)} scores")
    return flags, scores


def as_flags(truth: npt.ArrayLike) -> Flags:
    """Convert truth: (N,) booleans, or 0 and 1.

    Raises:
        ValueError: there is no case, or a truth is neither 0 nor 1.
    """
    values = np.asarray(truth)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"truth has the shape {values.shape}, expected (N,) with N at least 1")
    if values.dtype != np.bool_ and not np.isin(values, (0, 1)).all():
        raise ValueError("truth holds other values than 0 and 1")
    return values.astype(np.bool_, copy=False)


def as_scores(scores: npt.ArrayLike) -> Floats:
    """Convert scores: (N,) numbers of any type.

    Raises:
        ValueError: there is none, or one is NaN.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"scores have the shape {values.shape}, expected (N,) with N at least 1")
    if np.isnan(values).any():
        raise ValueError(f"{int(np.isnan(values).sum())} of {len(values)} scores are NaN")
    return values


def as_weights(weights: npt.ArrayLike | None, count: int) -> Weights:
    """Convert weights of ``count`` cases: (samples, count); None: one sample of every case once.

    Raises:
        ValueError: they have another shape.
    """
    values = np.ones((1, count)) if weights is None else np.asarray(weights, np.float64)
    if values.ndim != 2 or values.shape[1] != count:
        raise ValueError(f"weights have the shape {values.shape}, expected (samples, {count})")
    return values


@dataclass(frozen=True, slots=True, eq=False)
class RocCurve:
    """Points of a ROC curve, from (0, 0) to (1, 1); K different scores give K + 1 points."""

    false_positive_rate: Floats
    """(K + 1,) share of the negatives with a score of at least the threshold, rising."""
    true_positive_rate: Floats
    """(K + 1,) share of the positives with a score of at least the threshold, rising."""
    thresholds: Floats
    """(K + 1,) falling; the first is infinity, at which nothing is positive."""


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecallCurve:
    """Points of a precision-recall curve, one for each of K different scores."""

    precision: Floats
    """(K,) share of positives among the cases with a score of at least the threshold."""
    recall: Floats
    """(K,) share of the positives with a score of at least the threshold, rising to 1."""
    thresholds: Floats
    """(K,) falling."""


@dataclass(frozen=True, slots=True, eq=False)
class RankedCounts:
    """Cases counted from the highest score down, once for each bootstrap sample.

    A figure of a sample without a positive or without a negative case is NaN.
    """

    thresholds: Floats
    """(K,) the different scores, falling."""
    true_positives: Floats
    """(samples, K) weight of the positive cases with a score of at least the threshold."""
    false_positives: Floats
    """(samples, K) weight of the negative cases with a score of at least the threshold."""

    def roc_area(self) -> Floats:
        """(samples,) probability that a positive case scores higher; a tie counts half."""
        gained = np.diff(self.true_positives, axis=1, prepend=0.0)
        tied = np.diff(self.false_positives, axis=1, prepend=0.0)
        positives, negatives = self.true_positives[:, -1], self.false_positives[:, -1]
        below = negatives[:, np.newaxis] - self.false_positives + tied / 2
        return ratio((gained * below).sum(axis=1), positives * negatives, np.nan)

    def average_precision(self) -> Floats:
        """(samples,) sum over thresholds of precision times gain in recall."""
        gained = np.diff(self.true_positives, axis=1, prepend=0.0)
        precision = ratio(self.true_positives, self.true_positives + self.false_positives, 0.0)
        return ratio((gained * precision).sum(axis=1), self.true_positives[:, -1], np.nan)

    def specificity_at(self, sensitivity: float) -> Floats:
        """(samples,) specificity where the ROC curve, interpolated, reaches a sensitivity."""
        origin = np.zeros((len(self.true_positives), 1))
        true = np.concatenate([origin, self.true_positives], axis=1)
        false = np.concatenate([origin, self.false_positives], axis=1)
        wanted = sensitivity * true[:, -1]
        # The slack: 0.95 * 20 images may be 19.000000000000004 of them.
        reached = (true >= wanted[:, np.newaxis] - 1e-9).argmax(axis=1)
        rows, before = np.arange(len(true)), np.maximum(reached - 1, 0)
        step = ratio(wanted - true[rows, before], true[rows, reached] - true[rows, before], 0.0)
        alarms = false[rows, before] + step * (false[rows, reached] - false[rows, before])
        negatives = np.where(true[:, -1] > 0, false[:, -1], 0.0)
        return 1 - ratio(alarms, negatives, np.nan)


def rank_counts(truth: Flags, scores: Floats, weights: Weights | None = None) -> RankedCounts:
    """Sort once, count for every bootstrap sample.

    Args:
        truth: (N,) whether each case is positive; N is at least 1.
        scores: (N,) higher: more likely positive.
        weights: (samples, N); None: one sample in which every case occurs once.

    Raises:
        ValueError: see :func:`as_cases`.
    """
    truth, scores = as_cases(truth, scores)
    weights = as_weights(weights, len(truth))
    order = np.argsort(-scores, kind="stable")
    thresholds, starts = np.unique(-scores[order], return_index=True)
    sorted_weights, sorted_truth = weights[:, order], truth[order]
    true = np.add.reduceat(sorted_weights * sorted_truth, starts, axis=1)
    false = np.add.reduceat(sorted_weights * ~sorted_truth, starts, axis=1)
    return RankedCounts(-thresholds, true.cumsum(axis=1), false.cumsum(axis=1))


def roc_curve(truth: Flags, scores: Floats) -> RocCurve:
    """The ROC curve with a point for each different score.

    Args:
        truth: (N,) whether each case is positive; both kinds occur.
        scores: (N,) higher: more likely positive.

    Raises:
        ValueError: all cases are positive, or none is; or see :func:`as_cases`.
    """
    truth, scores = as_cases(truth, scores)
    if truth.all() or not truth.any():
        raise ValueError("a ROC curve needs positive and negative cases")
    counts = rank_counts(truth, scores)
    true, false = (
        np.concatenate([[0.0], counted[0] / counted[0, -1]])
        for counted in (counts.true_positives, counts.false_positives)
    )
    return RocCurve(false, true, np.concatenate([[np.inf], counts.thresholds]))


def precision_recall_curve(truth: Flags, scores: Floats) -> PrecisionRecallCurve:
    """The precision-recall curve with a point for each different score.

    Args:
        truth: (N,) whether each case is positive; at least one is.
        scores: (N,) higher: more likely positive.

    Raises:
        ValueError: no case is positive; or see :func:`as_cases`.
    """
    truth, scores = as_cases(truth, scores)
    if not truth.any():
        raise ValueError("a precision-recall curve needs positive cases")
    counts = rank_counts(truth, scores)
    true, false = counts.true_positives[0], counts.false_positives[0]
    return PrecisionRecallCurve(true / (true + false), true / true[-1], counts.thresholds)


@overload
def roc_area(truth: Flags, scores: Floats, weights: None = None) -> float: ...
@overload
def roc_area(truth: Flags, scores: Floats, weights: Weights) -> Floats: ...
def roc_area(truth: Flags, scores: Floats, weights: Weights | None = None) -> float | Floats:
    """Area under the ROC curve: how often a positive case outranks a negative one, ties half.

    Args:
        truth: (N,) whether each case is positive.
        scores: (N,) higher: more likely positive.
        weights: (samples, N) how often each bootstrap sample holds each case; None: once each.

    Returns:
        The area, or with weights (samples,) areas; NaN where one kind of case is missing.
    """
    areas = rank_counts(truth, scores, weights).roc_area()
    return float(areas[0]) if weights is None else areas


def average_precision(truth: Flags, scores: Floats) -> float:
    """Sum over thresholds of precision times gain in recall; NaN without a positive case."""
    return float(rank_counts(truth, scores).average_precision()[0])


def ratio(part: Floats, whole: Floats, otherwise: float) -> Floats:
    """``part / whole``, and ``otherwise`` where the whole is 0."""
    filled = np.full(np.broadcast_shapes(part.shape, whole.shape), otherwise)
    divided: Floats = np.divide(part, whole, out=filled, where=whole != 0)
    return divided
