"""Bias correction: rounding the weights moves no layer's mean answer on the calibration images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cxr_edge.export.graph.graph import Affine, Graph, Linear, build_model
from cxr_edge.export.graph.lowering import lower
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.export.quantize.bias import correct_biases
from cxr_edge.export.quantize.ranges import measure_activations
from cxr_edge.extras import require_tensorflow

SIDE, CHANNELS = 6, 4
Numbers = npt.NDArray[np.float64]

keras, _ = require_tensorflow("export")
L = keras.layers


def graph_of(body: Callable[[Any], Any]) -> Graph:
    """The lowered graph of a function from an image, with random weights."""
    image = keras.Input((SIDE, SIDE, CHANNELS))
    model = keras.Model(image, body(image))
    random = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign(random.normal(0, 0.5, tuple(weight.shape)))
    return lower(read_graph(model))


def images(count: int = 20) -> Numbers:
    """Images of another brightness in each channel: their mean is far from 0."""
    drawn = np.random.default_rng(4).normal(0, 1, (count, SIDE, SIDE, CHANNELS))
    return drawn + np.arange(1, CHANNELS + 1)


def linear_positions(graph: Graph) -> list[int]:
    return [i for i, node in enumerate(graph.nodes) if isinstance(node.operation, Linear)]


def linear(graph: Graph, position: int) -> Linear:
    step = graph.nodes[position].operation
    assert isinstance(step, Linear)
    return step


def rounded(step: Linear, levels: int) -> Linear:
    """A layer with weights on a grid of its own for each output, as quantizers make it."""
    kernel = step.kernel.copy()
    outputs = kernel.shape[-1]
    columns = [np.index_exp[..., o] for o in range(outputs)]
    if step.kind == "depthwise":
        columns = [np.index_exp[:, :, i, o] for i in range(kernel.shape[2]) for o in range(outputs)]
    for column in columns:
        largest = np.abs(kernel[column]).max()
        if largest > 0:
            kernel[column] = np.rint(kernel[column] / largest * levels) / levels * largest
    return dataclasses.replace(step, kernel=kernel)


def mean_answer(graph: Graph, step: Linear, position: int, batch: Numbers) -> Numbers:
    """The mean of each output of a layer put in the place of the graph's."""
    changes: dict[int, Linear | Affine] = {position: step}
    _, answer = build_model(graph.replace(changes), [position])(batch, training=False)
    values = np.asarray(answer, np.float64)
    return np.asarray(values.mean(axis=tuple(range(values.ndim - 1))))


def assert_means_kept(graph: Graph, batch: Numbers, levels: int, *, positions: list[int]) -> None:
    corrected = correct_biases(graph, measure_activations(graph, batch), levels=levels, skip=())
    for at in positions:
        step, new = linear(graph, at), linear(corrected, at)
        np.testing.assert_array_equal(new.kernel, step.kernel)  # the quantizer rounds, not this
        expected = mean_answer(graph, step, at, batch)
        without = mean_answer(graph, rounded(step, levels), at, batch)
        assert np.abs(without - expected).max() > 1e-3, "rounding does no harm: nothing is tested"
        found = mean_answer(graph, rounded(new, levels), at, batch)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("levels", [5, 64, 127])
@pytest.mark.usefixtures("double_precision")
def test_dense_layers_answer_the_same_on_average(levels: int) -> None:
    def body(x: Any) -> Any:
        return L.Dense(3, activation="softmax")(L.Dense(7, activation="relu")(L.Flatten()(x)))

    graph = graph_of(body)
    positions = linear_positions(graph)
    assert len(positions) == 2
    assert_means_kept(graph, images(), levels, positions=positions)


CONVOLUTIONS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda x: L.Conv2D(5, 3)(x),
    "strided": lambda x: L.Conv2D(5, (2, 3), strides=2)(x),
    "dilated": lambda x: L.Conv2D(5, 2, dilation_rate=3)(x),
    "grouped": lambda x: L.Conv2D(6, 3, groups=2)(x),
    "depthwise": lambda x: L.DepthwiseConv2D(3)(x),
    "depthwise with multiplier": lambda x: L.DepthwiseConv2D(2, depth_multiplier=2)(x),
    "whole image": lambda x: L.Conv2D(5, SIDE)(x),
    "single pixels": lambda x: L.Conv2D(5, 1)(x),
    "padded": lambda x: L.Conv2D(5, 3, padding="same")(x),
    "padded and strided": lambda x: L.Conv2D(5, (5, 2), strides=2, padding="same")(x),
    "padded and dilated": lambda x: L.Conv2D(5, 3, dilation_rate=(2, 1), padding="same")(x),
    "padded and grouped": lambda x: L.Conv2D(6, 3, groups=2, padding="same")(x),
    "padded depthwise": lambda x: L.DepthwiseConv2D(4, 2, padding="same", depth_multiplier=2)(x),
}


@pytest.mark.parametrize("levels", [5, 64])
@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.usefixtures("double_precision")
def test_convolutions_answer_the_same_on_average_over_images_and_positions(
    name: str, levels: int
) -> None:
    graph = graph_of(lambda x: L.GlobalAveragePooling2D()(CONVOLUTIONS[name](x)))
    assert_means_kept(graph, images(), levels, positions=[1])


@pytest.mark.usefixtures("double_precision")
def test_a_dense_layer_on_every_pixel_answers_the_same_on_average() -> None:
    graph = graph_of(lambda x: L.Dense(3)(L.Conv2D(5, 3, padding="same", activation="relu")(x)))
    assert_means_kept(graph, images(), 5, positions=linear_positions(graph)[1:])


@pytest.mark.usefixtures("double_precision")
def test_skipped_layers_keep_their_bias() -> None:
    def body(x: Any) -> Any:
        x = L.Conv2D(4, 2, activation="relu")(L.Conv2D(4, 2, activation="relu")(x))
        return L.Dense(2)(L.Flatten()(x))

    graph = graph_of(body)
    positions = linear_positions(graph)
    statistics = measure_activations(graph, images())
    for skip in ((), positions[:1], positions[1:], positions):
        corrected = correct_biases(graph, statistics, levels=7, skip=skip)
        for at in positions:
            same = np.array_equal(linear(corrected, at).bias, linear(graph, at).bias)
            assert same == (at in skip)
    assert correct_biases(graph, statistics, levels=7, skip=positions) == graph


@pytest.mark.parametrize("name", ["plain", "grouped", "depthwise", "dense"])
@pytest.mark.usefixtures("double_precision")
def test_a_kernel_of_zeros_needs_no_correction(name: str) -> None:
    def body(x: Any) -> Any:
        return L.Dense(4)(L.Flatten()(x)) if name == "dense" else CONVOLUTIONS[name](x)

    graph = graph_of(body)
    (at,) = linear_positions(graph)
    step = linear(graph, at)
    statistics = measure_activations(graph, images())
    some = step.kernel.copy()
    if name == "depthwise":
        some[:, :, 1] = 0
    else:
        some[..., 1] = 0
    for kernel in (np.zeros_like(step.kernel), some):
        zeros = graph.replace({at: dataclasses.replace(step, kernel=kernel)})
        bias = linear(correct_biases(zeros, statistics, levels=7, skip=()), at).bias
        assert np.isfinite(bias).all()
        kept = bias == step.bias
        assert kept[1] and kept.all() == (not kernel.any())


@pytest.mark.usefixtures("double_precision")
def test_weights_on_the_grid_need_no_correction() -> None:
    graph = graph_of(lambda x: L.Conv2D(3, 3)(x))
    step = linear(graph, 1)
    kernel = np.random.default_rng(0).integers(-7, 8, step.kernel.shape).astype(np.float64)
    kernel[0, 0, 0] = 7
    graph = graph.replace({1: dataclasses.replace(step, kernel=kernel / 4)})
    corrected = correct_biases(graph, measure_activations(graph, images()), levels=7, skip=())
    np.testing.assert_allclose(linear(corrected, 1).bias, step.bias, rtol=1e-12)
