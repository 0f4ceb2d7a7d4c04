"""The reliability diagram of a model's scores, with intervals over patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_edge.metrics import (
    BINS,
    Floats,
    Resamples,
    bin_index,
    reliability_bins,
    share_intervals,
)
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation.scored import Scored, confidence


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Predicted against observed frequency, bin by bin."""

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


def reliability(scored: Scored, spec: ModelSpec, resamples: Resamples) -> Reliability:
    """Bins of equal width on P(positive), or on P(decision) for more than two labels."""
    truth, scores = confidence(scored, spec)
    bins = reliability_bins(truth, scores)
    low, high = np.full((2, BINS), np.nan)
    for index, share in enumerate(share_intervals(truth, bin_index(scores), resamples)):
        if share is not None:
            low[index], high[index] = share.low, share.high
    return Reliability(bins.counts, bins.scores, bins.shares, low, high)
