"""The baseline: a logistic regression on sixteen numbers of brightness and sharpness.

A network that is no better may have learnt how a picture was taken instead of what it shows (Zech
et al., PLOS Medicine 15:e1002683, 2018; DeGrave et al., Nature Machine Intelligence 3:610, 2021).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.data.folders import Labels
from cxr_edge.extras import require
from cxr_edge.metrics import Resamples
from cxr_edge.preprocess import Image, Pixels
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation.figures import SampledFigures, compute_figures
from cxr_edge.train.evaluation.scored import Scored

STATISTICS = (
    *("mean", "standard deviation", "5th percentile", "25th", "75th", "95th"),
    *("standard deviation of the Laplacian", "mean gradient"),
    *("left border", "right border", "top border", "bottom border"),
    *("upper corners", "lower corners", "share of black", "share of white"),
)
"""The numbers of :func:`global_statistics`, in order."""

_BLACK, _WHITE = 2, 253


@dataclass(frozen=True, slots=True)
class Baseline:
    """A fitted logistic regression."""

    estimator: Any
    """A scikit-learn pipeline from statistics to P(label)."""
    spec: ModelSpec
    """The network's labels, with a threshold of 0.5."""
    images: int
    """How many images it was fitted on."""

    def score(self, pixels: Pixels, labels: Labels, resamples: Resamples) -> ScoredBaseline:
        """Score labelled images and compute the figures.

        Args:
            pixels: (N, height, width, channels) uint8, of the size it was fitted on.
            labels: (N,) the truth.
            resamples: of the N images.
        """
        table = self.estimator.predict_proba(global_statistics(pixels))
        scored = Scored.from_scores(table, labels, self.spec)
        figures = compute_figures(scored, self.spec, resamples)
        return ScoredBaseline(self.spec, self.images, scored, figures)


@dataclass(frozen=True, slots=True, eq=False)
class ScoredBaseline:
    """A baseline on the evaluated images."""

    spec: ModelSpec
    training_images: int
    """How many images it was fitted on."""
    scored: Scored
    figures: SampledFigures


def fit_baseline(pixels: Pixels, labels: Labels, spec: ModelSpec) -> Baseline:
    """Fit the baseline.

    Args:
        pixels: (N, height, width, channels) uint8, training images at the network's size.
        labels: (N,) indices into ``spec.labels``; every label occurs.
        spec: the network's.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    linear = require("sklearn.linear_model", "evaluate")
    scaler = require("sklearn.preprocessing", "evaluate").StandardScaler()
    estimator = require("sklearn.pipeline", "evaluate").make_pipeline(
        scaler, linear.LogisticRegression(max_iter=5000)
    )
    estimator.fit(global_statistics(pixels), labels)
    own = dataclasses.replace(
        spec,
        name="global-statistics baseline",
        activation="softmax",
        threshold=None if spec.threshold is None else 0.5,
        threshold_choice="fixed at 0.5",
        uncertain_band=None,
    )
    return Baseline(estimator, own, len(labels))


def global_statistics(pixels: Pixels) -> npt.NDArray[np.float64]:
    """Sixteen numbers of each image: brightness, sharpness, borders, saturation.

    Args:
        pixels: (N, height, width, channels) uint8; channels are averaged.

    Returns:
        (N, 16) in the order of :data:`STATISTICS`, grey levels as shares of 255.
    """
    return np.stack([_statistics(image) for image in pixels])


def _statistics(image: Image) -> npt.NDArray[np.float64]:
    grey = image.reshape(*image.shape[:2], -1).mean(axis=2).astype(np.float32) / 255
    rows, columns = (max(1, side // 16) for side in grey.shape)
    top, bottom, left, right = grey[:rows], grey[-rows:], grey[:, :columns], grey[:, -columns:]
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    numbers = [
        grey.mean(),
        grey.std(),
        *np.percentile(grey, (5, 25, 75, 95)),
        cv2.Laplacian(grey, cv2.CV_32F).std(),
        np.hypot(across, down).mean(),
        *(border.mean() for border in (left, right, top, bottom)),
        *((edge[:, :columns].mean() + edge[:, -columns:].mean()) / 2 for edge in (top, bottom)),
        (grey <= _BLACK / 255).mean(),
        (grey >= _WHITE / 255).mean(),
    ]
    return np.asarray(numbers, np.float64)
