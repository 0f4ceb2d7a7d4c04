"""Fits the small network that tells outliers from images of the domain, without Keras."""

from __future__ import annotations

import numpy as np

from cxr_edge.domain import Discriminator
from cxr_edge.domain.features import FEATURES, SHARPNESS, Floats

HIDDEN = 64
"""Units of the hidden layer."""
BATCH = 256
EPOCHS = 20
FEWEST_STEPS, MOST_STEPS = 400, 3000
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.01
"""Decoupled, as AdamW has it, relative to the learning rate."""
SHARPNESS_GAIN = 4.0
"""The six values of sharpness count as much as these times as many of the other 512."""

_CLIP = 8.0  # as the discriminator clips its inputs
_LEAST_SCALE = 0.05


def fit_discriminator(inside: Floats, outliers: Floats, seed: int) -> Discriminator:
    """Fit by logistic regression on one hidden layer, with Adam and a cosine schedule.

    Args:
        inside: (N, 518) features of images of the domain.
        outliers: (M, 518) features of others.
        seed: of weights and order.
    """
    gain = np.ones(FEATURES, np.float32)
    gain[SHARPNESS] = SHARPNESS_GAIN
    centre = inside.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = (inside.std(axis=0, dtype=np.float64) + _LEAST_SCALE).astype(np.float32)
    features = np.concatenate([inside, outliers])
    features -= centre
    features /= scale
    np.clip(features, -_CLIP, _CLIP, out=features)
    features *= gain
    is_outlier = np.repeat(np.float32([0, 1]), [len(inside), len(outliers)])
    hidden, hidden_bias, output, bias = _descend(features, is_outlier, np.random.default_rng(seed))
    return Discriminator(
        centre, scale, hidden * gain[:, np.newaxis], hidden_bias, output, float(bias[0])
    )


def _descend(features: Floats, targets: Floats, random: np.random.Generator) -> list[Floats]:
    """Hidden weights, hidden bias, output weights and output bias."""
    weights: list[Floats] = [
        random.standard_normal((FEATURES, HIDDEN), np.float32) * np.float32(np.sqrt(2 / FEATURES)),
        np.zeros(HIDDEN, np.float32),
        random.standard_normal(HIDDEN, np.float32) * np.float32(np.sqrt(1 / HIDDEN)),
        np.zeros(1, np.float32),
    ]
    first = [np.zeros_like(values) for values in weights]
    second = [np.zeros_like(values) for values in weights]
    count = len(features)
    steps = min(max(EPOCHS * count // BATCH, FEWEST_STEPS), MOST_STEPS)
    order = np.empty(0, np.intp)
    for step in range(1, steps + 1):
        if len(order) < min(BATCH, count):
            order = random.permutation(count)
        batch, order = order[:BATCH], order[BATCH:]
        rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
        slopes = _slopes(weights, features[batch], targets[batch])
        for index, slope in enumerate(slopes):
            first[index] += np.float32(0.1) * (slope - first[index])
            second[index] += np.float32(0.001) * (slope * slope - second[index])
            mean = first[index] / np.float32(1 - 0.9**step)
            spread = np.sqrt(second[index] / np.float32(1 - 0.999**step))
            change = mean / (spread + np.float32(1e-8))
            if index in (0, 2):
                change += np.float32(WEIGHT_DECAY) * weights[index]
            weights[index] = weights[index] - np.float32(rate) * change
    return weights


def _slopes(weights: list[Floats], batch: Floats, targets: Floats) -> list[Floats]:
    """The gradient of the mean cross-entropy."""
    hidden, hidden_bias, output, bias = weights
    sums = batch @ hidden + hidden_bias
    active = np.maximum(sums, 0)
    log_odds = (active @ output + bias).clip(-50, 50)
    errors = (1 / (1 + np.exp(-log_odds)) - targets) / np.float32(len(batch))
    back = np.outer(errors, output) * (sums > 0)
    return [batch.T @ back, back.sum(axis=0), active.T @ errors, errors.sum(keepdims=True)]
