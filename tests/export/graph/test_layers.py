"""Layers are known by their class and activations by their function, never by a name."""

from __future__ import annotations

from typing import Any

import pytest

from cxr_edge.export.graph.graph import Call, Graph, Node
from cxr_edge.export.graph.layers import (
    MAX_POOLING,
    TRAINING_ONLY,
    LayerGroup,
    activation_name,
    is_identity,
    is_layer,
)
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.extras import require_tensorflow


def graph_of(*layers: Any) -> Graph:
    keras, _ = require_tensorflow("export")
    return read_graph(keras.Sequential([keras.Input((4, 4, 2)), *layers]))


def last_node(*layers: Any) -> Node:
    return graph_of(*layers).nodes[-1]


def test_a_subclass_is_not_the_layer_that_it_is_named_like() -> None:
    keras, _ = require_tensorflow("export")

    class MaxPooling2D(keras.layers.MaxPooling2D):
        def call(self, value: Any) -> Any:
            return -super().call(value)

    assert is_layer(last_node(keras.layers.MaxPooling2D()), MAX_POOLING)
    assert not is_layer(last_node(MaxPooling2D()), MAX_POOLING)


def test_a_subclass_of_a_linear_layer_is_called_as_it_is() -> None:
    keras, _ = require_tensorflow("export")

    class Dense(keras.layers.Dense):
        def call(self, value: Any) -> Any:
            return super().call(value) * 2

    assert isinstance(last_node(Dense(3, name="doubled")).operation, Call)


@pytest.mark.parametrize("name", ["linear", "relu", "leaky_relu", "sigmoid", "softmax"])
def test_an_activation_is_known_by_its_function(name: str) -> None:
    keras, _ = require_tensorflow("export")
    node = last_node(keras.layers.Activation(name))
    assert activation_name(node) == name
    assert is_identity(node) == (name == "linear")


def test_another_function_of_the_same_name_is_not_that_activation() -> None:
    keras, _ = require_tensorflow("export")

    def relu(value: Any) -> Any:
        return keras.ops.maximum(value, -1.0)

    assert activation_name(last_node(keras.layers.Activation(relu))) is None
    assert activation_name(last_node(keras.layers.Activation("tanh"))) is None


@pytest.mark.parametrize(
    ("options", "name"), [({}, "relu"), ({"max_value": 6.0}, None), ({"threshold": 0.5}, None)]
)
def test_a_relu_with_a_ceiling_or_a_threshold_is_no_relu(
    options: dict[str, float], name: str | None
) -> None:
    keras, _ = require_tensorflow("export")
    assert activation_name(last_node(keras.layers.ReLU(**options))) == name


def test_a_layer_that_this_keras_lacks_is_ignored() -> None:
    keras, _ = require_tensorflow("export")
    node = last_node(keras.layers.Dropout(0.5))
    assert is_layer(node, LayerGroup(("OfALaterKeras", "Dropout")))
    assert not is_layer(node, LayerGroup(("OfALaterKeras",)))


def test_the_names_of_layers_that_act_in_training_only_are_those_of_keras() -> None:
    """A misspelt one would be kept in every file without a word."""
    keras, _ = require_tensorflow("export")
    missing = {name for name in TRAINING_ONLY.names if not hasattr(keras.layers, name)}
    newer = {"RandomGaussianBlur", "RandomErasing", "RandomColorJitter", "RandomElasticTransform"}
    newer |= {"RandomColorDegeneration", "RandomGrayscale", "RandomInvert", "RandomPosterization"}
    assert missing <= newer | {"Solarization", "RandAugment", "AugMix", "MixUp", "CutMix"}


@pytest.mark.parametrize(("axis", "name"), [(-1, "softmax"), (3, "softmax"), (1, None)])
def test_a_softmax_along_another_axis_is_not_that_of_the_labels(axis: int, name: str) -> None:
    keras, _ = require_tensorflow("export")
    assert activation_name(last_node(keras.layers.Softmax(axis=axis))) == name


def test_activations_called_as_operations_are_known() -> None:
    keras, _ = require_tensorflow("export")
    image = keras.Input((4, 4, 2))
    for output, name in (
        (keras.activations.relu(image), "relu"),
        (keras.ops.sigmoid(image), "sigmoid"),
        (keras.activations.relu(image, max_value=6.0), None),
    ):
        assert activation_name(read_graph(keras.Model(image, output)).nodes[-1]) == name
