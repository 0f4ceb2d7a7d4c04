"""After training: calibrated scores, decision threshold and uncertainty band, from validation.

All three are chosen on groups of equal weight: the validation images, the block of the lowest
numbers, and shifted copies of both, because a network is more confident on images taken like those
that it learnt from than on others.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.data.folders import Labels
from cxr_edge.extras import require, require_keras
from cxr_edge.preprocess import Pixels, normalize
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation.shifts import shifted
from cxr_edge.train.fitting.held_out import HeldOut
from cxr_edge.train.settings import Target

keras = require_keras("train")

_PARTS = ("the images of held-out patients", "of those with the lowest numbers")

Logits = npt.NDArray[np.float64]
"""(N,): input of the last layer's sigmoid; (N, labels): of its softmax."""

_BATCH_SIZE = 64
_ROUNDING = 1e-9


Group = tuple[Logits, Labels]
"""(K, N) or (K, N, labels) logits of K versions of the same N images, and their (N,) labels."""


def calibrate(network: Any, parts: Sequence[HeldOut], spec: ModelSpec, target: Target) -> ModelSpec:
    """Bake a temperature and an offset into the last layer, and choose the decision rule.

    A softmax gets a temperature alone: its labels have no threshold and no band.

    Args:
        network: a ``keras.Model`` whose last layer is a Dense sigmoid or softmax; its weights are
            changed.
        parts: images of patients that it was not trained on, in one part or several.
        spec: labels and activation.
        target: recall that the threshold must reach, and error rate outside the band.

    Returns:
        The spec with the threshold, how it was chosen, and the uncertainty band.
    """
    groups: list[Group] = []
    for part in parts:
        copies = [_logits(network, images, spec) for _, images in shifted(part.pixels)]
        groups.append((_logits(network, part.pixels, spec)[np.newaxis], part.labels))
        groups.append((np.stack(copies), part.labels))
    last = network.layers[-1]
    kernel, bias = last.get_weights()
    if spec.outputs > 1:
        temperature = fit_softmax_temperature(groups)
        last.set_weights([kernel / temperature, bias / temperature])
        return spec
    temperature, offset = fit_temperature(groups)
    last.set_weights([kernel / temperature, bias / temperature + offset])
    sign = 1 if spec.positive_label == spec.labels[1] else -1
    positive = spec.labels.index(str(spec.positive_label))
    scores = [
        (_sigmoid(sign * (logits / temperature + offset)), labels == positive)
        for logits, labels in groups
    ]
    threshold = choose_threshold(scores, target.recall)
    return dataclasses.replace(
        spec,
        threshold=threshold,
        threshold_choice=(
            f"the largest with a mean recall of {target.recall:.1%} for {spec.positive_label} over "
            f"{' and '.join(_PARTS[: len(parts)])} and their shifted copies"
        ),
        uncertain_band=choose_band(scores, target.error, threshold),
    )


def fit_temperature(groups: Sequence[Group]) -> tuple[float, float]:
    """Fit temperature and offset by cross-entropy (Platt 1999; Guo et al. 2017).

    The offset corrects for the class balance of the batches, which differs from validation's.

    Args:
        groups: logits, a positive one means label 1; each group weighs as much as another.

    Returns:
        (temperature, offset): calibrated logits are logits / temperature + offset. The temperature
        is in 1/20..20, the offset in -10..10.
    """
    optimize = require("scipy.optimize", "evaluate")

    def loss(parameters: npt.NDArray[np.float64]) -> float:
        scale, offset = math.exp(-parameters[0]), parameters[1]
        return float(
            sum(
                np.logaddexp(
                    0, -np.where(labels == 1, 1.0, -1.0) * (logits * scale + offset)
                ).mean()
                for logits, labels in groups
            )
        )

    largest = math.log(20)
    bounds = [(-largest, largest), (-10, 10)]
    log_temperature, offset = optimize.minimize(
        loss, [0.0, 0.0], bounds=bounds, method="L-BFGS-B"
    ).x
    return math.exp(log_temperature), float(offset)


def fit_softmax_temperature(groups: Sequence[Group]) -> float:
    """Fit the temperature of a softmax by cross-entropy (Guo et al. 2017).

    Args:
        groups: logits; each group weighs as much as another.

    Returns:
        Calibrated logits are logits divided by it; within 1/20..20.
    """
    optimize = require("scipy.optimize", "evaluate")
    special = require("scipy.special", "evaluate")

    def loss(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        return -sum(
            float(
                special.log_softmax(logits * scale, axis=-1)[
                    :, np.arange(len(labels)), labels
                ].mean()
            )
            for logits, labels in groups
        )

    largest = math.log(20)
    return math.exp(optimize.minimize_scalar(loss, bounds=(-largest, largest), method="bounded").x)


ScoredGroup = tuple[Logits, npt.NDArray[np.bool_]]
"""(K, N) scores of K versions of the same N images, 0..1, and whether each is positive."""


def choose_threshold(groups: Sequence[ScoredGroup], recall: float) -> float:
    """The largest threshold whose recall, averaged over groups, reaches what is asked for.

    Not the least of the groups' own thresholds: a minimum over estimates from few images lies too
    low, so that more is found than was asked for and many negatives are called positive.

    Args:
        groups: scores and truth; each group weighs as much as another.
        recall: share of the positives that must reach the threshold, 0..1.

    Returns:
        The threshold, rounded down to four digits.
    """
    positives = [scores[:, is_positive].ravel() for scores, is_positive in groups]
    values = np.concatenate(positives)
    weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in positives])
    order = np.argsort(-values)
    reached = np.cumsum(weights[order]) / len(groups) >= recall - _ROUNDING
    return math.floor(float(values[order][np.argmax(reached)]) * 1e4) / 1e4


def choose_band(
    groups: Sequence[ScoredGroup], error: float, threshold: float
) -> tuple[float, float]:
    """The range of scores that are called uncertain; it contains the threshold.

    A score excludes a label at level ``error`` if only that share of the label's images lies beyond
    it: a conformal prediction set for each label (Sadinle, Lei, Wasserman 2019). The result is
    uncertain where the set has both labels or none.

    Args:
        groups: scores and truth.
        error: share of each label's images that may be certain and wrong, 0..1.
        threshold: the decision threshold, 0..1.

    Returns:
        (low, high), to four digits outwards: scores in [low, high) are uncertain, the ends of
        the label's own images included.
    """
    ends = [threshold]
    for scores, is_positive in groups:
        ends.append(np.quantile(scores[:, is_positive], error, method="lower"))
        ends.append(np.quantile(scores[:, ~is_positive], 1 - error, method="higher"))
    high = min((math.floor(max(ends) * 1e4) + 1) / 1e4, 1.0)
    return min(math.floor(min(ends) * 1e4) / 1e4, high - 1e-4), high


def _logits(network: Any, pixels: Pixels, spec: ModelSpec) -> Logits:
    """Logits in float64 from the last layer's input, because a float32 sigmoid saturates."""
    feature_model = keras.Model(network.inputs[0], network.layers[-2].output)
    kernel, bias = (np.asarray(w, np.float64) for w in network.layers[-1].get_weights())
    logits = []
    for start in range(0, len(pixels), _BATCH_SIZE):
        batch = normalize(pixels[start : start + _BATCH_SIZE], spec.input)
        features = keras.ops.convert_to_numpy(feature_model(batch, training=False))
        logits.append(features.astype(np.float64) @ kernel + bias)
    table = np.concatenate(logits)
    return table[:, 0] if spec.outputs == 1 else table


def _sigmoid(logits: Logits) -> Logits:
    return np.asarray(1 / (1 + np.exp(-logits)))
