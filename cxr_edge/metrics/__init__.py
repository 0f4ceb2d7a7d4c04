"""Figures of merit: ROC curves, calibration, bootstrap intervals. Needs numpy only.

The modules called ``evaluation…`` are the schema of ``evaluation.json``.
"""

from cxr_edge.metrics.calibration import (
    BINS,
    ReliabilityBins,
    bin_index,
    calibration_error,
    calibration_error_floor,
    reliability_bins,
    share_intervals,
)
from cxr_edge.metrics.curves import (
    Flags,
    Floats,
    PrecisionRecallCurve,
    RankedCounts,
    RocCurve,
    average_precision,
    precision_recall_curve,
    rank_counts,
    ratio,
    roc_area,
    roc_curve,
)
from cxr_edge.metrics.intervals import (
    RESAMPLES,
    Interval,
    Resamples,
    Weights,
    exact_at_ends,
    interval,
    paired_difference,
    resample,
)

__all__ = [
    "BINS",
    "RESAMPLES",
    "Flags",
    "Floats",
    "Interval",
    "PrecisionRecallCurve",
    "RankedCounts",
    "ReliabilityBins",
    "Resamples",
    "RocCurve",
    "Weights",
    "average_precision",
    "bin_index",
    "calibration_error",
    "calibration_error_floor",
    "exact_at_ends",
    "interval",
    "paired_difference",
    "precision_recall_curve",
    "rank_counts",
    "ratio",
    "reliability_bins",
    "resample",
    "roc_area",
    "roc_curve",
    "share_intervals",
]
