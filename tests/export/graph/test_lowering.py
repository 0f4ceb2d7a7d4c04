"""Lowering changes no answer: random networks in double precision, and what is left of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_edge import Bundle
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.errors import ExportError
from cxr_edge.export.graph.graph import (
    Affine,
    Graph,
    Linear,
    build_model,
    layer_of,
)
from cxr_edge.export.graph.layers import LayerGroup, activation_name, is_identity, is_layer
from cxr_edge.export.graph.lowering import lower
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.extras import require_tensorflow
from cxr_edge.original.keras_model import keras_scores, load_keras
from cxr_edge.preprocess import resize_to_input
from cxr_edge.spec import SEED_SPEC

SIDE, CHANNELS = 9, 3
GAMMAS = {
    "positive": (0.3, 2.0, 1.0),
    "mixed": (0.3, 2.0, 0.6),
    "negative": (0.3, 2.0, 0.0),
    "some zero": (0.0, 2.0, 0.6),
}
"""Smallest and largest |gamma|, and how many are positive; a smallest of 0: a third are 0."""
Numbers = npt.NDArray[np.float64]
Step = tuple[Any, ...]

keras, _ = require_tensorflow("export")
L = keras.layers


def randomize(model: Any, seed: int, gammas: str = "mixed") -> Any:
    """Weights, biases and statistics as training might leave them, none of them 0 or 1."""
    random = np.random.default_rng(seed)
    least, most, positive = GAMMAS[gammas]
    for weight in model.weights:
        shape = tuple(weight.shape)
        if weight.name == "gamma":
            values = random.uniform(max(least, 0.3), most, shape)
            values *= np.where(random.random(shape) < positive, 1, -1)
            if least == 0:
                values[random.random(shape) < 0.3] = 0
                values[0] = 0
        elif weight.name == "moving_variance":
            values = random.uniform(0.3, 2, shape)
        elif weight.name in ("bias", "beta", "moving_mean"):
            values = random.normal(0, 0.5, shape)
        elif weight.name == "depthwise_kernel":
            values = random.normal(0, np.sqrt(1 / np.prod(shape[:2])), shape)
        else:
            assert weight.name in ("kernel", "pointwise_kernel"), weight.path
            values = random.normal(0, np.sqrt(1 / np.prod(shape[:-1])), shape)
        weight.assign(values.astype(weight.dtype))
    return model


def lowered(model: Any) -> Graph:
    return lower(read_graph(model))


def assert_same_scores(model: Any, graph: Graph, seed: int = 0) -> None:
    """The graph answers random images like the model, to twelve digits of the largest."""
    images = np.random.default_rng([1, seed]).normal(0, 1, (3, *model.inputs[0].shape[1:]))
    expected = np.asarray(model(images, training=False))
    found = np.asarray(build_model(graph)(images, training=False))
    assert expected.dtype == found.dtype == np.float64
    assert np.ptp(expected) > 0, "the network answers everything alike: nothing is compared"
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11 * np.abs(expected).max())


def check(model: Any, seed: int = 0, gammas: str = "mixed") -> Graph:
    """Lower a model with random weights, compare, and give back the graph."""
    graph = lowered(randomize(model, seed, gammas))
    assert_same_scores(model, graph, seed)
    return graph


def model_of(
    body: Callable[[Any], Any], *, side: int = SIDE, channels: int = CHANNELS, head: bool = True
) -> Any:
    """A model of a function from image to maps, with a pool and a dense layer behind."""
    image = keras.Input((side, side, channels))
    out = body(image)
    if head:
        out = L.Dense(2)(L.GlobalAveragePooling2D()(out))
    return keras.Model(image, out)


def affines(graph: Graph) -> list[Affine]:
    return [node.operation for node in graph.nodes if isinstance(node.operation, Affine)]


def scalings(graph: Graph) -> list[Affine]:
    """Affine maps that do more than shift."""
    return [step for step in affines(graph) if np.any(step.scale != 1)]


# Random networks. A step is a tuple, so that Hypothesis prints and shrinks it.

PADDINGS = st.sampled_from(["same", "valid"])
ACTIVATIONS = st.sampled_from(["linear", "relu", "leaky_relu", "relu6", "tanh"])
CONV = st.tuples(
    st.just("conv"),
    st.integers(1, 2),  # filters of each group
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.sampled_from([(1, 1), (2, 1)]),  # stride and dilation
    st.sampled_from([1, 2]),
    PADDINGS,
    st.sampled_from([1, 2, 3]),  # groups
    st.booleans(),
    ACTIVATIONS,
)
DEPTHWISE = st.tuples(
    st.just("depthwise"), st.integers(1, 3), st.sampled_from([1, 2]), PADDINGS, st.integers(1, 2)
)
NORM = st.tuples(st.just("norm"), st.booleans(), st.booleans())
POOL = st.tuples(
    st.just("pool"), st.sampled_from(["max", "average"]), st.integers(2, 3), st.integers(1, 2),
    PADDINGS,
)  # fmt: skip
PADDING = st.tuples(st.just("zero padding"), st.integers(0, 1), st.integers(1, 2))
PLAIN = st.sampled_from(
    [("relu",), ("leaky relu",), ("relu6",), ("tanh",), ("dropout",), ("dense",), ("separable",)]
)
CONSTANT = st.tuples(
    st.just("constant"),
    st.sampled_from(["add", "subtract", "multiply", "divide"]),
    st.sampled_from(["number", "vector", "row", "tensor"]),
    st.booleans(),  # on the left
)
OPERATION = st.sampled_from(
    [
        *[("hard swish",), ("squeeze excite",), ("sum with itself",), ("negative",), ("crop",)],
        *[("reshape",), ("reshape channels",), ("slice",), ("reverse",), ("relu operation",)],
        *[("normalization",), ("softmax over rows",), ("add operation",), ("product",)],
    ]
)
SIMPLE = st.one_of(CONV, NORM, NORM, POOL, DEPTHWISE, PADDING, PLAIN, CONSTANT, OPERATION)
BRANCHED = st.one_of(
    st.tuples(
        st.sampled_from(["residual", "concatenate", "nested", "nested twice"]),
        st.lists(st.one_of(CONV, NORM, PLAIN, CONSTANT, OPERATION), min_size=0, max_size=3),
    ),
    st.tuples(st.sampled_from(["shared conv", "shared norm", "norm both"])),
)
HEADS = st.tuples(
    st.sampled_from(["average", "max", "flatten"]),
    st.booleans(),  # a normalization behind
    st.booleans(),  # a hidden layer
    st.sampled_from([("sigmoid", 1), ("softmax", 2), ("softmax", 5), ("linear", 2)]),
)


def with_constant(x: Any, name: str, kind: str, left: bool) -> Any:
    """Arithmetic with one constant, which no normalization may be carried past unchanged."""
    rows, columns, channels = x.shape[1:]
    shape = {"number": (), "vector": (channels,), "row": (1, columns, 1), "tensor": x.shape[1:]}
    constant = np.random.default_rng(rows * columns).uniform(0.5, 2, shape[kind])
    constant = float(constant) if kind == "number" else constant
    if name == "divide" and left:
        x = L.ReLU()(x) + 0.5
    arguments = (constant, x) if left else (x, constant)
    return getattr(keras.ops, name)(*arguments)


def squeeze_excite(x: Any) -> Any:
    pooled = L.GlobalAveragePooling2D(keepdims=True)(x)
    return L.Multiply()([x, L.Dense(x.shape[-1], activation="sigmoid")(pooled)])


def scaled(x: Any) -> Any:
    return L.BatchNormalization(center=False)(L.ReLU()(x))


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "hard swish": lambda x: x * L.ReLU(6.0)(x + 3.0) / 6.0,
    "squeeze excite": squeeze_excite,
    "sum with itself": lambda x: x + x,
    "negative": lambda x: -x,
    "crop": lambda x: L.Cropping2D(((0, 1), (1, 0)))(x) if fits(x, 3) else x,
    "reshape": lambda x: L.Reshape((x.shape[2], x.shape[1], x.shape[3]))(x),
    "reshape channels": lambda x: L.Reshape((x.shape[1], 1, x.shape[2] * x.shape[3]))(x),
    "slice": lambda x: x[:, : max(1, x.shape[1] - 1), :, : max(1, x.shape[3] - 1)],
    "reverse": lambda x: x[..., ::-1],
    "relu operation": keras.ops.relu,
    "normalization": lambda x: L.Normalization(mean=0.3, variance=2.5)(x),
    "softmax over rows": lambda x: L.Softmax(axis=1)(x),
    "add operation": lambda x: keras.ops.add(L.BatchNormalization()(x), x),
    "product": lambda x: scaled(x) * scaled(x),
}


def fits(x: Any, size: int) -> bool:
    return min(x.shape[1:3]) >= size


def apply(x: Any, step: Step) -> Any:
    """One step of a random network; what does not fit the map's size is adapted."""
    match step:
        case ("conv", filters, kernel, (stride, _), dilation, padding, groups, bias, activation):
            groups = groups if x.shape[-1] % groups == 0 else 1
            dilation = 1 if stride > 1 else dilation
            if not fits(x, (max(kernel) - 1) * dilation + 1):
                padding = "same"
            layer = L.Conv2D(
                filters * groups * (1 if groups > 1 else 2), kernel, strides=stride,
                padding=padding, dilation_rate=dilation, groups=groups, use_bias=bias,
                activation=activation,
            )  # fmt: skip
            return layer(x)
        case ("depthwise", kernel, stride, padding, multiplier):
            padding = padding if fits(x, kernel) else "same"
            multiplier = multiplier if x.shape[-1] <= 4 else 1
            return L.DepthwiseConv2D(
                kernel, strides=stride, padding=padding, depth_multiplier=multiplier
            )(x)
        case ("norm", scale, center):
            return L.BatchNormalization(scale=scale, center=center)(x)
        case ("pool", kind, size, stride, padding):
            layer = L.MaxPooling2D if kind == "max" else L.AveragePooling2D
            padding = padding if fits(x, size) else "same"
            return layer(size, strides=stride, padding=padding)(x)
        case ("zero padding", before, after):
            return L.ZeroPadding2D(((before, after), (after, before)))(x)
        case ("residual" | "concatenate" as kind, steps):
            y = x
            for inner in steps:
                y = apply(y, inner)
            y = L.Conv2D(x.shape[-1], 1)(y) if y.shape[1:] != x.shape[1:] else y
            if y.shape[1:3] != x.shape[1:3]:
                x, y = L.GlobalMaxPooling2D(keepdims=True)(x), L.GlobalAveragePooling2D(
                    keepdims=True
                )(y)  # fmt: skip
            return L.Add()([x, y]) if kind == "residual" else L.Concatenate()([y, x, y])
        case ("nested" | "nested twice" as kind, steps):
            image = keras.Input(x.shape[1:])
            y = image
            for inner in steps:
                y = apply(y, inner)
            model = keras.Model(image, L.Conv2D(x.shape[-1], 1)(y))
            return model(x) if kind == "nested" or not steps else L.Add()([model(x), model(x * 2)])
        case ("shared conv",):
            layer = L.Conv2D(x.shape[-1], 3, padding="same", activation="relu")
            return layer(layer(x))
        case ("shared norm",):
            layer = L.BatchNormalization()
            return L.Concatenate()([layer(x), layer(L.ReLU()(x))])
        case ("norm both",):
            return L.Add()([L.BatchNormalization()(x), L.BatchNormalization()(L.ReLU()(x))])
        case ("constant", name, kind, left):
            return with_constant(x, name, kind, left)
        case (name,) if name in OPERATIONS:
            return OPERATIONS[name](x)
        case (name,):
            return {
                "relu": L.ReLU(),
                "leaky relu": L.LeakyReLU(negative_slope=0.1),
                "relu6": L.ReLU(max_value=6),
                "tanh": L.Activation("tanh"),
                "dropout": L.Dropout(0.5),
                "dense": L.Dense(3, activation="relu"),
                "separable": L.SeparableConv2D(3, 2, padding="same"),
            }[name](x)
    raise AssertionError(step)


def network(steps: list[Step], head: Step) -> Any:
    """A classifier of small images."""
    pool, norm, hidden, (activation, labels) = head
    image = keras.Input((SIDE, SIDE, CHANNELS))
    x = image
    for step in steps:
        x = apply(x, step)
    last = {
        "average": L.GlobalAveragePooling2D,
        "max": L.GlobalMaxPooling2D,
        "flatten": L.Flatten,
    }[pool]
    x = last()(x)
    if norm:
        x = L.BatchNormalization()(x)
    if hidden:
        x = L.Dense(4, activation="relu")(x)
        x = L.BatchNormalization()(L.Dropout(0.5)(x))
    return keras.Model(image, L.Dense(labels, activation=activation)(x))


def compare(model: Any, seed: int, gammas: str) -> None:
    """As check, for networks that may happen to answer everything alike."""
    graph = lowered(randomize(model, seed, gammas))
    images = np.random.default_rng([1, seed]).normal(0, 1, (3, SIDE, SIDE, CHANNELS))
    expected = np.asarray(model(images, training=False))
    found = np.asarray(build_model(graph)(images, training=False))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11 * np.abs(expected).max())
    kept = [node.name for node in graph.nodes if is_identity(node)]
    assert not kept, f"{kept} do nothing"


@settings(max_examples=22, deadline=None, derandomize=True)
@given(
    st.lists(SIMPLE, min_size=1, max_size=6),
    HEADS,
    st.integers(0, 2**16),
    st.sampled_from(sorted(GAMMAS)),
)
@pytest.mark.usefixtures("double_precision")
def test_a_chain_of_any_layers_answers_as_before(
    steps: list[Step], head: Step, seed: int, gammas: str
) -> None:
    compare(network(steps, head), seed, gammas)


@settings(max_examples=22, deadline=None, derandomize=True)
@given(
    st.lists(st.one_of(CONV, NORM, PLAIN, CONSTANT), max_size=2),
    st.lists(BRANCHED, min_size=1, max_size=2),
    st.lists(SIMPLE, max_size=2),
    HEADS,
    st.integers(0, 2**16),
    st.sampled_from(sorted(GAMMAS)),
)
@pytest.mark.usefixtures("double_precision")
def test_branches_and_nested_models_answer_as_before(
    first: list[Step], branched: list[Step], then: list[Step], head: Step, seed: int, gammas: str
) -> None:
    compare(network([*first, *branched, *then], head), seed, gammas)


# The cases by name: what exactly commutes with what.


@pytest.mark.parametrize("gammas", GAMMAS)
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.usefixtures("double_precision")
def test_a_normalization_before_a_convolution_keeps_the_border_exact(
    padding: str, gammas: str
) -> None:
    graph = check(
        model_of(lambda x: L.Conv2D(4, 3, padding=padding)(L.BatchNormalization()(x))),
        gammas=gammas,
    )
    if padding == "valid":
        assert not affines(graph)
    elif gammas != "some zero":  # an offset without a scale cannot be carried past the border
        assert len(affines(graph)) == 1 and not scalings(graph)


@pytest.mark.parametrize(
    ("kernel", "stride", "side", "shifts"),
    [(1, 1, 9, 0), (1, 2, 9, 0), (2, 2, 8, 0), (2, 2, 9, 1), (3, 3, 9, 0), (3, 2, 9, 1)],
)
@pytest.mark.usefixtures("double_precision")
def test_same_padding_that_adds_nothing_takes_the_offset_up(
    kernel: int, stride: int, side: int, shifts: int
) -> None:
    def body(x: Any) -> Any:
        x = L.BatchNormalization()(x)
        return L.Conv2D(4, kernel, strides=stride, padding="same")(x)

    graph = check(model_of(body, side=side))
    assert len(affines(graph)) == shifts


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
@pytest.mark.usefixtures("double_precision")
def test_groups_take_up_normalizations_on_both_sides(groups: int) -> None:
    def body(x: Any) -> Any:
        x = L.BatchNormalization()(x)
        return L.BatchNormalization()(L.Conv2D(12, 2, groups=groups)(x))

    assert not affines(check(model_of(body, channels=6)))


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.usefixtures("double_precision")
def test_a_depthwise_convolution_takes_up_normalizations_on_both_sides(multiplier: int) -> None:
    def body(x: Any) -> Any:
        x = L.BatchNormalization()(x)
        x = L.DepthwiseConv2D((2, 3), depth_multiplier=multiplier)(x)
        return L.BatchNormalization()(x)

    assert not affines(check(model_of(body)))


@pytest.mark.parametrize(
    ("activation", "gammas"),
    [*(("relu", gammas) for gammas in GAMMAS), *((a, "mixed") for a in ("leaky_relu", "tanh"))],
)
@pytest.mark.usefixtures("double_precision")
def test_a_normalization_between_convolution_and_activation_disappears(
    activation: str, gammas: str
) -> None:
    def body(x: Any) -> Any:
        x = L.BatchNormalization()(L.Conv2D(4, 3, padding="same", use_bias=False)(x))
        return L.Conv2D(3, 3, padding="same")(L.Activation(activation)(x))

    assert not affines(check(model_of(body), gammas=gammas))


@pytest.mark.parametrize("gammas", GAMMAS)
@pytest.mark.parametrize(
    "activation", ["relu", "leaky relu", "relu6", "thresholded relu", "sloped relu"]
)
@pytest.mark.usefixtures("double_precision")
def test_a_normalization_without_offset_passes_only_homogeneous_activations(
    activation: str, gammas: str
) -> None:
    layer = {
        "relu": L.ReLU(),
        "leaky relu": L.LeakyReLU(negative_slope=0.2),
        "relu6": L.ReLU(max_value=0.6),
        "thresholded relu": L.ReLU(threshold=0.2),
        "sloped relu": L.ReLU(negative_slope=0.3),
    }[activation]

    def body(x: Any) -> Any:
        x = L.Rescaling([0.5, 2.0, 3.0])(x)  # a scale alone
        x = L.BatchNormalization(center=False)(layer(x)) if gammas != "positive" else layer(x)
        return L.Conv2D(4, 3, padding="same")(x)

    graph = check(model_of(body), gammas=gammas)
    if gammas == "positive" and activation in ("relu", "leaky relu"):
        assert not affines(graph)
    if activation in ("relu6", "thresholded relu"):
        assert scalings(graph)


@pytest.mark.parametrize("gammas", GAMMAS)
@pytest.mark.parametrize(
    ("kind", "padding"),
    [
        *(("max", "same"), ("max", "valid"), ("average", "same"), ("average", "valid")),
        *(("global max", "valid"), ("global average", "valid")),
    ],
)
@pytest.mark.usefixtures("double_precision")
def test_a_normalization_passes_a_pool_where_that_is_exact(
    kind: str, padding: str, gammas: str
) -> None:
    pool = {
        "max": L.MaxPooling2D(3, strides=2, padding=padding),
        "average": L.AveragePooling2D(3, strides=2, padding=padding),
        "global max": L.GlobalMaxPooling2D(),
        "global average": L.GlobalAveragePooling2D(),
    }[kind]

    def body(x: Any) -> Any:
        x = L.Conv2D(4, 3, activation="relu")(x)
        x = pool(L.BatchNormalization()(x))
        return L.Dense(2)(x if kind.startswith("global") else L.Flatten()(x))

    graph = check(model_of(body, head=False, side=8), gammas=gammas)
    carried = "average" in kind or gammas == "positive"
    assert len(affines(graph)) == (0 if carried else 1)


@pytest.mark.parametrize(("scale", "center"), [(False, True), (True, False), (False, False)])
@pytest.mark.usefixtures("double_precision")
def test_a_normalization_without_gamma_or_beta_folds_too(scale: bool, center: bool) -> None:
    def body(x: Any) -> Any:
        x = L.BatchNormalization(scale=scale, center=center, epsilon=0.1)(L.Conv2D(4, 2)(x))
        x = L.BatchNormalization(scale=scale, center=center)(L.ReLU()(x))
        return L.Conv2D(3, 2)(x)

    assert not affines(check(model_of(body)))


@pytest.mark.usefixtures("double_precision")
def test_a_normalization_along_another_axis_stays() -> None:
    graph = check(model_of(lambda x: L.BatchNormalization(axis=1)(L.Conv2D(4, 2)(x))))
    assert any(is_layer(node, LayerGroup(("BatchNormalization",))) for node in graph.nodes)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.usefixtures("double_precision")
def test_zero_padding_after_a_normalization_keeps_its_zeros(padding: str) -> None:
    def body(x: Any) -> Any:
        x = L.BatchNormalization()(L.Conv2D(4, 3, activation="relu")(x))
        return L.Conv2D(4, 3, strides=2, padding=padding)(L.ZeroPadding2D(((0, 1), (2, 0)))(x))

    graph = check(model_of(body))
    assert len(affines(graph)) == 1 and not scalings(graph)


@pytest.mark.usefixtures("double_precision")
def test_flatten_spreads_a_normalization_over_the_dense_layer() -> None:
    def body(x: Any) -> Any:
        x = L.BatchNormalization()(L.Conv2D(4, 3, strides=2, activation="relu")(x))
        return L.Dense(3, activation="softmax")(L.Flatten()(x))

    assert not affines(check(model_of(body, head=False)))


@pytest.mark.parametrize("axis", [-1, 1, 2])
@pytest.mark.usefixtures("double_precision")
def test_concatenation_keeps_the_order_of_its_parts(axis: int) -> None:
    def body(x: Any) -> Any:
        parts = []
        for filters in (2, 3, 2) if axis == -1 else (3, 3):
            parts.append(
                L.BatchNormalization()(L.Conv2D(filters, 3, activation="relu", padding="same")(x))
            )
        x = L.Concatenate(axis=axis)([parts[1], parts[0], *parts[2:], parts[1]])
        return L.Conv2D(4, 2)(x)

    graph = check(model_of(body))
    assert bool(affines(graph)) == (axis != -1)


@pytest.mark.usefixtures("double_precision")
def test_concatenation_of_vectors_is_carried() -> None:
    def body(x: Any) -> Any:
        x = L.BatchNormalization()(L.Conv2D(4, 3, activation="relu")(x))
        parts = [L.GlobalAveragePooling2D()(x), L.Flatten()(L.AveragePooling2D(3)(x))]
        return L.Dense(2)(L.Concatenate()(parts))

    assert not affines(check(model_of(body, head=False)))


@pytest.mark.parametrize("scales", ["equal", "different", "plain and scaled", "vector and map"])
@pytest.mark.usefixtures("double_precision")
def test_a_sum_carries_a_scale_that_its_parts_share(scales: str) -> None:
    def body(x: Any) -> Any:
        first, second = (L.Conv2D(4, 3, activation="relu")(x) for _ in range(2))
        norms = [L.BatchNormalization(), L.BatchNormalization()]
        if scales == "equal":  # the same scale, other offsets
            parts = [norms[0](first), L.Rescaling(1.0, offset=0.25)(norms[0](second))]
        elif scales == "plain and scaled":
            parts = [first, norms[1](second)]
        elif scales == "vector and map":
            pooled = L.GlobalAveragePooling2D(keepdims=True)(norms[0](first))
            parts = [pooled, norms[0](second)]
        else:
            parts = [norms[0](first), norms[1](second), first]
        return L.Conv2D(3, 2)(L.Add()(parts))

    graph = check(model_of(body))
    assert bool(affines(graph)) == (scales in ("different", "plain and scaled"))


@pytest.mark.usefixtures("double_precision")
def test_a_convolution_with_two_readers_is_folded_for_neither() -> None:
    def body(x: Any) -> Any:
        maps = L.Conv2D(4, 3)(x)
        return L.Add()([L.ReLU()(L.BatchNormalization()(maps)), maps])

    assert len(affines(check(model_of(body)))) == 1


# Once wrong: _Lowering._affine asks how many read the normalization's
# input, but folds into the convolution behind it, whose other readers then see it folded.
@pytest.mark.parametrize("gammas", ["mixed", "some zero"])
@pytest.mark.parametrize("between", ["dropout", "linear activation", "normalization"])
@pytest.mark.usefixtures("double_precision")
def test_a_second_reader_is_noticed_behind_layers_that_vanish(between: str, gammas: str) -> None:
    def body(x: Any) -> Any:
        maps = L.Conv2D(4, 3)(x)
        layer = {
            "dropout": L.Dropout(0.5),
            "linear activation": L.Activation("linear"),
            "normalization": L.BatchNormalization(),
        }[between]
        return L.Concatenate()([L.BatchNormalization()(layer(maps)), L.ReLU()(maps)])

    check(model_of(body), gammas=gammas)


# Once wrong: as above.
@pytest.mark.usefixtures("double_precision")
def test_two_dropouts_of_one_convolution_are_two_readers() -> None:
    def body(x: Any) -> Any:
        maps = L.Conv2D(4, 3)(x)
        left = L.BatchNormalization()(L.Dropout(0.5)(maps))
        return L.Concatenate()([left, L.Dropout(0.5)(maps)])

    check(model_of(body))


@pytest.mark.usefixtures("double_precision")
def test_a_dropout_with_two_readers_is_not_folded_through() -> None:
    def body(x: Any) -> Any:
        maps = L.Dropout(0.5)(L.Conv2D(4, 3)(x))
        return L.Concatenate()([L.BatchNormalization()(maps), L.ReLU()(maps)])

    check(model_of(body))


@pytest.mark.usefixtures("double_precision")
def test_two_normalizations_in_a_row_become_one_or_none() -> None:
    def body(x: Any) -> Any:
        x = L.BatchNormalization()(L.BatchNormalization()(L.Conv2D(4, 3)(x)))
        x = L.BatchNormalization()(L.BatchNormalization()(L.Activation("tanh")(x)))
        return L.Activation("tanh")(x)

    assert len(affines(check(model_of(body)))) == 1


@pytest.mark.usefixtures("double_precision")
def test_a_loaded_model_may_call_its_layers_as_keras_calls_its_operations(tmp_path: Path) -> None:
    """The counters that name operations know nothing of layers that were loaded."""
    image = keras.Input((SIDE, SIDE, CHANNELS))
    value = L.BatchNormalization()(L.Conv2D(4, 3, padding="same", activation="relu")(image))
    value = L.Add(name="add")([value, L.Conv2D(4, 3, padding="same")(value)])
    value = L.Multiply(name="multiply")([value, L.Conv2D(4, 3, padding="same")(value)])
    made = keras.Model(image, L.Dense(2, activation="softmax")(L.Flatten()(value)))
    randomize(made, 5).save(tmp_path / "model.keras")
    keras.utils.clear_session(free_memory=False)  # as in a process that just started
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    graph = lowered(loaded)
    assert any(isinstance(node.operation, Affine) for node in graph.nodes)
    assert_same_scores(loaded, graph)


@pytest.mark.usefixtures("double_precision")
def test_one_map_that_two_layers_read_is_shifted_once() -> None:
    def body(x: Any) -> Any:
        x = L.BatchNormalization()(L.Conv2D(4, 3, activation="relu")(x))
        return L.Concatenate()([L.Conv2D(2, 3, padding="same")(x) for _ in range(3)])

    assert len(affines(check(model_of(body)))) == 1


@pytest.mark.parametrize(
    ("scale", "offset"),
    [(1 / 255, 0.0), (1 / 127.5, -1.0), ([0.5, 1.0, 2.0], [0.25, 0.5, -0.75]), (1.0, 0.0)],
)
@pytest.mark.usefixtures("double_precision")
def test_a_rescaling_of_the_image_goes_into_the_first_layer(scale: Any, offset: Any) -> None:
    def body(x: Any) -> Any:
        return L.Conv2D(4, 3, padding="same")(L.Rescaling(scale, offset)(x))

    graph = check(model_of(body))
    assert not scalings(graph)
    assert len(affines(graph)) == (1 if np.any(offset) else 0)


AUGMENTATIONS: dict[str, Callable[[], Any]] = {
    "RandomFlip": lambda: L.RandomFlip(),
    "RandomRotation": lambda: L.RandomRotation(0.2),
    "RandomZoom": lambda: L.RandomZoom(0.2),
    "RandomTranslation": lambda: L.RandomTranslation(0.2, 0.2),
    "RandomShear": lambda: L.RandomShear(0.2, 0.2),
    "RandomPerspective": lambda: L.RandomPerspective(),
    "RandomBrightness": lambda: L.RandomBrightness(0.2, value_range=(0, 1)),
    "RandomContrast": lambda: L.RandomContrast(0.2, value_range=(0, 1)),
    "RandomErasing": lambda: L.RandomErasing(),
    "RandomGaussianBlur": lambda: L.RandomGaussianBlur(),
    "RandomHue": lambda: L.RandomHue(0.2, value_range=(0, 1)),
    "RandomSaturation": lambda: L.RandomSaturation(0.2, value_range=(0, 1)),
    "RandomSharpness": lambda: L.RandomSharpness(0.2, value_range=(0, 1)),
    "RandomColorJitter": lambda: L.RandomColorJitter((0, 1), 0.2, 0.2, 0.2, 0.2),
    "RandomColorDegeneration": lambda: L.RandomColorDegeneration(0.2, value_range=(0, 1)),
    "RandomElasticTransform": lambda: L.RandomElasticTransform(),
    "RandomGrayscale": lambda: L.RandomGrayscale(0.5),
    "RandomInvert": lambda: L.RandomInvert(0.5, value_range=(0, 1)),
    "RandomPosterization": lambda: L.RandomPosterization(4, value_range=(0, 1)),
    "Solarization": lambda: L.Solarization(value_range=(0, 1)),
    "RandAugment": lambda: L.RandAugment(value_range=(0, 1)),
    "AugMix": lambda: L.AugMix(value_range=(0, 1)),
    "MixUp": lambda: L.MixUp(),
    "CutMix": lambda: L.CutMix(),
    "Pipeline": lambda: L.Pipeline([L.RandomFlip(), L.RandomZoom(0.1)]),
    "GaussianNoise": lambda: L.GaussianNoise(0.3),
    "GaussianDropout": lambda: L.GaussianDropout(0.3),
    "AlphaDropout": lambda: L.AlphaDropout(0.3),
    "SpatialDropout2D": lambda: L.SpatialDropout2D(0.3),
    "ActivityRegularization": lambda: L.ActivityRegularization(l2=0.1),
}


@pytest.mark.parametrize("kind", AUGMENTATIONS)
@pytest.mark.usefixtures("double_precision")
def test_layers_that_only_training_needs_are_gone(kind: str) -> None:
    def body(x: Any) -> Any:
        return L.BatchNormalization()(AUGMENTATIONS[kind]()(L.Conv2D(3, 3)(x)))

    graph = check(model_of(body))
    assert [type(node.operation) for node in graph.nodes].count(Linear) == 2
    assert len(graph.nodes) == 4  # image, convolution, pool, dense


@pytest.mark.usefixtures("double_precision")
def test_a_layer_that_is_no_identity_when_it_does_not_train_stays() -> None:
    def body(x: Any) -> Any:
        return L.RandomCrop(5, 5)(L.BatchNormalization()(x))

    graph = check(model_of(body))
    assert any(is_layer(node, LayerGroup(("RandomCrop",))) for node in graph.nodes)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide"])
@pytest.mark.parametrize("kind", ["number", "vector", "row", "tensor"])
@pytest.mark.usefixtures("double_precision")
def test_arithmetic_with_a_constant_is_folded_if_it_is_an_affine_map(
    kind: str, name: str, left: bool
) -> None:
    def body(x: Any) -> Any:
        x = L.BatchNormalization()(L.Conv2D(4, 3, activation="relu")(x))
        return L.Conv2D(3, 2)(with_constant(x, name, kind, left))

    graph = check(model_of(body))
    is_affine = kind in ("number", "vector") and not (name == "divide" and left)
    assert is_affine == (not affines(graph))


@pytest.mark.parametrize("groups", [2, 3, 6])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.usefixtures("double_precision")
def test_a_convolution_in_groups_answers_as_keras_compiles_it(groups: int, padding: str) -> None:
    def body(x: Any) -> Any:
        return L.Conv2D(12, 3, strides=2, padding=padding, groups=groups, activation="relu")(x)

    graph = check(model_of(body, channels=6))
    kinds = [n.operation.kind for n in graph.nodes if isinstance(n.operation, Linear)]
    assert kinds == ["depthwise" if groups == 6 else "conv", "dense"]


@pytest.mark.usefixtures("double_precision")
def test_low_rank_adaptation_is_folded_into_the_kernel() -> None:
    def body(x: Any) -> Any:
        return L.Dense(2)(L.Dense(4)(L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(x))))

    model = randomize(model_of(body, head=False), 0)
    for layer in (model.layers[1], model.layers[3]):
        layer.enable_lora(2)
        layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    assert_same_scores(model, lowered(model))


@pytest.mark.parametrize("kind", ["given", "inverted", "along rows"])
@pytest.mark.usefixtures("double_precision")
def test_the_layer_normalization_is_folded_if_it_is_an_affine_map(kind: str) -> None:
    def body(x: Any) -> Any:
        axis = 1 if kind == "along rows" else -1
        count = SIDE if kind == "along rows" else CHANNELS
        mean, variance = np.linspace(-1, 1, count), np.linspace(0.5, 2, count)
        layer = L.Normalization(axis, mean=mean, variance=variance, invert=kind == "inverted")
        return L.Conv2D(3, 2)(layer(x))

    assert bool(affines(check(model_of(body)))) is False


@pytest.mark.parametrize("kind", ["sequential", "functional", "both"])
@pytest.mark.usefixtures("double_precision")
def test_nested_models_are_opened(kind: str) -> None:
    def inner(channels: int) -> Any:
        image = keras.Input((SIDE, SIDE, channels))
        x = L.BatchNormalization()(L.Conv2D(4, 3, padding="same")(image))
        if kind == "functional":
            return keras.Model(image, L.ReLU()(x))
        if kind == "both":
            return keras.Sequential([keras.Model(image, x), L.ReLU()])
        layers = [L.Conv2D(4, 3, padding="same"), L.BatchNormalization(), L.ReLU()]
        return keras.Sequential([keras.Input((SIDE, SIDE, channels)), *layers])

    graph = check(model_of(lambda x: inner(4)(inner(CHANNELS)(x))))
    assert not affines(graph)
    assert sum(isinstance(node.operation, Linear) for node in graph.nodes) == 3


# Once wrong: read_graph takes the last node it appended for the output.
@pytest.mark.usefixtures("double_precision")
def test_a_nested_model_with_two_outputs_gives_the_one_that_is_used() -> None:
    image = keras.Input((SIDE, SIDE, CHANNELS))
    features = L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(image))
    both = keras.Model(image, [L.Dense(2)(features), L.Dense(2)(features)])
    outer = keras.Input((SIDE, SIDE, CHANNELS))
    for used in (0, 1):
        check(keras.Model(outer, both(outer)[used]))


@pytest.mark.parametrize("used", [0, 1])
@pytest.mark.usefixtures("double_precision")
def test_an_operation_with_two_outputs_gives_the_one_that_is_used(used: int) -> None:
    def body(x: Any) -> Any:
        x = L.BatchNormalization()(L.Conv2D(4, 3, activation="relu")(x))
        return L.GlobalAveragePooling2D()(keras.ops.split(x, 2, axis=-1)[used])

    check(model_of(body, head=False))


# Once wrong: as above, for the first of the outputs.
@pytest.mark.parametrize("used", [0, 1])
@pytest.mark.usefixtures("double_precision")
def test_a_last_operation_with_two_outputs_gives_the_one_that_is_used(used: int) -> None:
    def body(x: Any) -> Any:
        x = L.Dense(4)(L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(x)))
        return keras.ops.split(x, 2, axis=-1)[used]

    check(model_of(body, head=False))


@pytest.mark.usefixtures("double_precision")
def test_a_layer_called_twice_is_folded_for_each_call_alone() -> None:
    def body(x: Any) -> Any:
        conv, norm = L.Conv2D(CHANNELS, 2, padding="same"), L.BatchNormalization()
        once = L.ReLU()(norm(conv(x)))  # folded into this call
        twice = L.ReLU()(conv(once))  # not into this one
        return L.Concatenate()([once, twice])

    assert not affines(check(model_of(body)))


@pytest.mark.usefixtures("double_precision")
def test_one_tensor_may_be_several_arguments_of_a_layer() -> None:
    def body(x: Any) -> Any:
        x = L.BatchNormalization()(L.Conv2D(4, 3, activation="relu")(x))
        return L.Multiply()([L.Add()([x, x]), L.Concatenate()([x, x])[..., 2:6]])

    check(model_of(body))


@pytest.mark.parametrize("kind", ["separable", "transposed", "prelu", "layer normalization"])
@pytest.mark.usefixtures("double_precision")
def test_a_layer_that_the_rewrite_does_not_know_sees_what_it_saw(kind: str) -> None:
    def body(x: Any) -> Any:
        x = L.BatchNormalization()(L.Conv2D(4, 3, activation="relu")(x))
        layer = {
            "separable": L.SeparableConv2D(4, 3),
            "transposed": L.Conv2DTranspose(4, 3),
            "prelu": L.PReLU(alpha_initializer=keras.initializers.Constant(0.3)),
            "layer normalization": L.LayerNormalization(),
        }[kind]
        return L.BatchNormalization()(layer(x))

    model = model_of(body)
    if kind != "prelu":
        randomize(model, 1)
    graph = lowered(model)
    assert_same_scores(model, graph)


# Once wrong: the rules of _Lowering do not look at data_format.
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("kind", ["pool", "flatten", "padding"])
@pytest.mark.usefixtures("double_precision")
def test_a_pool_along_other_axes_than_the_normalization_sees_what_it_saw(
    kind: str, data_format: str
) -> None:
    def body(x: Any) -> Any:
        x = L.BatchNormalization()(L.Conv2D(4, 3, activation="relu")(x))
        if kind == "pool":
            return L.Dense(2)(L.GlobalAveragePooling2D(data_format=data_format)(x))
        if kind == "padding":
            x = L.ZeroPadding2D(1, data_format=data_format)(x)
            return L.Dense(2)(L.Flatten()(L.Conv2D(2, 3)(x)))
        return L.Dense(2)(L.Flatten(data_format=data_format)(x))

    check(model_of(body, head=False))


@pytest.mark.parametrize("end", ["normalization", "dropout", "dense relu"])
@pytest.mark.usefixtures("double_precision")
def test_what_stands_last_is_applied(end: str) -> None:
    last = {
        "normalization": lambda x: L.BatchNormalization()(L.ReLU()(x)),
        "dropout": lambda x: L.Dropout(0.5)(L.BatchNormalization()(L.ReLU()(x))),
        "dense relu": lambda x: L.Dense(3, activation="relu")(x),
    }[end]
    check(model_of(lambda x: last(L.Dense(4)(L.Flatten()(x))), head=False), seed=3)


@pytest.mark.parametrize(("activation", "labels"), [("sigmoid", 1), ("softmax", 2), ("softmax", 7)])
@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.usefixtures("double_precision")
def test_scores_stay_probabilities(activation: str, labels: int, separate: bool) -> None:
    def body(x: Any) -> Any:
        x = L.BatchNormalization()(L.Flatten()(x))
        if separate:
            return L.Activation(activation)(L.Dense(labels)(x))
        return L.Dense(labels, activation=activation)(x)

    graph = check(model_of(body, head=False))
    assert activation_name(graph.nodes[-1]) == activation


# Once wrong: AttributeError where read_graph promises ExportError.
@pytest.mark.usefixtures("double_precision")
def test_a_model_that_lists_no_layers_is_refused() -> None:
    class Opaque(keras.Model):
        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(ExportError):
        read_graph(Opaque())


# What is left of well-known networks.


@pytest.mark.usefixtures("double_precision")
def test_a_mobilenet_keeps_no_affine_map() -> None:
    def norm(x: Any) -> Any:
        return L.ReLU(max_value=6)(L.BatchNormalization()(x))

    def body(x: Any) -> Any:
        x = norm(L.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(x))
        for stride in (1, 2):
            x = L.ZeroPadding2D(((0, 1), (0, 1)))(x) if stride == 2 else x
            padding = "valid" if stride == 2 else "same"
            x = norm(L.DepthwiseConv2D(3, strides=stride, padding=padding, use_bias=False)(x))
            x = norm(L.Conv2D(6, 1, padding="same", use_bias=False)(x))
        return L.Dropout(0.1)(x)

    assert not affines(check(model_of(body, side=13)))


@pytest.mark.usefixtures("double_precision")
def test_a_resnet_keeps_no_affine_map() -> None:
    def body(x: Any) -> Any:
        x = L.ReLU()(L.BatchNormalization()(L.Conv2D(4, 3, padding="same")(x)))
        for _ in range(2):
            y = L.ReLU()(L.BatchNormalization()(L.Conv2D(4, 3, padding="same")(x)))
            y = L.BatchNormalization()(L.Conv2D(4, 3, padding="same")(y))
            x = L.ReLU()(L.Add()([x, y]))
        return x

    assert not affines(check(model_of(body)))


@pytest.mark.usefixtures("double_precision")
def test_a_densenet_keeps_one_map_before_each_relu_over_a_concatenation() -> None:
    def body(x: Any) -> Any:
        x = L.Conv2D(4, 3, padding="same")(x)
        for _ in range(2):
            y = L.ReLU()(L.BatchNormalization()(x))
            y = L.ReLU()(L.BatchNormalization()(L.Conv2D(4, 1)(y)))  # folded
            x = L.Concatenate()([x, L.Conv2D(2, 3, padding="same")(y)])
        return L.AveragePooling2D(2)(L.BatchNormalization()(x))  # carried into the head

    assert len(affines(check(model_of(body)))) == 2


def seed_network(gammas: str = "positive", seed: int = 5) -> Any:
    from cxr_edge.train.fitting.network import build_network

    return randomize(build_network(SEED_SPEC), seed, gammas)


def phantoms(count: int) -> Any:
    drawn = (
        resize_to_input(draw_phantom(np.random.default_rng([9, i])), SEED_SPEC.input)
        for i in range(count)
    )
    return np.concatenate(list(drawn))


@pytest.fixture(scope="module")
def seed_model() -> Any:
    return seed_network()


def test_the_seed_network_keeps_four_shifts_of_pooled_maps(seed_model: Any) -> None:
    graph = lowered(seed_model)
    left = [i for i, node in enumerate(graph.nodes) if isinstance(node.operation, Affine)]
    assert len(left) == 4 and not scalings(graph)
    sources = [graph.nodes[graph.nodes[i].inputs[0]] for i in left]
    assert [node.name for node in sources] == ["pool1", "pool2", "pool3", "pool4"]
    assert sum(isinstance(node.operation, Linear) for node in graph.nodes) == 7
    pixels = phantoms(4)
    expected = keras_scores(seed_model, pixels, SEED_SPEC)
    np.testing.assert_allclose(keras_scores(build_model(graph), pixels, SEED_SPEC), expected,
                               atol=2e-6)  # fmt: skip


@pytest.mark.parametrize("gamma", [-0.5, 0.0])
def test_only_the_block_with_a_gamma_that_is_not_positive_is_left(gamma: float) -> None:
    model = seed_network()
    norm = model.get_layer("norm3")
    gammas, *others = norm.get_weights()
    gammas[7] = gamma
    norm.set_weights([gammas, *others])
    graph = lowered(model)
    (step,) = scalings(graph)
    at = next(i for i, node in enumerate(graph.nodes) if node.operation is step)
    reader = next(node for node in graph.nodes if at in node.inputs)
    assert reader.name == "pool3"  # where the model has it: before the pool
    before = next(n.operation for n in read_graph(model).nodes if n.name == "norm3")
    assert isinstance(before, Affine)
    np.testing.assert_array_equal(step.scale, before.scale)
    np.testing.assert_array_equal(step.offset, before.offset)
    assert len(affines(graph)) == 4  # three shifts and this one
    pixels = phantoms(2)
    expected = keras_scores(model, pixels, SEED_SPEC)
    np.testing.assert_allclose(keras_scores(build_model(graph), pixels, SEED_SPEC), expected,
                               atol=2e-6)  # fmt: skip


def test_the_bundled_reference_answers_golden_inputs_as_before() -> None:
    bundle = Bundle.open()
    spec, pixels = bundle.manifest.spec, bundle.golden().pixels
    model = load_keras(bundle.read(bundle.manifest.keras), spec)
    graph = lowered(model)
    expected = keras_scores(model, pixels, spec)
    found = keras_scores(build_model(graph), pixels, spec)
    assert np.ptp(expected) > 0.1
    assert np.abs(found - expected).max() <= 1e-6


# Reading and building.


@pytest.mark.usefixtures("double_precision")
def test_a_graph_that_is_not_lowered_answers_like_its_model() -> None:
    def body(x: Any) -> Any:
        x = L.BatchNormalization()(L.Conv2D(4, 3, activation="relu")(x))
        return L.Dropout(0.5)(L.MaxPooling2D(2)(x))

    model = randomize(model_of(body), 0)
    assert_same_scores(model, read_graph(model))


@pytest.mark.usefixtures("double_precision")
def test_lowering_twice_is_lowering_once() -> None:
    def body(x: Any) -> Any:
        for _ in range(3):
            x = L.Conv2D(4, 3, padding="same", activation="relu")(x)
            x = L.MaxPooling2D(2)(L.BatchNormalization()(x))
        return x

    graph = check(model_of(body), gammas="positive")
    again = lower(graph)
    assert [(n.name, n.inputs) for n in again.nodes] == [(n.name, n.inputs) for n in graph.nodes]


@pytest.mark.usefixtures("double_precision")
def test_the_rewrite_leaves_the_model_alone() -> None:
    def body(x: Any) -> Any:
        return L.Conv2D(4, 3)(L.BatchNormalization()(L.Conv2D(4, 3)(x)))

    model = randomize(model_of(body), 0)
    before = [np.array(weight) for weight in model.get_weights()]
    build_model(lowered(model))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.usefixtures("double_precision")
def test_taps_give_what_flows_between_the_layers() -> None:
    graph = check(model_of(lambda x: L.Conv2D(4, 3, activation="relu")(x)))
    images = np.random.default_rng(0).normal(0, 1, (2, SIDE, SIDE, CHANNELS))
    scores, image, last = build_model(graph, [0, len(graph.nodes) - 1])(images)
    np.testing.assert_array_equal(image, images)
    np.testing.assert_array_equal(scores, last)


@pytest.mark.usefixtures("double_precision")
def test_linear_layers_can_be_found_again_by_their_names() -> None:
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), L.Conv2D(2, 3, name="a"), L.Flatten(), L.Dense(1, name="b-p3")]
    )
    graph = read_graph(model)
    names = {layer.name for layer in build_model(graph).layers}
    assert {"a-p1", "b-p3-p3"} <= names
    assert layer_of("chest/a-p1/Conv2D;chest/a-p1/BiasAdd") == "a-p1"
    assert layer_of("chest/b-p3-p3_1/MatMul") == "b-p3-p3"
    assert layer_of("chest/flatten/Reshape") is None
    changed = graph.replace({1: dataclasses.replace(graph.nodes[1].operation, bias=np.ones(2))})
    assert changed.nodes[1].operation.bias.all() and not graph.nodes[1].operation.bias.any()
