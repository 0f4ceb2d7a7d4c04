"""Rebuilt nodes have names of their own, whatever the layers are called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from zoo import Case
from zoo.names import CASES

from cxr_edge.export.convert.onnx import export_onnx
from cxr_edge.export.graph.graph import build_model, layer_of
from cxr_edge.export.graph.heatmap import explaining_model
from cxr_edge.export.graph.lowering import lower
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.export.quantize.recipe import linear_keys
from cxr_edge.extras import require_tensorflow
from cxr_edge.spec import SEED_SPEC

keras, _ = require_tensorflow("export")
L = keras.layers


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_any_names_can_be_rebuilt_and_converted(case: Case) -> None:
    model = case.build()
    images = np.random.default_rng(0).random((2, *model.inputs[0].shape[1:]), np.float32)
    expected = np.asarray(model(images, training=False))
    graph = lower(read_graph(model))
    for _ in range(2):  # building leaves nothing behind in the user's layers
        rebuilt = build_model(graph)
        names = [operation.name for operation in rebuilt.operations]
        assert len(set(names)) == len(names)
        assert all(name.isascii() and " " not in name for name in names)
        np.testing.assert_allclose(np.asarray(rebuilt(images)), expected, atol=1e-6)
    keys = {layer_of(name) for name in names} - {None}
    assert keys == set(linear_keys(graph))
    export_onnx(build_model(graph))


def test_operations_of_a_heat_map_do_not_meet_layers_of_that_name() -> None:
    image = keras.Input((16, 16, 1))
    value = L.Multiply(name="multiply")([image, L.Conv2D(1, 3, padding="same")(image)])
    value = L.Activation("relu", name="relu")(L.Conv2D(4, 3)(value))
    hidden = L.Dense(3, activation="relu", name="greater")(L.GlobalAveragePooling2D()(value))
    model = keras.Model(image, L.Dense(1, activation="sigmoid", name="heatmap")(hidden))
    rebuilt: Any = explaining_model(lower(read_graph(model)), SEED_SPEC)
    assert len(rebuilt.outputs) == 2


def test_a_name_keeps_what_is_readable_of_it() -> None:
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, L.Flatten()(L.Conv2D(2, 3, name="Block 1: conv;ä")(image)))
    graph = read_graph(model)
    assert linear_keys(graph) == ("Block_1_conv-p1",)
    assert graph.nodes[1].name == "Block 1: conv;ä"  # what messages say
