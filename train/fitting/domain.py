"""Fits the out-of-domain detector: which images are unlike the training images."""

from __future__ import annotations

import dataclasses

import numpy as np

from cxr_edge.domain import Domain, detail, standardize
from cxr_edge.preprocess import Pixels

COMPONENTS = 20
"""Principal components kept. More of them, on finer images, also describe inverted radiographs:
20 on 16 x 16 pixels detected all of those, 80 on 24 x 24 half, 120 on 32 x 32 an eighth."""
FALSE_ALARMS = 0.01
"""Share of the validation images that may be flagged."""
DETAIL_SHARE = 0.5
"""Detail that an image must have, as a share of the least detailed training image's."""


def fit_domain(pixels: Pixels, validation_pixels: Pixels) -> Domain:
    """Fit principal components on the training images, and the limit on validation images.

    Args:
        pixels: (N, height, width, channels) uint8, the training images.
        validation_pixels: (M, height, width, channels) uint8, the validation images.
    """
    rows, _ = standardize(pixels)
    mean = rows.mean(axis=0)
    _, singular, directions = np.linalg.svd(rows - mean, full_matrices=False)
    variances = np.square(singular) / len(rows)
    count = min(COMPONENTS, max(1, len(variances) // 2))
    domain = Domain(  # identical images have no variance, hence the lower bounds
        mean=mean.astype(np.float32),
        components=directions[:count].astype(np.float32),
        variances=variances[:count].astype(np.float32).clip(1e-6),
        residual=float(max(variances[count:].sum() / rows.shape[1], 1e-6)),
        limit=1.0,
        least_detail=DETAIL_SHARE * float(detail(pixels).min()),
    )
    distances = domain.distances(validation_pixels)
    finite = distances[np.isfinite(distances)]
    limit = np.quantile(finite, 1 - FALSE_ALARMS, method="higher") if len(finite) else 1.0
    return dataclasses.replace(domain, limit=max(float(limit), 1e-6))
