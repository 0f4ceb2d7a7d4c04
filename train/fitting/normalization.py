"""Batch normalization as TensorFlow's fused kernel computes it, for training alone.

Keras normalizes by a dozen element-wise operations in float32, also under bfloat16. On two cores
the fused kernel halves a training step of this network: .22 s instead of .43 in bfloat16, .36
instead of .51 in float32 (``python benchmarks/training_step.py``). It has the same weights, so a
finished training moves them into a network of Keras's own layers.
"""

from __future__ import annotations

from typing import Any

from cxr_edge.extras import require, require_keras

keras = require_keras("train")


@keras.saving.register_keras_serializable(package="cxr_edge")
class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[name-defined]
    """Keras's BatchNormalization over the last axis; the fused kernel in training on TensorFlow.

    The running variance is that of a sample (divided by count - 1), Keras's that of a population:
    less than a thousandth apart for maps of this network.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalize (N, height, width, channels), and update the running statistics in training."""
        is_fusible = keras.backend.backend() == "tensorflow" and len(inputs.shape) == 4
        if not training or not is_fusible:
            return super().call(inputs, training=training, mask=mask)
        tensorflow = require("tensorflow", "train")
        normalized, mean, variance, *_ = tensorflow.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tensorflow.convert_to_tensor(self.gamma),
            offset=tensorflow.convert_to_tensor(self.beta),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        for running, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            running.assign(running * self.momentum + value * (1 - self.momentum))
        return normalized


def estimate_again(network: Any, batches: Any, count: int) -> None:
    """Replace the running statistics by their mean over batches.

    They follow the last few batches, and those of the last weights are not those of averaged ones
    (Izmailov et al. 2018, arXiv:1803.05407). Dropout stays on, as in training: its noise is part of
    the variance that the layers behind have learnt to see divided out.

    Args:
        network: a ``keras.Sequential``; its running statistics are changed.
        batches: gives (images, targets) by index, images (N, height, width, channels).
        count: how many of them to use, above 0.
    """
    norms = [
        layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    sums = [[0.0, 0.0] for _ in norms]
    for index in range(count):
        values = keras.ops.convert_to_tensor(batches[index % len(batches)][0])
        for layer in network.layers:
            if layer not in norms:
                values = layer(values, training=True)
                continue
            axes = list(range(len(values.shape) - 1))
            mean, variance = keras.ops.moments(keras.ops.cast(values, "float32"), axes)
            total = sums[norms.index(layer)]
            total[0] += keras.ops.convert_to_numpy(mean) / count
            total[1] += keras.ops.convert_to_numpy(variance) / count
            values = _normalize(layer, values, mean, variance)
    for layer, (mean, variance) in zip(norms, sums, strict=True):
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)


def _normalize(layer: Any, values: Any, mean: Any, variance: Any) -> Any:
    """Normalize by a batch's own statistics, as training does."""
    scale = layer.gamma * keras.ops.rsqrt(variance + layer.epsilon)
    shifted = (keras.ops.cast(values, "float32") - mean) * scale + layer.beta
    return keras.ops.cast(shifted, values.dtype)
