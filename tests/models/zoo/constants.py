"""Numbers that a network holds without a variable: converters must write them into the file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from cxr_edge.extras import require_tensorflow
from zoo import Case

_PIXELS = {"input": {"scale": 1.0}}
"""The network gets grey levels 0..255 and scales them itself."""


def network(body: Callable[[Any, Any, Any], Any], *, channels: int = 3) -> Any:
    """The operations, a convolution, global pooling and the head."""
    keras, _ = require_tensorflow("export")
    layers = keras.layers
    image = keras.Input((32, 32, channels))
    value = body(keras, layers, image)
    value = layers.Conv2D(8, 3, strides=2, activation="relu", name="conv")(value)
    value = layers.GlobalAveragePooling2D(name="pool")(value)
    return keras.Model(image, layers.Dense(1, "sigmoid", name="out")(value))


def case(
    name: str, body: Callable[[Any, Any, Any], Any], *, channels: int = 3, tflite: bool = False
) -> Case:
    return Case(name, lambda: network(body, channels=channels), spec=_PIXELS, tflite=tflite)


def adapted(_: Any, layers: Any, image: Any) -> Any:
    """A Normalization that has measured its images."""
    layer = layers.Normalization(name="normalize")
    random = np.random.default_rng(3)
    layer.adapt(random.uniform(0, 255, (16, *image.shape[1:])).astype(np.float32))
    return layer(image)


def preprocessing(application: str) -> Case:
    """``preprocess_input`` of one of ``keras.applications``."""
    return case(
        f"preprocess_input of {application}",
        lambda keras, _, image: getattr(keras.applications, application).preprocess_input(image),
    )


def drawn(*shape: int) -> Any:
    return np.random.default_rng(5).uniform(0.5, 1.5, shape).astype(np.float32)


_MORE = (
    preprocessing("mobilenet_v2"),
    preprocessing("efficientnet"),
    case(
        "Normalization inverted",
        lambda _, layers, image: layers.Normalization(mean=1.0, variance=1e-4, invert=True)(image),
    ),
)

CASES = (
    *(dataclasses.replace(case, large=True) for case in _MORE),
    case("Normalization adapted", adapted, tflite=True),
    case(
        "Normalization with mean and variance",
        lambda _, layers, image: layers.Normalization(
            mean=[110.0, 112.0, 115.0], variance=[3000.0, 3100.0, 3200.0], name="normalize"
        )(image),
    ),
    case(
        "Normalization with one mean",
        lambda _, layers, image: layers.Normalization(axis=None, mean=120.0, variance=3e3)(image),
        channels=1,
    ),
    preprocessing("resnet50"),
    preprocessing("densenet"),
    case("multiplied by a vector", lambda k, _, image: k.ops.multiply(image, drawn(3) / 255)),
    case("an image added", lambda k, _, image: image / 255 + drawn(32, 32, 3)),
    case(
        "a product with a matrix",
        lambda k, _, image: k.ops.matmul(image / 255, k.ops.convert_to_tensor(drawn(3, 3))),
    ),
    case(
        "a choice by a mask",
        lambda k, _, image: k.ops.where(drawn(32, 32, 1) > 1, image / 255, np.float32(0.5)),
    ),
)
