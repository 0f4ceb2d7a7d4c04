"""Fitting the detector of images that are none of the kind trained on."""

from __future__ import annotations

import dataclasses

import numpy as np

from cxr_edge.domain import Domain, detail, standardize
from cxr_edge.preprocess import Pixels

COMPONENTS = 20
"""Principal components kept. More, of finer images, describe inverted radiographs too: 20 of
16 x 16 pixels found all of them, 80 of 24 x 24 half, 120 of 32 x 32 an eighth."""
FALSE_ALARMS = 0.01
"""Share of validation images that may be too far."""
DETAIL_SHARE = 0.5
"""Share of the smallest detail of a training image that an image must have."""


def fit_domain(pixels: Pixels, held_pixels: Pixels) -> Domain:
    """Describe training images; set the limit on validation images.

    Args:
        pixels: (N, height, width, channels) uint8, the training images.
        held_pixels: (M, height, width, channels) uint8, the validation images.
    """
    rows, _ = standardize(pixels)
    mean = rows.mean(axis=0)
    _, singular, directions = np.linalg.svd(rows - mean, full_matrices=False)
    variances = np.square(singular) / len(rows)
    kept = min(COMPONENTS, max(1, len(variances) // 2))
    domain = Domain(  # images that are all alike differ in nothing, hence the smallest variance
        mean=mean.astype(np.float32),
        components=directions[:kept].astype(np.float32),
        variances=variances[:kept].astype(np.float32).clip(1e-6),
        residual=float(max(variances[kept:].sum() / rows.shape[1], 1e-6)),
        limit=1.0,
        least_detail=DETAIL_SHARE * float(detail(pixels).min()),
    )
    distances = domain.distances(held_pixels)
    shown = distances[np.isfinite(distances)]
    limit = np.quantile(shown, 1 - FALSE_ALARMS, method="higher") if len(shown) else 1.0
    return dataclasses.replace(domain, limit=max(float(limit), 1e-6))
