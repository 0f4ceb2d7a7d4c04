"""Curves, bins and histograms of an evaluation, small enough for its document."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from cxr_edge.decision import positive_scores
from cxr_edge.metrics import (
    BINS,
    Flags,
    Floats,
    Resamples,
    bin_index,
    precision_recall_curve,
    reliability_bins,
    roc_curve,
    share_intervals,
)
from cxr_edge.metrics.evaluation import (
    PrecisionRecallPoints,
    ReliabilityBin,
    RocPoints,
    ScoreHistogram,
)
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation.scored import Scored, confidence

TOLERANCE = 1e-3
"""How far a thinned curve may lie from the whole one, as a share of an axis."""
HISTOGRAM_BINS = 50
"""Bins of the score histogram."""

_DIGITS = 6


def roc_points(scored: Scored, spec: ModelSpec) -> dict[str, RocPoints]:
    """The ROC curve of the positive label; for more than two labels of each against the rest."""
    curves = {}
    for name, truth, scores in _one_against_rest(scored, spec):
        curve = roc_curve(truth, scores)
        kept = thin(curve.false_positive_rate, curve.true_positive_rate)
        curves[name] = RocPoints(
            _rounded(curve.false_positive_rate[kept]),
            _rounded(curve.true_positive_rate[kept]),
            (None, *_rounded(curve.thresholds[kept][1:])),
        )
    return curves


def precision_recall_points(scored: Scored, spec: ModelSpec) -> dict[str, PrecisionRecallPoints]:
    """The precision-recall curves of the same labels as :func:`roc_points`."""
    curves = {}
    for name, truth, scores in _one_against_rest(scored, spec):
        curve = precision_recall_curve(truth, scores)
        kept = thin(curve.recall, curve.precision)
        curves[name] = PrecisionRecallPoints(
            _rounded(curve.precision[kept]),
            _rounded(curve.recall[kept]),
            _rounded(curve.thresholds[kept]),
            float(truth.mean()),
        )
    return curves


def reliability(
    scored: Scored, spec: ModelSpec, resamples: Resamples
) -> tuple[ReliabilityBin, ...]:
    """Bins of equal width on P(positive), or on P(decision) for more than two labels."""
    truth, scores = confidence(scored, spec)
    bins = reliability_bins(truth, scores)
    shares = share_intervals(truth, bin_index(scores), resamples)
    return tuple(
        ReliabilityBin(
            low=index / BINS,
            high=(index + 1) / BINS,
            images=int(bins.counts[index]),
            score=None if share is None else float(bins.scores[index]),
            share=share,
        )
        for index, share in enumerate(shares)
    )


def score_histogram(scored: Scored, spec: ModelSpec) -> ScoreHistogram:
    """Count scores by true label, and the wrong decisions among them."""
    edges = np.arange(HISTOGRAM_BINS + 1) / HISTOGRAM_BINS
    bins = np.searchsorted(edges[1:-1], positive_scores(scored.table, spec), side="right")
    wrong = scored.decisions != scored.labels

    def count(chosen: Flags) -> tuple[int, ...]:
        return tuple(np.bincount(bins[chosen], minlength=HISTOGRAM_BINS).tolist())

    members = {name: scored.labels == index for index, name in enumerate(spec.labels)}
    return ScoreHistogram(
        tuple(edges.tolist()),
        {name: count(chosen) for name, chosen in members.items()},
        {name: count(chosen & wrong) for name, chosen in members.items()},
    )


def thin(x: Floats, y: Floats, tolerance: float = TOLERANCE) -> npt.NDArray[np.intp]:
    """Indices of the points that keep a curve's shape (Ramer, Douglas and Peucker).

    Args:
        x: (K,) at least one point.
        y: (K,)
        tolerance: no left-out point is farther from the straight line between its neighbours.

    Returns:
        Rising indices, the first and the last point among them.
    """
    kept = np.zeros(len(x), np.bool_)
    kept[[0, -1]] = True
    pending = [(0, len(x) - 1)]
    while pending:
        first, last = pending.pop()
        if last - first < 2:
            continue
        across, up = x[last] - x[first], y[last] - y[first]
        right, above = x[first + 1 : last] - x[first], y[first + 1 : last] - y[first]
        length = np.hypot(across, up)
        distance = (
            np.abs(across * above - up * right) / length if length else np.hypot(right, above)
        )
        farthest = int(distance.argmax())
        if distance[farthest] > tolerance:
            middle = first + 1 + farthest
            kept[middle] = True
            pending += [(first, middle), (middle, last)]
    return np.flatnonzero(kept)


def _one_against_rest(scored: Scored, spec: ModelSpec) -> Iterator[tuple[str, Flags, Floats]]:
    """Label, truth and score of each curve."""
    for name in spec.labels if spec.positive_label is None else (spec.positive_label,):
        index = spec.labels.index(name)
        yield name, scored.labels == index, scored.table[:, index]


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(values.round(_DIGITS).tolist())
