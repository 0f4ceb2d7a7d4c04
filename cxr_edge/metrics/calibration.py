"""Calibration: of the images with a score near 0.8, are about 80 % positive?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_edge.metrics.curves import Flags, Floats, as_cases, as_flags, as_scores, as_weights, ratio
from cxr_edge.metrics.intervals import Interval, Resamples, Weights, exact_at_ends, interval

BINS = 10
"""Bins of the calibration error and of the reliability diagram."""


@dataclass(frozen=True, slots=True, eq=False)
class ReliabilityBins:
    """The reliability diagram: predicted against observed frequency, bin by bin."""

    counts: npt.NDArray[np.intp]
    """(BINS,) cases."""
    scores: Floats
    """(BINS,) mean score, 0..1; NaN in an empty bin."""
    shares: Floats
    """(BINS,) share of positive cases, 0..1; NaN in an empty bin."""


def bin_index(scores: Floats, *, equal_counts: bool = False) -> npt.NDArray[np.intp]:
    """The bin of each score, 0..:data:`BINS` - 1.

    Bin k holds the scores from k / 10 to below (k + 1) / 10; a score of 1 is in the last bin. The
    edges are the float64 values nearest to the tenths. A multiple of 0.1, as ``linspace`` makes
    it, lies above .3, .6 and .7 and puts those scores one bin too low; ``floor(10 * score)``
    rounds the number just below .3 up to 3.

    Args:
        scores: (N,) 0..1.
        equal_counts: whether bins are bounded by deciles of the scores instead of by tenths.

    Raises:
        ValueError: there is no score, or one is NaN.
    """
    scores = as_scores(scores)
    edges = np.arange(1, BINS) / BINS
    if equal_counts:
        edges = np.quantile(scores, edges)
    return np.searchsorted(edges, scores, side="right")


def calibration_error(
    truth: Flags, scores: Floats, bins: npt.NDArray[np.intp], weights: Weights | None = None
) -> Floats:
    """Expected calibration error: mean distance of score and observed share over the bins.

    Naeini et al. (AAAI 2015), Guo et al. (ICML 2017); with bins of equal counts it is the adaptive
    error of Nguyen and O'Connor (EMNLP 2015). Sampling noise in the bins adds to it, so it is above
    0 for a perfectly calibrated model too: compare with :func:`calibration_error_floor`.

    Args:
        truth: (N,) whether each case is positive.
        scores: (N,) the predicted probability, 0..1.
        bins: (N,) from :func:`bin_index`.
        weights: (samples, N); None: one sample in which every case occurs once.

    Returns:
        (samples,) within 0..1; NaN in a sample without a case.

    Raises:
        ValueError: the lengths differ, a score is NaN, or there is no case.
    """
    truth, scores = as_cases(truth, scores)
    weights = as_weights(weights, len(scores))
    gaps = weights @ (np.eye(BINS)[bins] * (scores - truth)[:, np.newaxis])
    return ratio(np.abs(gaps).sum(axis=1), weights.sum(axis=1), np.nan)


def calibration_error_floor(scores: Floats, *, draws: int = 1000) -> float:
    """Mean expected calibration error of a perfectly calibrated model with these scores.

    Labels are drawn from the scores (consistency resampling, Bröcker and Smith, Weather and
    Forecasting 22:651, 2007), every image independently.
    """
    scores = as_scores(scores)
    random = np.random.default_rng(0)
    members = np.eye(BINS)[bin_index(scores)]
    errors = [
        np.abs((scores - (random.random(len(scores)) < scores)) @ members).sum()
        for _ in range(draws)
    ]
    return float(np.mean(errors) / len(scores))


def reliability_bins(truth: Flags, scores: Floats) -> ReliabilityBins:
    """Mean score and share of positives in bins of equal width.

    Args:
        truth: (N,) whether each case is positive.
        scores: (N,) the predicted probability, 0..1.
    """
    truth, scores = as_cases(truth, scores)
    members = np.eye(BINS)[bin_index(scores)]
    counts = members.sum(axis=0)
    means = ratio(scores @ members, counts, np.nan)
    shares = ratio(truth @ members, counts, np.nan)
    return ReliabilityBins(counts.astype(np.intp), means, shares)


def share_intervals(
    truth: Flags, bins: npt.NDArray[np.intp], resamples: Resamples
) -> tuple[Interval | None, ...]:
    """The share of positives in each bin with its interval; None for an empty bin.

    Args:
        truth: (N,) whether each case is positive.
        bins: (N,) from :func:`bin_index`.
        resamples: bootstrap samples of the N cases.
    """
    truth = as_flags(truth)
    members = np.eye(BINS)[bins]
    positives = members * truth[:, np.newaxis]
    blocks = [ratio(w @ positives, w @ members, np.nan) for w in resamples.weights()]
    shares = np.concatenate(blocks)
    intervals: list[Interval | None] = []
    for index in range(BINS):
        share = interval(shares[:, index])
        if share is not None:
            share = exact_at_ends(share, len(np.unique(resamples.patient_of[bins == index])))
        intervals.append(share)
    return tuple(intervals)
