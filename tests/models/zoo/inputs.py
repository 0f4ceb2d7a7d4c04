"""Networks that take an image otherwise than as float32 (batch, height, width, channels)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from . import Case

FIRST = {"data_format": "channels_first"}


def _classifier(image: Any, value: Any) -> Any:
    return keras.Model(image, layers.Dense(1, "sigmoid", name="out")(value))


def _any_size(*sides: int | None) -> Any:
    image = keras.Input((*sides, 3))
    block = keras.Sequential([layers.Conv2D(6, 3, activation="relu"), layers.MaxPooling2D()])
    return _classifier(image, layers.GlobalAveragePooling2D()(block(image)))


def _channels_first() -> Any:
    image = keras.Input((3, 32, 24))
    value = layers.Conv2D(4, 3, padding="same", **FIRST)(image)
    value = layers.ReLU(max_value=6.0)(layers.BatchNormalization(axis=1)(value))
    side = layers.DepthwiseConv2D(3, padding="same", **FIRST)(value)
    value = layers.Concatenate(axis=1)([value, layers.Add()([side, value])])
    value = layers.MaxPooling2D(2, **FIRST)(value)
    gate = layers.GlobalAveragePooling2D(**FIRST)(value)
    gate = layers.Reshape((8, 1, 1))(layers.Dense(8, "sigmoid")(gate))
    value = layers.Multiply()([value, gate])
    return _classifier(image, layers.Flatten()(layers.Conv2D(2, 3, **FIRST)(value)))


def _channels_first_inside() -> Any:
    image = keras.Input((32, 32, 3))
    value = layers.Permute((3, 1, 2))(layers.Conv2D(4, 3, activation="relu")(image))
    value = layers.Conv2D(4, 3, activation="relu", **FIRST)(value)
    value = layers.PReLU(shared_axes=[2, 3])(value)
    return _classifier(image, layers.Flatten(**FIRST)(layers.AveragePooling2D(4, **FIRST)(value)))


def _integers(dtype: str) -> Any:
    image = keras.Input((32, 32, 3), dtype=dtype)
    value = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 127.5, -1.0)(image))
    return _classifier(image, layers.GlobalAveragePooling2D()(value))


def _fixed_batch() -> Any:
    image = keras.Input(batch_shape=(3, 32, 32, 1))
    value = layers.Flatten()(layers.MaxPooling2D(4)(layers.Conv2D(4, 3)(image)))
    return _classifier(image, value)


def _without_channels() -> Any:
    image = keras.Input((28, 28))
    return _classifier(image, layers.Dense(8, "relu")(layers.Flatten()(image)))


def _dictionary() -> Any:
    image = keras.Input((32, 32, 1), name="scan")
    value = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))
    return keras.Model({"scan": image}, {"p": layers.Dense(1, "sigmoid", name="out")(value)})


def _two_inputs() -> Any:
    image, age = keras.Input((32, 32, 1), name="scan"), keras.Input((1,), name="age")
    value = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))
    return _classifier([image, age], layers.Concatenate()([value, age]))


def _shared() -> Any:
    convolution = layers.Conv2D(1, 3, padding="same")
    block = keras.Sequential(
        [keras.Input((None, 32, 1)), layers.Conv2D(1, 3, padding="same"), layers.ReLU(name="act")],
        name="block",
    )
    image = keras.Input((None, 32, 1))
    value = layers.ReLU(name="act")(convolution(convolution(block(block(image)))))
    value = layers.Resizing(32, 32)(value)
    return _classifier(image, layers.Flatten()(layers.MaxPooling2D(8)(value)))


def _monte_carlo() -> Any:
    image = keras.Input((32, 32, 1))
    value = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))
    return _classifier(image, layers.Dropout(0.5, name="mc")(value, training=True))


def _batch_statistics() -> Any:
    image = keras.Input((32, 32, 1))
    value = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3)(image), training=True)
    return _classifier(image, layers.GlobalAveragePooling2D()(value))


SIZE = {"input": {"height": 40, "width": 48, "channels": 3}}
FIRST_SIZE = {"input": {"height": 32, "width": 24, "channels": 3}}
GREY = {"input": {"height": 36, "width": 32, "channels": 1}}
SQUARE = {"input": {"height": 32, "width": 32, "channels": 3, "scale": 1.0}}

CASES = (
    Case("any size", lambda: _any_size(None, None), spec=SIZE),
    Case("any height", lambda: _any_size(None, 48), spec=SIZE),
    Case("channels first", _channels_first, spec=FIRST_SIZE),
    Case("channels first inside", _channels_first_inside),
    Case("bytes as input", lambda: _integers("uint8"), spec=SQUARE),
    Case("integers as input", lambda: _integers("int32"), spec=SQUARE),
    Case("a batch of three", _fixed_batch),
    Case(
        "an input without channels",
        _without_channels,
        spec={"input": {"height": 28, "width": 28, "channels": 1}},
    ),
    Case("a dictionary as input and output", _dictionary),
    Case("a model and a layer used twice", _shared, spec=GREY),
    Case("two inputs", _two_inputs, refusal=r"2 inputs \(scan, age\)"),
    Case("dropout in inference", _monte_carlo, refusal=r"training=True: mc \(Dropout\)"),
    Case("batch statistics", _batch_statistics, refusal=r"norm \(BatchNormalization\)"),
)
