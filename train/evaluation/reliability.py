"""Calibration: does what a model calls 80 % come true in 80 % of the images?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_edge.metrics import Resamples, Weights, exact_at_ends, interval
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation.scored import Floats, Scored, Truth, confidence, ratio

BINS = 10
"""Bins of the calibration error and of the reliability diagram."""


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Scores against what came true, bin by bin: the reliability diagram."""

    counts: npt.NDArray[np.intp]
    """(bins,) images."""
    scores: Floats
    """(bins,) mean score, 0..1; NaN in an empty bin."""
    shares: Floats
    """(bins,) share of images for which it came true, 0..1; NaN in an empty bin."""
    low: Floats
    """(bins,) lower end of the share's 95 % interval."""
    high: Floats
    """(bins,) its upper end."""


def bin_of(scores: Floats, *, equal_counts: bool = False) -> npt.NDArray[np.intp]:
    """Bin of each score, 0..:data:`BINS` - 1: of equal widths on 0..1, or of equal counts."""
    edges = np.linspace(0, 1, BINS + 1)
    if equal_counts:
        edges = np.quantile(scores, edges)
    return np.searchsorted(edges[1:-1], scores, side="right")


def calibration_error(
    truth: Truth, scores: Floats, bins: npt.NDArray[np.intp], weights: Weights
) -> Floats:
    """Expected calibration error: mean distance of score and share over the images' bins.

    Naeini et al. (AAAI 2015), Guo et al. (ICML 2017); with bins of equal counts it is the adaptive
    one of Nguyen and O'Connor (EMNLP 2015). Noise in the bins adds to it, so that it is above 0
    for a perfect model too: compare with :func:`calibrated_error`.

    Args:
        truth: (N,) what came true.
        scores: (N,) what was said, 0..1.
        bins: (N,) from :func:`bin_of`.
        weights: (samples, N).

    Returns:
        (samples,) within 0..1.
    """
    gaps = weights @ (np.eye(BINS)[bins] * (scores - truth)[:, np.newaxis])
    error: Floats = np.abs(gaps).sum(axis=1) / weights.sum(axis=1)
    return error


def calibrated_error(scores: Floats, draws: int = 1000) -> float:
    """The mean expected calibration error that these scores would show if they were exactly true.

    Truth is drawn from the scores (consistency resampling, Bröcker and Smith, Weather and
    Forecasting 22:651, 2007), as if every image were another patient's.
    """
    random = np.random.default_rng(0)
    members = np.eye(BINS)[bin_of(scores)]
    errors = [
        np.abs((scores - (random.random(len(scores)) < scores)) @ members).sum()
        for _ in range(draws)
    ]
    return float(np.mean(errors) / len(scores))


def reliability(scored: Scored, spec: ModelSpec, resamples: Resamples) -> Reliability:
    """Bins of equal width on P(positive), or on P(decision) for more than two labels."""
    truth, scores = confidence(scored, spec)
    members = np.eye(BINS)[bin_of(scores)]
    counts = members.sum(axis=0)
    parts = []
    for weights in resamples.weights():
        images = weights @ members
        parts.append(ratio(weights @ (members * truth[:, np.newaxis]), images, np.nan))
    shares = np.concatenate(parts)
    low, high = np.full((2, BINS), np.nan)
    for index in np.flatnonzero(counts):
        units = len(np.unique(resamples.patient_of[members[:, index] > 0]))
        found = interval(shares[:, index])
        assert found is not None  # noqa: S101 - the bin holds images
        found = exact_at_ends(found, units)
        low[index], high[index] = found.low, found.high
    means = ratio(members.T @ scores, counts, np.nan)
    return Reliability(counts.astype(np.intp), means, shares[0], low, high)
