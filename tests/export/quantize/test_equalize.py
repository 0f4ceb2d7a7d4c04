"""Equalization changes no answer, and evens out what quantizing would lose."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_edge.export.graph.graph import Affine, Graph, Linear, build_model
from cxr_edge.export.graph.lowering import lower
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.export.quantize.equalize import Pair, equalize, find_pairs
from cxr_edge.export.quantize.ranges import ActivationStatistics, measure_activations
from cxr_edge.extras import require_tensorflow

SIDE, CHANNELS = 9, 2
Numbers = npt.NDArray[np.float64]
STRENGTHS = (0.0, 0.3, 1.0)

keras, _ = require_tensorflow("export")
L = keras.layers


def graph_of(body: Callable[[Any], Any], seed: int = 0) -> Graph:
    """The lowered graph of a function from an image, with random weights and statistics."""
    image = keras.Input((SIDE, SIDE, CHANNELS))
    model = keras.Model(image, body(image))
    random = np.random.default_rng(seed)
    for weight in model.weights:
        shape = tuple(weight.shape)
        if weight.name in ("gamma", "moving_variance"):
            values = random.uniform(0.3, 2, shape)
        elif weight.name in ("bias", "beta", "moving_mean"):
            values = random.normal(0, 0.5, shape)
        else:
            fan_in = np.prod(shape[:2] if weight.name == "depthwise_kernel" else shape[:-1])
            values = random.normal(0, np.sqrt(1 / fan_in), shape)
            values *= np.exp(random.normal(0, 1, shape[-1]))  # channels of unlike sizes
        weight.assign(values)
    return lower(read_graph(model))


def images(count: int = 20, seed: int = 0) -> Numbers:
    return np.random.default_rng([2, seed]).normal(0, 1, (count, SIDE, SIDE, CHANNELS))


def scores(graph: Graph, batch: Numbers) -> Numbers:
    return np.asarray(build_model(graph)(batch, training=False), np.float64)


def linear(graph: Graph, position: int) -> Linear:
    step = graph.nodes[position].operation
    assert isinstance(step, Linear)
    return step


def two_layers(between: Callable[[Any], Any], seed: int = 0) -> Graph:
    """Two convolutions with something between them."""
    return graph_of(
        lambda x: L.GlobalMaxPooling2D()(
            L.Activation("tanh")(L.Conv2D(3, 2)(between(L.Conv2D(4, 3, padding="same")(x))))
        ),
        seed,
    )


def same_statistics(found: ActivationStatistics, expected: ActivationStatistics) -> None:
    assert found.peaks.keys() == expected.peaks.keys() == found.means.keys()
    for at in expected.peaks:
        size = np.abs(expected.peaks[at]).max()
        np.testing.assert_allclose(found.peaks[at], expected.peaks[at], rtol=1e-9)
        np.testing.assert_allclose(
            found.means[at], expected.means[at], rtol=1e-9, atol=1e-12 * size
        )


STEPS: dict[str, Callable[[Any], Any]] = {
    "conv": lambda x: L.Conv2D(4, 3, padding="same", activation="relu")(x),
    "strided": lambda x: L.Conv2D(2, 2, strides=2, padding="same", activation="leaky_relu")(x),
    "grouped": lambda x: L.Conv2D(6, 2, groups=2, padding="same", activation="relu")(x),
    "depthwise": lambda x: L.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(x),
    "relu": lambda x: L.ReLU()(x),
    "leaky relu": lambda x: L.LeakyReLU(negative_slope=0.2)(x),
    "norm": lambda x: L.BatchNormalization()(x),
    "max": lambda x: L.MaxPooling2D(2, strides=1, padding="same")(x),
    "average": lambda x: L.AveragePooling2D(2, padding="same")(x),
    "zeros": lambda x: L.ZeroPadding2D(1)(x),
    "relu6": lambda x: L.ReLU(max_value=6)(x),
    "branch": lambda x: L.Add()([x, L.Conv2D(x.shape[-1], 1, activation="relu")(x)]),
}
HEADS: dict[str, Callable[[Any], Any]] = {
    "flatten": lambda x: L.Flatten()(x),
    "average": lambda x: L.GlobalAveragePooling2D()(x),
    "max": lambda x: L.GlobalMaxPooling2D()(x),
}


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from(sorted(STEPS)), max_size=6),
    st.sampled_from(sorted(HEADS)),
    st.sampled_from(STRENGTHS),
    st.integers(0, 2**16),
)
@pytest.mark.usefixtures("double_precision")
def test_no_score_changes_and_the_statistics_are_those_of_the_new_network(
    steps: list[str], head: str, strength: float, seed: int
) -> None:
    def body(x: Any) -> Any:
        for name in ("conv", *steps):
            x = STEPS[name](x)
        return L.Dense(2)(L.Dense(5, activation="relu")(HEADS[head](x)))

    graph, batch = graph_of(body, seed), images(5, seed)
    pairs = find_pairs(graph)
    assert pairs  # between the dense layers at least
    statistics = measure_activations(graph, batch)
    even, seen = equalize(graph, statistics, dict.fromkeys(pairs, strength))
    expected = scores(graph, batch)
    np.testing.assert_allclose(
        scores(even, batch), expected, rtol=1e-9, atol=1e-11 * np.abs(expected).max()
    )
    same_statistics(seen, measure_activations(even, batch))


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize(
    "name",
    ["relu", "leaky relu", "max", "average", "zeros", "shift", "nothing"],
)
@pytest.mark.usefixtures("double_precision")
def test_factors_move_through_what_is_positively_homogeneous(name: str, strength: float) -> None:
    def between(x: Any) -> Any:
        if name == "nothing":
            return x
        if name == "shift":  # before a padding, so that it cannot go into a bias
            return L.ZeroPadding2D(1)(L.MaxPooling2D(2)(L.BatchNormalization()(L.ReLU()(x))))
        return STEPS[name](x)

    graph = two_layers(between)
    (pair,) = find_pairs(graph)
    assert len(pair.shifts) == (name == "shift")
    assert [type(graph.nodes[at].operation) for at in pair.shifts] == [Affine] * len(pair.shifts)
    batch = images(4)
    even, seen = equalize(graph, measure_activations(graph, batch), {pair: strength})
    assert np.abs(
        linear(even, pair.consumer).kernel - linear(graph, pair.consumer).kernel
    ).max() > (0.01)
    np.testing.assert_allclose(scores(even, batch), scores(graph, batch), rtol=1e-9)
    same_statistics(seen, measure_activations(even, batch))


@pytest.mark.parametrize(
    "between",
    [
        lambda x: L.ReLU(max_value=6)(x),
        lambda x: L.Activation("relu6")(x),
        lambda x: L.ReLU(threshold=0.5)(x),
        lambda x: L.Activation("tanh")(x),
        lambda x: L.Activation("sigmoid")(x),
        lambda x: L.PReLU()(x),
        lambda x: L.Rescaling(2.0, 0.5)(L.Activation("tanh")(x)),
        lambda x: L.BatchNormalization(axis=1)(x),
        lambda x: L.Add()([x, L.Activation("tanh")(x)]),
        lambda x: L.Concatenate()([x, x]),
        lambda x: L.ReLU()(L.Activation("tanh")(L.ReLU()(x))),
    ],
    ids=[
        "relu6", "relu6 by name", "threshold", "tanh", "sigmoid", "prelu", "scale", "other axis",
        "sum", "concatenation", "tanh between relus",
    ],
)  # fmt: skip
@pytest.mark.usefixtures("double_precision")
def test_what_is_not_homogeneous_separates_layers(between: Callable[[Any], Any]) -> None:
    assert find_pairs(two_layers(between)) == ()


@pytest.mark.parametrize("at", ["convolution", "relu", "pool"])
@pytest.mark.usefixtures("double_precision")
def test_an_output_with_two_readers_is_not_scaled(at: str) -> None:
    def body(x: Any) -> Any:
        first = L.Conv2D(4, 3)(x)
        second = L.ReLU()(first)
        third = L.MaxPooling2D(2, strides=1, padding="same")(second)
        read = {"convolution": first, "relu": second, "pool": third}[at]
        out = L.Add()([L.Conv2D(4, 1)(third), L.Activation("tanh")(read)])
        return L.GlobalAveragePooling2D()(out)

    assert find_pairs(graph_of(body)) == ()


@pytest.mark.usefixtures("double_precision")
def test_a_layer_with_two_linear_readers_is_not_scaled() -> None:
    def body(x: Any) -> Any:
        maps = L.Conv2D(4, 3, activation="relu")(x)
        return L.GlobalAveragePooling2D()(L.Add()([L.Conv2D(2, 2)(maps), L.Conv2D(2, 2)(maps)]))

    assert find_pairs(graph_of(body)) == ()


@pytest.mark.usefixtures("double_precision")
def test_pairs_follow_each_other_along_a_chain() -> None:
    def body(x: Any) -> Any:
        x = L.Conv2D(4, 3, activation="relu")(x)
        x = L.DepthwiseConv2D(3, activation="relu")(x)
        x = L.Conv2D(6, 1, activation="relu6")(x)
        x = L.Conv2D(6, 1, groups=2, activation="relu")(x)
        return L.Dense(2)(L.Flatten()(L.MaxPooling2D(2)(x)))

    graph = graph_of(body)
    layers = [i for i, node in enumerate(graph.nodes) if isinstance(node.operation, Linear)]
    pairs = find_pairs(graph)
    assert [(pair.producer, pair.consumer) for pair in pairs] == [
        (layers[0], layers[1]),
        (layers[1], layers[2]),
        (layers[3], layers[4]),
    ]
    assert all(pair.input == graph.nodes[pair.consumer].inputs[0] for pair in pairs)


FACTORED: dict[str, Callable[[Any], Any]] = {
    "conv": lambda x: L.Conv2D(3, 2)(L.ReLU()(L.Conv2D(4, 3)(x))),
    "grouped": lambda x: L.Conv2D(4, 2, groups=2)(L.ReLU()(L.Conv2D(4, 3)(x))),
    "depthwise reads": lambda x: L.DepthwiseConv2D(2)(L.ReLU()(L.Conv2D(4, 3)(x))),
    "depthwise writes": lambda x: L.Conv2D(3, 2)(L.DepthwiseConv2D(2, depth_multiplier=2)(x)),
    "flatten": lambda x: L.Dense(3)(L.Flatten()(L.Conv2D(4, 3, strides=2)(x))),
}


def factors_of(before: Graph, after: Graph, pair: Pair) -> Numbers:
    """What each channel of the producer was divided by, from its bias."""
    return linear(before, pair.producer).bias / linear(after, pair.producer).bias


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("name", FACTORED)
@pytest.mark.usefixtures("double_precision")
def test_the_geometric_mean_of_the_factors_is_one(name: str, strength: float) -> None:
    graph = graph_of(FACTORED[name])
    (pair,) = find_pairs(graph)
    even, _ = equalize(graph, measure_activations(graph, images()), {pair: strength})
    factors = factors_of(graph, even, pair)
    assert (factors > 0).all() and np.ptp(factors) > 0.1
    assert np.exp(np.log(factors).mean()) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("name", FACTORED)
@pytest.mark.usefixtures("double_precision")
def test_the_factors_are_those_of_smoothquant(name: str) -> None:
    """Strength 1 evens out activations, 0 evens out weights, 0.5 makes both alike."""
    graph = graph_of(FACTORED[name])
    (pair,) = find_pairs(graph)
    batch = images()
    channels = len(linear(graph, pair.producer).bias)

    def peaks_at(strength: float) -> tuple[Numbers, Numbers]:
        """The largest activation and the largest weight of each channel."""
        even, seen = equalize(graph, measure_activations(graph, batch), {pair: strength})
        step = linear(even, pair.consumer)
        groups = step.layer.groups if name == "grouped" else 1
        kernel = np.abs(step.kernel)
        if step.kind == "conv":  # one block of inputs after the other
            parts = np.split(kernel, groups, axis=3)
            weights = np.concatenate([part.max(axis=(0, 1, 3)) for part in parts])
        else:
            weights = kernel.max(axis=(0, 1, 3)) if kernel.ndim == 4 else kernel.max(axis=1)
        return (
            seen.peaks[pair.input].reshape(-1, channels).max(axis=0),
            weights.reshape(-1, channels).max(axis=0),
        )

    activations, _ = peaks_at(1)
    np.testing.assert_allclose(activations, activations[0], rtol=1e-9)
    _, weights = peaks_at(0)
    np.testing.assert_allclose(weights, weights[0], rtol=1e-9)
    activations, weights = peaks_at(0.5)
    np.testing.assert_allclose(activations / weights, activations[0] / weights[0], rtol=1e-9)


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("dead", ["never active", "never read", "both", "all of them"])
@pytest.mark.usefixtures("double_precision")
def test_a_dead_channel_is_left_as_it_is(dead: str, strength: float) -> None:
    graph = two_layers(lambda x: L.ReLU()(x))
    (pair,) = find_pairs(graph)
    producer, consumer = linear(graph, pair.producer), linear(graph, pair.consumer)
    gone = np.arange(4) == 2 if dead != "all of them" else np.ones(4, bool)
    changes: dict[int, Linear | Affine] = {}
    if dead != "never read":  # its bias is negative: the ReLU gives zeros
        bias = np.where(gone, -1.0, producer.bias)
        kernel = np.where(gone, 0, producer.kernel)
        changes[pair.producer] = dataclasses.replace(producer, kernel=kernel, bias=bias)
    if dead != "never active":
        kernel = np.where(gone[:, np.newaxis], 0, consumer.kernel)
        changes[pair.consumer] = dataclasses.replace(consumer, kernel=kernel)
    graph = graph.replace(changes)
    batch = images()
    even, seen = equalize(graph, measure_activations(graph, batch), {pair: strength})
    factors = factors_of(graph, even, pair)
    np.testing.assert_array_equal(factors[gone], 1)
    if dead != "all of them":
        assert np.exp(np.log(factors[~gone]).mean()) == pytest.approx(1, rel=1e-12)
        assert np.ptp(factors[~gone]) > 0.01
    assert all(np.isfinite(values).all() for values in seen.peaks.values())
    np.testing.assert_allclose(scores(even, batch), scores(graph, batch), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["conv", "grouped", "depthwise reads", "flatten"])
@pytest.mark.usefixtures("double_precision")
def test_a_channel_a_thousand_times_larger_comes_back_into_line(name: str) -> None:
    graph = graph_of(FACTORED[name])
    (pair,) = find_pairs(graph)
    batch = images()
    width = graph.nodes[pair.input].channels
    large = Pair(pair.producer, pair.shifts, pair.input, pair.consumer)
    # The same function with one channel out of line, as training may leave it.
    scale = np.where(np.arange(4) == 1, 1000.0, 1.0)
    producer, consumer = linear(graph, pair.producer), linear(graph, pair.consumer)
    spread = np.tile(scale, width // 4)
    kernel = consumer.kernel.copy()
    if name == "grouped":  # the second input of the first group, which gives half the outputs
        kernel[:, :, 1, :2] /= 1000
    elif consumer.kind == "dense":
        kernel /= spread[:, np.newaxis]
    else:
        kernel /= scale[:, np.newaxis]
    uneven = graph.replace(
        {
            pair.producer: dataclasses.replace(
                producer, kernel=producer.kernel * scale, bias=producer.bias * scale
            ),
            pair.consumer: dataclasses.replace(consumer, kernel=kernel),
        }
    )
    np.testing.assert_allclose(scores(uneven, batch), scores(graph, batch), rtol=1e-9)

    def unevenness(statistics: ActivationStatistics) -> float:
        peaks = statistics.peaks[pair.input].reshape(-1, 4).max(axis=0)
        return float(peaks.max() / peaks.min())

    before = measure_activations(uneven, batch)
    assert unevenness(before) > 100
    for strength, limit in ((0.5, 20), (1.0, 1 + 1e-9)):
        even, seen = equalize(uneven, before, {large: strength})
        assert unevenness(seen) < limit
        np.testing.assert_allclose(scores(even, batch), scores(graph, batch), rtol=1e-9)


@pytest.mark.usefixtures("double_precision")
def test_pairs_that_are_not_named_stay_as_they_are() -> None:
    def body(x: Any) -> Any:
        x = L.Conv2D(4, 3, activation="relu")(x)
        x = L.Conv2D(4, 3, activation="relu")(x)
        return L.Dense(2)(L.Flatten()(x))

    graph = graph_of(body)
    pairs = find_pairs(graph)
    assert len(pairs) == 2
    batch = images(4)
    statistics = measure_activations(graph, batch)
    kernels = [linear(graph, at).kernel.copy() for at in (pairs[0].producer, pairs[1].consumer)]
    peaks = {at: values.copy() for at, values in statistics.peaks.items()}
    even, seen = equalize(graph, statistics, {pairs[1]: 0.5})
    np.testing.assert_array_equal(linear(even, pairs[0].producer).kernel, kernels[0])
    assert np.any(linear(even, pairs[1].consumer).kernel != kernels[1])
    np.testing.assert_array_equal(seen.peaks[pairs[0].input], peaks[pairs[0].input])
    # What was given is not changed either.
    np.testing.assert_array_equal(linear(graph, pairs[1].consumer).kernel, kernels[1])
    for at, values in peaks.items():
        np.testing.assert_array_equal(statistics.peaks[at], values)
    same, _ = equalize(graph, statistics, {})
    assert same == graph
