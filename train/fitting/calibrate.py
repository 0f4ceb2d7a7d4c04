"""After training: calibrated scores, decision threshold and uncertainty band, from validation.

All three are chosen on the validation images and on shifted copies of them, with equal weight,
because a network is more confident on its own hospital's images than on others.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.data.folders import Labels
from cxr_edge.extras import require, require_keras
from cxr_edge.preprocess import Pixels, normalize
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation.shifts import shifted
from cxr_edge.train.settings import Target

keras = require_keras("train")

Logits = npt.NDArray[np.float64]
"""(N,): input of the last layer's sigmoid; (N, labels): of its softmax."""

_BATCH_SIZE = 64


def calibrate(
    network: Any, pixels: Pixels, labels: Labels, spec: ModelSpec, target: Target
) -> ModelSpec:
    """Bake a temperature and an offset into the last layer, and choose the decision rule.

    A softmax gets a temperature alone: its labels have no threshold and no band.

    Args:
        network: a ``keras.Model`` whose last layer is a Dense sigmoid or softmax; its weights are
            changed.
        pixels: (N, height, width, channels) uint8, the validation images.
        labels: (N,) indices into the spec's labels.
        spec: labels and activation.
        target: recall that the threshold must reach, and error rate outside the band.

    Returns:
        The spec with the threshold, how it was chosen, and the uncertainty band.
    """
    plain = _logits(network, pixels, spec)
    copies = np.stack([_logits(network, images, spec) for _, images in shifted(pixels)])
    last = network.layers[-1]
    kernel, bias = last.get_weights()
    if spec.outputs > 1:
        temperature = fit_softmax_temperature(plain, copies, labels)
        last.set_weights([kernel / temperature, bias / temperature])
        return spec
    temperature, offset = fit_temperature(plain, copies, labels)
    last.set_weights([kernel / temperature, bias / temperature + offset])
    sign = 1 if spec.positive_label == spec.labels[1] else -1
    is_positive = labels == spec.labels.index(str(spec.positive_label))
    scores = (
        _sigmoid(sign * (plain / temperature + offset)),
        _sigmoid(sign * (copies / temperature + offset)),
    )
    threshold = choose_threshold(*scores, is_positive, target.recall)
    return dataclasses.replace(
        spec,
        threshold=threshold,
        threshold_choice=(
            f"the largest with a recall of {target.recall:.1%} for {spec.positive_label} on the "
            "validation images of held-out patients and on their shifted copies"
        ),
        uncertain_band=choose_band(*scores, is_positive, target.error, threshold),
    )


def fit_temperature(plain: Logits, copies: Logits, labels: Labels) -> tuple[float, float]:
    """Fit temperature and offset by cross-entropy (Platt 1999; Guo et al. 2017).

    The offset corrects for the class balance of the batches, which differs from validation's.

    Args:
        plain: (N,) logits of the images.
        copies: (K, N) logits of their shifted copies; all copies together weigh as much as the
            images.
        labels: (N,) 0 or 1; a positive logit means 1.

    Returns:
        (temperature, offset): calibrated logits are logits / temperature + offset. The temperature
        is in 1/20..20, the offset in -10..10.
    """
    optimize = require("scipy.optimize", "evaluate")
    sign = np.where(labels == 1, 1.0, -1.0)

    def loss(parameters: npt.NDArray[np.float64]) -> float:
        scale, offset = math.exp(-parameters[0]), parameters[1]
        parts = (
            np.logaddexp(0, -sign * (part * scale + offset)).mean() for part in (plain, copies)
        )
        return float(sum(parts))

    largest = math.log(20)
    bounds = [(-largest, largest), (-10, 10)]
    log_temperature, offset = optimize.minimize(
        loss, [0.0, 0.0], bounds=bounds, method="L-BFGS-B"
    ).x
    return math.exp(log_temperature), float(offset)


def fit_softmax_temperature(plain: Logits, copies: Logits, labels: Labels) -> float:
    """Fit the temperature of a softmax by cross-entropy (Guo et al. 2017).

    Args:
        plain: (N, labels) logits of the images.
        copies: (K, N, labels) logits of their shifted copies; together they weigh as much as the
            images.
        labels: (N,) the column of each image's label.

    Returns:
        Calibrated logits are logits divided by it; within 1/20..20.
    """
    optimize = require("scipy.optimize", "evaluate")
    special = require("scipy.special", "evaluate")
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scale = math.exp(-log_temperature)
        parts = (special.log_softmax(part * scale, axis=-1) for part in (plain, copies))
        return -float(sum(part[..., rows, labels].mean() for part in parts))

    largest = math.log(20)
    return math.exp(optimize.minimize_scalar(loss, bounds=(-largest, largest), method="bounded").x)


def choose_threshold(
    plain: Logits, copies: Logits, is_positive: npt.NDArray[np.bool_], recall: float
) -> float:
    """The largest threshold that reaches a recall on images and copies alike.

    Args:
        plain: (N,) scores of the images, 0..1.
        copies: (K, N) scores of their shifted copies.
        is_positive: (N,) true labels.
        recall: share of the positives that must reach the threshold, 0..1.

    Returns:
        The threshold, rounded down to four digits.
    """
    thresholds = (
        np.quantile(part[..., is_positive], 1 - recall, method="lower") for part in (plain, copies)
    )
    return math.floor(min(thresholds) * 1e4) / 1e4


def choose_band(
    plain: Logits,
    copies: Logits,
    is_positive: npt.NDArray[np.bool_],
    error: float,
    threshold: float,
) -> tuple[float, float]:
    """The range of scores that are called uncertain; it contains the threshold.

    A score excludes a label at level ``error`` if only that share of the label's images lies beyond
    it: a conformal prediction set for each label (Sadinle, Lei, Wasserman 2019). The result is
    uncertain where the set has both labels or none.

    Args:
        plain: (N,) scores of the images, 0..1.
        copies: (K, N) scores of their shifted copies.
        is_positive: (N,) true labels.
        error: share of each label's images that may be certain and wrong, 0..1.
        threshold: the decision threshold, 0..1.

    Returns:
        (low, high), rounded outwards to four digits: scores in [low, high) are uncertain.
    """
    ends = [threshold]
    for part in (plain, copies):
        ends.append(np.quantile(part[..., is_positive], error, method="lower"))
        ends.append(np.quantile(part[..., ~is_positive], 1 - error, method="higher"))
    low, high = math.floor(min(ends) * 1e4) / 1e4, math.ceil(max(ends) * 1e4) / 1e4
    return low, max(high, low + 1e-4)


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
