"""Networks that end otherwise than in one sigmoid or softmax."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from . import Case


def _with_head(*head: Any, loss: Any = None) -> Any:
    model = keras.Sequential(
        [
            keras.Input((32, 32, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            *head,
        ]
    )
    if loss is not None:
        model.compile("adam", loss)
    return model


def _out(units: int, activation: str | None = None) -> Any:
    return layers.Dense(units, activation, name="out")


def _two_outputs() -> Any:
    image = keras.Input((32, 32, 1))
    value = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))
    scores = layers.Dense(1, "sigmoid", name="disease")(value)
    return keras.Model(image, [scores, layers.Dense(1, "sigmoid", name="age")(value)])


LOGITS = {"activation": "logits"}

CASES = (
    Case("one logit, the spec says so", lambda: _with_head(_out(1)), spec=LOGITS),
    Case("two logits, the spec says so", lambda: _with_head(_out(2)), spec=LOGITS),
    Case(
        "four logits, the spec says so",
        lambda: _with_head(_out(4)),
        spec=LOGITS | {"labels": ["A", "B", "C", "D"]},
    ),
    Case(
        "one logit, trained from_logits",
        lambda: _with_head(_out(1), loss=keras.losses.BinaryCrossentropy(from_logits=True)),
        spec={"activation": "sigmoid"},
    ),
    Case(
        "a linear layer that nothing explains",
        lambda: _with_head(_out(1)),
        refusal='is linear.*"activation": "logits"',
        spec={"activation": "sigmoid"},
    ),
    Case("a softmax layer of its own", lambda: _with_head(_out(3), layers.Softmax())),
    Case(
        "a dropout behind the sigmoid", lambda: _with_head(_out(1, "sigmoid"), layers.Dropout(0.1))
    ),
    Case("two sigmoid units", lambda: _with_head(_out(2, "sigmoid")), refusal="multi-label"),
    Case(
        "a softmax over one output",
        lambda: _with_head(_out(1, "softmax")),
        refusal="always 1",
        spec={"activation": "sigmoid"},
    ),
    Case("two outputs", _two_outputs, refusal=r"2 outputs \(disease, age\)"),
    Case(
        "a map as output",
        lambda: keras.Sequential(
            [keras.Input((32, 32, 1)), layers.Conv2D(1, 3, activation="sigmoid", name="out")]
        ),
        refusal="is no classifier",
        spec={"activation": "sigmoid", "labels": ["A", "B"]},
    ),
)
