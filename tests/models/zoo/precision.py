"""Networks saved in another precision than float32, or that Keras changed after the training."""

from __future__ import annotations

import warnings
from typing import Any

import keras
from keras import layers

from . import Case


def _small(policy: str, *, head: str | None = "float32") -> Any:
    """A convolutional network with a nested block, a shared layer and a residual."""
    previous = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        block = keras.Sequential(
            [keras.Input((15, 15, 6)), layers.Conv2D(6, 3, padding="same"), layers.ReLU()],
            name="block",
        )
        image = keras.Input((32, 32, 1), name="photo")
        value = layers.BatchNormalization()(
            layers.Conv2D(6, 3, strides=2, activation="relu")(image)
        )
        value = layers.Add()([value, block(block(value))])
        value = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(value * 0.5))
        return keras.Model(image, layers.Dense(1, "sigmoid", dtype=head, name="out")(value))
    finally:
        keras.mixed_precision.set_dtype_policy(previous)


def _one_layer(dtype: str) -> Any:
    return keras.Sequential(
        [
            keras.Input((32, 32, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Conv2D(4, 3, activation="relu", dtype=dtype),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, "sigmoid", name="out"),
        ]
    )


def _attention() -> Any:
    previous = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        image = keras.Input((32, 32, 1))
        value = layers.Reshape((16, 8))(layers.Conv2D(8, 8, strides=8)(image))
        value = layers.MultiHeadAttention(2, 4)(value, value)
        value = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(value))
        return keras.Model(image, layers.Dense(1, "sigmoid", dtype="float32", name="out")(value))
    finally:
        keras.mixed_precision.set_dtype_policy(previous)


def _quantized() -> Any:
    model = _one_layer("float32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers that stay as they are
        model.quantize("int8")
    return model


def _lora() -> Any:
    hidden = layers.Dense(8, "relu")
    model = keras.Sequential(
        [
            keras.Input((32, 32, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            hidden,
            layers.Dense(1, "sigmoid", name="out"),
        ]
    )
    hidden.enable_lora(2)
    return model


CASES = (
    *(
        Case(f"saved under {policy}", lambda policy=policy: _small(policy))
        for policy in ("mixed_float16", "mixed_bfloat16", "float64")
    ),
    Case("saved under float16 with its head", lambda: _small("float16", head=None)),
    Case("one layer in bfloat16", lambda: _one_layer("bfloat16")),
    Case("attention under mixed_float16", _attention),
    Case("quantized by Keras", _quantized, refusal="was quantized by Keras"),
    Case("LoRA enabled", _lora),
)
