"""Fused batch normalization trains as Keras's own does; statistics are measured again exactly."""

from __future__ import annotations

from typing import Any

import numpy as np

from cxr_edge.extras import require_keras
from cxr_edge.train.fitting.normalization import FusedBatchNormalization, estimate_again

keras = require_keras("train")

IMAGES = np.random.default_rng(1).normal(0.4, 0.5, (16, 9, 7, 3)).astype(np.float32)
TARGETS = (np.arange(16) % 2).astype(np.float32)[:, np.newaxis]


def network(normalization: Any, dropout: float = 0.0) -> Any:
    keras.utils.set_random_seed(5)
    layers = keras.layers
    stack = [
        keras.Input((9, 7, 3)),
        layers.Conv2D(8, 3, activation="relu"),
        layers.Dropout(dropout),
        normalization(momentum=0.8, name="norm"),
        layers.Flatten(),
        layers.Dense(1, activation="sigmoid"),
    ]
    model = keras.Sequential(stack)
    model.compile(optimizer=keras.optimizers.SGD(0.05), loss="binary_crossentropy")
    return model


def test_three_steps_and_the_running_statistics_are_keras() -> None:
    own, plain = network(FusedBatchNormalization), network(keras.layers.BatchNormalization)
    for _ in range(3):
        losses = [float(model.train_on_batch(IMAGES, TARGETS)) for model in (own, plain)]
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    for one, two in zip(own.get_weights(), plain.get_weights(), strict=True):
        # The running variance divides by count - 1: 560 values here.
        np.testing.assert_allclose(one, two, rtol=4e-3, atol=1e-5)
    np.testing.assert_allclose(
        own.predict_on_batch(IMAGES), plain.predict_on_batch(IMAGES), atol=2e-3
    )


def test_statistics_measured_again_are_those_of_the_images_dropouts_noise_included() -> None:
    model = network(FusedBatchNormalization, dropout=0.5)
    batches = [(IMAGES[:8], TARGETS[:8]), (IMAGES[8:], TARGETS[8:])]
    estimate_again(model, batches, 200)
    features = keras.Model(model.inputs, model.layers[0].output).predict_on_batch(IMAGES)
    layer, rows = model.get_layer("norm"), features.reshape(-1, 8).astype(np.float64)
    mean = rows.mean(axis=0)
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=0.02)
    # Half of the values become 0, the others twice as large.
    variance = 2 * np.square(rows).mean(axis=0) - mean**2
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=0.05)
