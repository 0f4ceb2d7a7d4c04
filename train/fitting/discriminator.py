"""Fits the small network that tells outliers from images of the domain, without Keras."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cxr_edge.domain import Discriminator
from cxr_edge.domain.features import FEATURES, SHARPNESS, Floats

HIDDEN = 64
"""Units of a network's hidden layer."""
NETWORKS = 2
"""Networks fitted, whose outputs are averaged: they become one."""
BATCH = 256
EPOCHS = 30
FEWEST_STEPS, MOST_STEPS = 100, 4000
NOISE = 0.4
"""Standard deviation of the noise on the inputs, in their standard deviations."""
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.01
"""Decoupled, as AdamW has it, relative to the learning rate."""
SHARPNESS_GAIN = 4.0
"""What the six values of sharpness are multiplied by, since there are 512 of others."""

_CLIP = 8.0  # as the discriminator clips its inputs
_LEAST_SCALE = 0.05


def fit_discriminator(
    inside: Floats, outliers: Floats, groups: npt.NDArray[np.intp], seed: int
) -> Discriminator:
    """Fit a logistic regression on one hidden layer for each group, with Adam.

    An outlier counts for its own group only: another group's output may take it for anything.

    Args:
        inside: (N, 518) features of images of the domain.
        outliers: (M, 518) features of others.
        groups: (M,) the group of each outlier, from 0.
        seed: of weights, order and noise.
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
    targets = np.zeros((len(features), int(groups.max()) + 1), np.float32)
    targets[len(inside) + np.arange(len(outliers)), groups] = 1
    counts = targets.copy()
    counts[: len(inside)] = 1
    random = np.random.default_rng(seed)
    parts = [_descend(features, targets, counts, random) for _ in range(NETWORKS)]
    return Discriminator(
        centre,
        scale,
        _rounded(np.concatenate([part[0] for part in parts], axis=1) * gain[:, np.newaxis]),
        np.concatenate([part[1] for part in parts]),
        _rounded(np.concatenate([part[2] for part in parts]) / NETWORKS),
        np.mean([part[3] for part in parts], axis=0, dtype=np.float32),
    )


def _rounded(weights: npt.NDArray[np.floating]) -> Floats:
    """To 16 bits, before limits are chosen: a bundle then keeps them in half the bytes."""
    return weights.astype(np.float16).astype(np.float32)


def _descend(
    features: Floats, targets: Floats, counts: Floats, random: np.random.Generator
) -> list[Floats]:
    """Hidden weights, hidden biases, output weights and output biases of one network."""
    groups = targets.shape[1]
    weights: list[Floats] = [
        random.standard_normal((FEATURES, HIDDEN), np.float32) * np.float32(np.sqrt(2 / FEATURES)),
        np.zeros(HIDDEN, np.float32),
        random.standard_normal((HIDDEN, groups), np.float32) * np.float32(np.sqrt(1 / HIDDEN)),
        np.zeros(groups, np.float32),
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
        noise = random.standard_normal((len(batch), FEATURES), np.float32)
        inputs = features[batch] + np.float32(NOISE) * noise
        rate = np.float32(LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * step / steps)))
        for index, slope in enumerate(_slopes(weights, inputs, targets[batch], counts[batch])):
            first[index] += np.float32(0.1) * (slope - first[index])
            second[index] += np.float32(0.001) * (slope * slope - second[index])
            mean = first[index] / np.float32(1 - 0.9**step)
            spread = np.sqrt(second[index] / np.float32(1 - 0.999**step))
            decay = np.float32(WEIGHT_DECAY) if index in (0, 2) else np.float32(0)
            weights[index] -= rate * (mean / (spread + np.float32(1e-8)) + decay * weights[index])
    return weights


def _slopes(weights: list[Floats], inputs: Floats, targets: Floats, counts: Floats) -> list[Floats]:
    """The gradient of the mean cross-entropy."""
    hidden, hidden_bias, output, output_bias = weights
    sums = inputs @ hidden + hidden_bias
    active = np.maximum(sums, 0)
    log_odds = (active @ output + output_bias).clip(-50, 50)
    errors = (1 / (1 + np.exp(-log_odds)) - targets) * counts / np.float32(len(inputs))
    back = (errors @ output.T) * (sums > 0)
    return [inputs.T @ back, back.sum(axis=0), active.T @ errors, errors.sum(axis=0)]
