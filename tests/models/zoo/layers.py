"""Layers with unusual weights, in groups, called as in training, or with an axis of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from zoo import Case

SIDE = 32


def _case(
    name: str, body: Callable[[Any, Any], Any], channels: int = 3, refusal: str | None = None
) -> Case:
    """A case of a function from Keras's layers and the image to a map."""

    def build() -> Any:
        import keras

        image = keras.Input((SIDE, SIDE, channels))
        pooled = keras.layers.GlobalAveragePooling2D()(body(keras.layers, image))
        return keras.Model(image, keras.layers.Dense(1, "sigmoid", name="out")(pooled))

    return Case(name, build, refusal)


def _convolution(layers: Any, image: Any) -> Any:
    return layers.Conv2D(8, 3, activation="relu")(image)


def _lora(layers: Any, image: Any) -> Any:
    dense, conv = layers.Dense(6, activation="relu"), layers.Conv2D(8, 3)
    value = dense(conv(image))
    for layer in (dense, conv):
        layer.enable_lora(2)
        layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    return value


def _spectral(layers: Any, image: Any) -> Any:
    return layers.SpectralNormalization(layers.Conv2D(8, 3, activation="relu"))(image)


def _given_statistics(layers: Any, image: Any) -> Any:
    layer = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1, 2, 3])
    return _convolution(layers, layer(image))


def _other_normalizations(layers: Any, image: Any) -> Any:
    value = layers.LayerNormalization()(_convolution(layers, image))
    return layers.GroupNormalization(2)(value)


def _nested(layers: Any, image: Any) -> Any:
    import keras

    inner = keras.Input(image.shape[1:])
    model = keras.Model(inner, layers.Dropout(0.5, name="mc")(_convolution(layers, inner)))
    return model(image, training=True)


def _quantized(mode: str) -> Case:
    def build() -> Any:
        import keras

        layers = keras.layers
        image = keras.Input((SIDE, SIDE, 1))
        value = layers.Flatten()(layers.MaxPooling2D(8)(layers.Conv2D(4, 3)(image)))
        hidden = layers.Dense(8, activation="relu", name="hidden")(value)
        model = keras.Model(image, layers.Dense(1, "sigmoid", name="out")(hidden))
        model.quantize(mode, filters=["hidden"])
        return model

    refusal = rf"quantized by Keras: hidden \(Dense, {mode}\)"
    return Case(f"quantized by Keras: {mode}", build, refusal)


CASES = (
    _case("LoRA", _lora),
    _quantized("int8"),
    _quantized("int4"),
    _case("spectral normalization", _spectral),
    _case(
        "Conv2D in groups", lambda layers, x: layers.Conv2D(8, 3, groups=4)(_convolution(layers, x))
    ),
    _case(
        "Conv2D in groups, padded and strided",
        lambda layers, x: layers.Conv2D(12, 3, strides=2, padding="same", groups=2)(
            _convolution(layers, x)
        ),
    ),
    _case("Conv2D in a group a channel", lambda layers, x: layers.Conv2D(6, 3, groups=3)(x)),
    _case(
        "dropout as in training",
        lambda layers, x: layers.Dropout(0.5, name="mc")(_convolution(layers, x), training=True),
        refusal=r"mc \(Dropout\).*random",
    ),
    _case(
        "noise as in training",
        lambda layers, x: layers.GaussianNoise(0.5, name="noise")(x, training=True),
        refusal=r"noise \(GaussianNoise\).*random",
    ),
    _case(
        "a normalization as in training",
        lambda layers, x: layers.BatchNormalization(name="norm")(
            _convolution(layers, x), training=True
        ),
        refusal=r"norm \(BatchNormalization\).*batch",
    ),
    _case("a nested model as in training", _nested, refusal=r"mc \(Dropout\).*random"),
    _case(
        "BatchNormalization along rows",
        lambda layers, x: layers.BatchNormalization(axis=1)(_convolution(layers, x)),
    ),
    _case(
        "Normalization with a mean for each channel",
        lambda layers, x: _convolution(
            layers, layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1, 2, 3])(x)
        ),
    ),
    _case(
        "normalizations that are no batch normalization",
        lambda layers, x: layers.GroupNormalization(2)(
            layers.LayerNormalization()(_convolution(layers, x))
        ),
    ),
)
