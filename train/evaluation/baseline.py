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
from cxr_edge.train.evaluation.scored import Scored, binary

STATISTICS = (
    *("mean", "standard deviation", "5th percentile", "25th", "75th", "95th"),
    *("standard deviation of the Laplacian", "mean gradient"),
    *("left border", "right border", "top border", "bottom border"),
    *("upper corners", "lower corners", "share of black", "share of white"),
)
"""The numbers of :func:`global_statistics`, in order."""

_BLACK, _WHITE = 2, 253
_FEWEST_EXPLAINED = 50  # images of a label: five folds of 16 coefficients need that many
_EPSILON = 1e-7


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
        statistics = global_statistics(pixels)
        table = self.estimator.predict_proba(statistics)
        scored = Scored.from_scores(table, labels, self.spec)
        figures = compute_figures(scored, self.spec, resamples)
        return ScoredBaseline(self.spec, self.images, statistics, scored, figures)


@dataclass(frozen=True, slots=True, eq=False)
class ScoredBaseline:
    """A baseline on the evaluated images."""

    spec: ModelSpec
    training_images: int
    """How many images it was fitted on."""
    statistics: npt.NDArray[np.float64]
    """(N, 16) of the evaluated images, see :func:`global_statistics`."""
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


def explained_share(
    scored: Scored, statistics: npt.NDArray[np.float64], spec: ModelSpec
) -> float | None:
    """How much of a network's opinion within a label the statistics predict.

    Logits, less the mean of their label, are predicted for each fifth of the images by a ridge
    regression on the rest. A network that looks at the lungs has little to do with brightness among
    images of one label; one that has learnt how pictures were taken has.

    Args:
        scored: of N images.
        statistics: (N, 16).
        spec: two labels, of which one is positive.

    Returns:
        Share of the variance of the logits within labels, at least 0; None for more than two labels
        or fewer than 50 images of a label.
    """
    if spec.positive_label is None or np.bincount(scored.labels).min() < _FEWEST_EXPLAINED:
        return None
    linear = require("sklearn.linear_model", "evaluate")
    selection = require("sklearn.model_selection", "evaluate")
    scaler = require("sklearn.preprocessing", "evaluate").StandardScaler()
    scores = binary(scored, spec)[1].clip(_EPSILON, 1 - _EPSILON)
    logits = np.log(scores / (1 - scores))
    for label in np.unique(scored.labels):
        logits[scored.labels == label] -= logits[scored.labels == label].mean()
    folds = selection.StratifiedKFold(5, shuffle=True, random_state=0)
    model = require("sklearn.pipeline", "evaluate").make_pipeline(scaler, linear.Ridge(1.0))
    predicted = np.zeros(len(logits))
    for fitted, held_out in folds.split(statistics, scored.labels):
        model.fit(statistics[fitted], logits[fitted])
        predicted[held_out] = model.predict(statistics[held_out])
    left = float(np.square(logits - predicted).sum() / max(np.square(logits).sum(), _EPSILON))
    return max(0.0, 1 - left)


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
