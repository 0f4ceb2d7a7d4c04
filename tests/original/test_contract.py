"""Layers that are random, depend on the batch or are quantized are refused in one line, by name."""

from __future__ import annotations

from typing import Any

import pytest
from zoo import Case
from zoo.layers import CASES

from cxr_edge.errors import ModelError
from cxr_edge.extras import require_tensorflow
from cxr_edge.original.contract import check_input, check_structure
from cxr_edge.original.heads import read_head
from cxr_edge.original.saved import SavedModel
from cxr_edge.spec import parse_spec

keras, _ = require_tensorflow("export")
L = keras.layers
GREY = parse_spec(b'{"labels": ["a", "b"], "input": {"height": 8, "width": 8, "scale": 1.0}}')


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.parametrize("case", [case for case in CASES if case.refusal], ids=lambda c: c.name)
def test_a_layer_that_cannot_be_exported_is_named(case: Case) -> None:
    with pytest.raises(ModelError, match=case.refusal) as error:
        check_structure(case.build(), "model.keras", keras)
    message = str(error.value)
    assert "\n" not in message and len(message) <= 300


@pytest.mark.parametrize(
    ("layer", "options"),
    [
        (lambda: L.Dropout(0.0), {"training": True}),
        (lambda: L.Dropout(0.5), {"training": False}),
        (lambda: L.BatchNormalization(trainable=False), {"training": True}),
        (lambda: L.RandomFlip(), {}),  # its default is True
        (lambda: L.ActivityRegularization(l2=0.1), {}),
    ],
)
def test_a_layer_that_gives_one_answer_passes(layer: Any, options: dict[str, bool]) -> None:
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, L.Flatten()(layer()(image, **options)))
    check_structure(model, "model.keras", keras)


def test_images_of_a_type_that_cannot_hold_pixels_are_refused() -> None:
    for dtype in ("int8", "bool"):
        model = keras.Sequential([keras.Input((8, 8, 1), dtype=dtype), L.Flatten(), L.Dense(1)])
        with pytest.raises(ModelError, match=f"takes {dtype} images"):
            check_input(model, GREY, "model.keras")


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_head_that_gives_no_probability_is_refused_by_name(activation: str) -> None:
    model = keras.Sequential([keras.Input((8, 8, 1)), L.Flatten(), L.Dense(1, activation)])
    with pytest.raises(ModelError, match=rf"ends in {activation} \(layer"):
        read_head(SavedModel(model, "keras", False, "", False), GREY, "model.keras", keras)


def test_logits_of_a_multi_label_network_are_refused() -> None:
    model = keras.Sequential([keras.Input((8, 8, 1)), L.Flatten(), L.Dense(2)])
    saved = SavedModel(model, "keras", True, "binary_crossentropy", False)
    with pytest.raises(ModelError, match="multi-label"):
        read_head(saved, GREY, "model.keras", keras)
