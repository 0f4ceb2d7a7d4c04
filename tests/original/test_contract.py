"""Layers that are random, depend on the batch or are quantized are refused in one line, by name."""

from __future__ import annotations

from typing import Any

import pytest
from zoo import Case
from zoo.layers import CASES

from cxr_edge.errors import ModelError
from cxr_edge.extras import require_tensorflow
from cxr_edge.original.contract import check_structure

keras, _ = require_tensorflow("export")
L = keras.layers


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
