"""Networks in which an affine map meets what it cannot pass, or only by an exact rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from zoo import Case

SIDE = 32


def _case(name: str, body: Callable[[Any, Any, Any], Any], channels: int = 3) -> Case:
    """A case of a function from Keras, its layers and the image to a map."""

    def build() -> Any:
        import keras

        layers = keras.layers
        image = keras.Input((SIDE, SIDE, channels))
        pooled = layers.GlobalAveragePooling2D()(body(keras, layers, image))
        return keras.Model(image, layers.Dense(1, "sigmoid", name="out")(pooled))

    return Case(name, build)


def _normalized(layers: Any, value: Any) -> Any:
    """A convolution and a normalization with statistics, behind its ReLU."""
    value = layers.Conv2D(8, 3, padding="same", activation="relu")(value)
    layer = layers.BatchNormalization()
    value = layer(value)
    layer.set_weights([np.linspace(0.5, 2, 8), np.linspace(-1, 1, 8), np.full(8, 0.1), np.ones(8)])
    return value


def _plus_number(keras: Any, layers: Any, image: Any) -> Any:
    return layers.Conv2D(8, 3, padding="same")(_normalized(layers, image) + 3.0)


def _plus_vector(keras: Any, layers: Any, image: Any) -> Any:
    return keras.ops.add(np.linspace(-1, 1, 8).astype("float32"), _normalized(layers, image))


def _plus_map(keras: Any, layers: Any, image: Any) -> Any:
    constant = np.random.default_rng(0).normal(0, 1, (SIDE, SIDE, 8)).astype("float32")
    return layers.ReLU()(_normalized(layers, image) + constant)


def _rescaled(keras: Any, layers: Any, image: Any) -> Any:
    return layers.Conv2D(8, 3, activation="relu")(layers.Rescaling(2.0)(image) + (-1.0))


def _one_minus(keras: Any, layers: Any, image: Any) -> Any:
    return layers.Conv2D(8, 3, activation="relu")(1.0 - _normalized(layers, image) / 4.0)


def _reciprocal(keras: Any, layers: Any, image: Any) -> Any:
    return 2.0 / (layers.ReLU()(_normalized(layers, image)) + 1.0)


def _hard_swish(keras: Any, layers: Any, image: Any) -> Any:
    value = _normalized(layers, image)
    value = layers.Conv2D(8, 3)(value * layers.ReLU(6.0)(value + 3.0) / 6.0)
    return layers.Add()([value, value * layers.ReLU(6.0)(value + 3.0) * (1 / 6)])


def _squeeze_excite(keras: Any, layers: Any, image: Any) -> Any:
    value = _normalized(layers, image)
    pooled = keras.ops.mean(value, axis=(1, 2), keepdims=True)
    return value * layers.Dense(8, "sigmoid")(layers.Dense(4, "relu")(pooled))


def _slices(keras: Any, layers: Any, image: Any) -> Any:
    value = _normalized(layers, image[..., ::-1])
    left, right = keras.ops.split(value, 2, axis=-1)
    return layers.Concatenate()([right, left[:, :, ::-1], left + left])


def _concatenated_with_constant(keras: Any, layers: Any, image: Any) -> Any:
    value = keras.ops.pad(_normalized(layers, image), ((0, 0), (1, 1), (0, 2), (0, 0)))
    return layers.Concatenate(axis=1)([value, _normalized(layers, value)])


def _reshaped(keras: Any, layers: Any, image: Any) -> Any:
    value = layers.Reshape((SIDE * SIDE, 8))(_normalized(layers, image))
    value = layers.Permute((2, 1))(layers.BatchNormalization()(value))
    return layers.BatchNormalization(axis=1)(layers.Reshape((8, SIDE, SIDE))(value))


def _operations(keras: Any, layers: Any, image: Any) -> Any:
    value = keras.activations.relu(_normalized(layers, image))
    value = keras.ops.leaky_relu(_normalized(layers, value))
    return keras.ops.maximum(value, keras.ops.average_pool(value, 3, strides=1, padding="same"))


def _broadcast(keras: Any, layers: Any, image: Any) -> Any:
    value = _normalized(layers, image)
    pooled = layers.GlobalMaxPooling2D(keepdims=True)(value)
    one = layers.Conv2D(1, 1)(value)
    return layers.Subtract()([layers.Add()([value, pooled]), layers.Maximum()([value, one])])


CASES = (
    _case("BatchNormalization plus a number", _plus_number),
    _case("a vector plus BatchNormalization", _plus_vector),
    _case("BatchNormalization plus a map", _plus_map),
    _case("Rescaling plus a number", _rescaled, 1),
    _case("one minus BatchNormalization", _one_minus),
    _case("a number divided by a map", _reciprocal),
    _case("hard swish by hand in a residual", _hard_swish),
    _case("squeeze and excite of operations", _squeeze_excite),
    _case("slices and splits of channels", _slices),
    _case("padding and concatenation along rows", _concatenated_with_constant),
    _case("reshape and permute between normalizations", _reshaped),
    _case("activations and pooling as operations", _operations),
    _case("merges that broadcast", _broadcast),
)
