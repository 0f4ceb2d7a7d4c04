"""Ranges of activations: what is measured equals what numpy computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cxr_edge.export.graph.graph import Graph, Linear
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.export.quantize.ranges import ActivationStatistics, measure_activations
from cxr_edge.extras import require_tensorflow


@pytest.fixture(scope="module")
def network() -> tuple[Graph, tuple[np.ndarray, np.ndarray]]:
    """A 1x1 convolution of two channels, ReLU, the mean of the image, a dense layer."""
    keras, _ = require_tensorflow("export")
    random = np.random.default_rng(1)
    kernel, bias = random.normal(size=(2, 3)), random.normal(size=3)
    image = keras.Input((4, 5, 2))
    hidden = keras.layers.Conv2D(3, 1, activation="relu", name="conv")
    pooled = keras.layers.GlobalAveragePooling2D()(hidden(image))
    model = keras.Model(image, keras.layers.Dense(1, activation="sigmoid")(pooled))
    hidden.set_weights([kernel[np.newaxis, np.newaxis], bias])
    return read_graph(model), (kernel, bias)


def feeding(graph: Graph, kind: str) -> int:
    """The position of the node that feeds a layer of this kind."""
    (position,) = (
        node.inputs[0]
        for node in graph.nodes
        if isinstance(node.operation, Linear) and node.operation.kind == kind
    )
    return position


@pytest.mark.parametrize("count", [1, 16, 40], ids=["one", "one whole chunk", "a chunk cut short"])
def test_what_layers_see_is_what_numpy_computes(network: Any, count: int) -> None:
    graph, (kernel, bias) = network
    # The last images differ much: a chunk cut short must not count as a whole one.
    size = np.linspace(0.1, 3, count)[:, np.newaxis, np.newaxis, np.newaxis]
    batch = np.random.default_rng(2).normal(-0.2, size, (count, 4, 5, 2)).astype(np.float32)
    pooled = np.maximum(batch.astype(np.float64) @ kernel + bias, 0).mean(axis=(1, 2))
    statistics: ActivationStatistics = measure_activations(graph, batch)
    conv, dense = feeding(graph, "conv"), feeding(graph, "dense")
    assert set(statistics.peaks) == set(statistics.means) == {conv, dense} and conv == 0
    np.testing.assert_allclose(statistics.peaks[conv], np.abs(batch).max(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(
        statistics.means[conv], batch.mean(axis=0, dtype=np.float64), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(statistics.peaks[dense], pooled.max(axis=0), rtol=1e-5)
    np.testing.assert_allclose(statistics.means[dense], pooled.mean(axis=0), rtol=1e-5)


def test_a_network_without_linear_layers_sees_nothing() -> None:
    keras, _ = require_tensorflow("export")
    image = keras.Input((4, 5, 2))
    scores = keras.layers.Softmax()(keras.layers.GlobalAveragePooling2D()(image))
    graph = read_graph(keras.Model(image, scores))
    assert not any(isinstance(node.operation, Linear) for node in graph.nodes)
    statistics = measure_activations(graph, np.zeros((3, 4, 5, 2), np.float32))
    assert (dict(statistics.peaks), dict(statistics.means)) == ({}, {})
