"""The seed's CNN: five convolution blocks and two dense layers, 1,246,401 parameters; or narrower.

Each block is Conv, ReLU, Dropout (in three of them), BatchNormalization, MaxPool. The normalization
follows the ReLU, so converters cannot fold it into the convolution before it. Only the Keras 3 API
is used, so the same code trains on TensorFlow, PyTorch or JAX.
"""

from __future__ import annotations

import math
from typing import Any

from cxr_edge.extras import require_keras
from cxr_edge.spec import ModelSpec

keras = require_keras("train")

BLOCKS = ((32, 0.0), (64, 0.1), (64, 0.0), (128, 0.2), (256, 0.2))
"""Filters and dropout rate of each block."""
PARAMETERS = 1_246_401
"""Parameters of the network for 150x150 grey images, as the seed document prints them."""


_MULTIPLE = 8  # of filters in a narrower network: vector instructions take so many at a time


def block_filters(width: float) -> tuple[int, ...]:
    """Filters of each block of a network of this width.

    Args:
        width: share of the reference's filters, above 0, at most 1; rounded to multiples of 8.
    """
    counts = (filters * width / _MULTIPLE for filters, _ in BLOCKS)
    return tuple(_MULTIPLE * max(1, math.floor(count + 0.5)) for count in counts)


def build_network(
    spec: ModelSpec,
    *,
    width: float = 1.0,
    momentum: float = 0.99,
    precision: str = "float32",
    normalization: Any = keras.layers.BatchNormalization,
) -> Any:
    """Build the seed's network, or a narrower copy of it, with new random weights.

    Args:
        spec: gives the input shape and the output: one sigmoid, or a softmax.
        width: share of the reference's filters, above 0, at most 1.
        momentum: of the running statistics of every BatchNormalization.
        precision: Keras dtype policy of all layers but the last, which is float32.
        normalization: the class of the BatchNormalization layers.

    Returns:
        A ``keras.Model`` from (N, height, width, channels) to (N, spec.outputs).
    """
    layers = keras.layers
    stack = [keras.Input(spec.input_shape, name="image")]
    rates = (rate for _, rate in BLOCKS)
    for number, (filters, dropout) in enumerate(zip(block_filters(width), rates, strict=True), 1):
        stack.append(
            layers.Conv2D(
                filters, 3, padding="same", activation="relu", dtype=precision, name=f"conv{number}"
            )
        )
        if dropout:
            stack.append(layers.Dropout(dropout, dtype=precision, name=f"dropout{number}"))
        stack.append(normalization(momentum=momentum, dtype=precision, name=f"norm{number}"))
        stack.append(
            layers.MaxPooling2D(2, strides=2, padding="same", dtype=precision, name=f"pool{number}")
        )
    stack += [
        layers.Flatten(dtype=precision, name="flatten"),
        layers.Dense(128, activation="relu", dtype=precision, name="dense"),
        layers.Dropout(0.2, dtype=precision, name="dropout_dense"),
        layers.Dense(spec.outputs, activation=spec.activation, dtype="float32", name="scores"),
    ]
    network = keras.Sequential(stack, name="chest_xray_cnn")
    is_reference = width == 1 and spec.input_shape == (150, 150, 1) and spec.outputs == 1
    if is_reference and network.count_params() != PARAMETERS:
        raise AssertionError(f"{network.count_params():,} parameters, expected {PARAMETERS:,}")
    return network


def layer_table(network: Any) -> str:
    """A text table of layers, output shapes and parameters, one line a layer."""
    rows = [("layer", "output", "parameters")]
    for layer in network.layers:
        shape = " x ".join(str(side) for side in layer.output.shape[1:])
        name = f"{layer.name} ({type(layer).__name__})"
        rows.append((name, shape, f"{layer.count_params():,}"))
    trained = sum(math.prod(variable.shape) for variable in network.trainable_variables)
    rows.append(("all", "", f"{network.count_params():,}"))
    rows.append(("trained by gradient", "", f"{trained:,}"))
    return "\n".join(f"{name:28}  {shape:15}  {count:>10}" for name, shape, count in rows)
