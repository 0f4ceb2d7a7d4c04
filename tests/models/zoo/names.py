"""Networks whose layers have names that repeat, or that a converter would stumble over."""

from __future__ import annotations

from typing import Any

from zoo import Case

SIDE = 32


def _keras() -> tuple[Any, Any]:
    import keras

    return keras, keras.layers


def _network(image: Any, value: Any) -> Any:
    keras, layers = _keras()
    pooled = layers.GlobalAveragePooling2D()(value)
    return keras.Model(image, layers.Dense(1, "sigmoid", name="out")(pooled))


def _inside_and_outside() -> Any:
    keras, layers = _keras()
    inner = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            layers.Conv2D(4, 3, name="conv"),
            layers.ReLU(name="act"),
        ],
        name="inner",
    )
    image = keras.Input((SIDE, SIDE, 1))
    value = layers.ReLU(name="act")(layers.Conv2D(4, 3, name="conv")(inner(image)))
    return _network(image, value)


def _squeeze_excite() -> Any:
    keras, layers = _keras()
    image = keras.Input((SIDE, SIDE, 1))
    for _ in range(4):  # Keras numbers operations: those below will not be called as the layers
        keras.ops.multiply(image, image)
    value = layers.Conv2D(8, 3, activation="relu")(image)
    for name in ("multiply", "multiply_1"):
        pooled = layers.GlobalAveragePooling2D(keepdims=True)(value)
        weights = layers.Dense(8, "sigmoid")(pooled)
        value = layers.Multiply(name=name)([value, weights])
        value = keras.ops.multiply(value, weights)
    return _network(image, layers.Activation("relu", name="relu")(layers.Conv2D(4, 3)(value)))


def _ensemble() -> Any:
    keras, layers = _keras()
    image = keras.Input((SIDE, SIDE, 1))
    members = []
    for _ in range(2):
        inner = keras.Input((SIDE, SIDE, 1))
        value = layers.ReLU(name="relu")(layers.Conv2D(4, 3, name="conv")(inner))
        members.append(keras.Model(inner, layers.GlobalAveragePooling2D(name="pool")(value)))
    mean = layers.Average(name="average")([member(image) for member in members])
    return keras.Model(image, layers.Dense(1, "sigmoid", name="out")(mean))


def _named(*names: str) -> Any:
    keras, layers = _keras()
    image = keras.Input((SIDE, SIDE, 1))
    value = image
    for position, name in enumerate(names):
        layer = layers.LeakyReLU(name=name) if position % 2 else layers.Conv2D(3, 3, name=name)
        value = layer(value)
    return _network(image, value)


def _head_added_later() -> Any:
    keras, layers = _keras()
    inner = keras.Input((SIDE, SIDE, 1))
    body = layers.Conv2D(4, 3, padding="same")(inner)
    backbone = keras.Model(inner, layers.ReLU(name="re_lu")(body + body * 2.0))
    keras.utils.clear_session(free_memory=False)
    image = keras.Input((SIDE, SIDE, 1))
    value = backbone(image)
    return _network(image, layers.ReLU(name="re_lu")(value + layers.Conv2D(4, 1)(value)))


def _shared() -> Any:
    keras, layers = _keras()
    image = keras.Input((SIDE, SIDE, 1))
    conv, relu = layers.Conv2D(1, 3, padding="same", name="c"), layers.ReLU(name="c-p3")
    return _network(image, relu(conv(relu(conv(image)))))


CASES = (
    Case("one name inside and outside a nested model", _inside_and_outside),
    Case("layers called as Keras's operations", _squeeze_excite),
    Case("an ensemble of networks with the same names", _ensemble),
    Case("a head on a backbone of another session", _head_added_later),
    Case("a shared layer", _shared),
    Case(
        "layers called as the exported values",
        lambda: _named("network", "image", "scores", "heatmap", "add", "affine1"),
    ),
    Case(
        "names with spaces, colons, semicolons and letters of other alphabets",
        lambda: _named("first conv", "x:0", "a;b", "слой", "β", "-p3", "conv-p2", "relu-n4_1"),
    ),
)
