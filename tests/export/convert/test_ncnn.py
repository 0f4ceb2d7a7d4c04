"""Every operation that the conversion to ncnn knows computes what Keras does, or is refused."""

from __future__ import annotations

import dataclasses
import io
import re
import zipfile
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from cxr_edge.engines import open_engine
from cxr_edge.engines.ncnn_file import MEMBERS, members_of, read_ncnn
from cxr_edge.errors import ExportError
from cxr_edge.export.artifacts import KINDS, find_kinds
from cxr_edge.export.convert.ncnn import export_ncnn
from cxr_edge.export.graph.graph import Graph
from cxr_edge.export.graph.lowering import lower
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.spec import SEED_SPEC, InputSpec

HEIGHT, WIDTH, CHANNELS = 11, 14, 3
SPEC = dataclasses.replace(
    SEED_SPEC,
    input=InputSpec(height=HEIGHT, width=WIDTH, channels=CHANNELS),
    labels=("a", "b", "c", "d"),
    activation="softmax",
    positive_label=None,
    threshold=None,
)
Body = Callable[[Any], Any]


def network(body: Body, *, head: bool = True) -> Any:
    """A network with random weights, statistics included; its outputs are four logits."""
    keras.utils.set_random_seed(1)
    image = keras.Input((HEIGHT, WIDTH, CHANNELS))
    value = body(image)
    if head:
        value = layers.Dense(4)(layers.Flatten()(value))
    model = keras.Model(image, value)
    chance = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            size = layer.gamma.shape
            layer.set_weights(
                [
                    chance.uniform(0.5, 1.5, size),
                    chance.normal(size=size),
                    chance.normal(size=size),
                    chance.uniform(0.5, 2, size),
                ]
            )
        elif layer.weights:
            layer.set_weights([chance.normal(0, 0.3, w.shape) for w in layer.get_weights()])
    return model


def graph_of(model: Any, *, lowered: bool = True) -> Graph:
    graph = read_graph(model)
    return lower(graph) if lowered else graph


def check(model: Any, tolerance: float = 2e-5) -> bytes:
    """The file of a model, which computes what Keras does, lowered or not."""
    batch = np.random.default_rng(2).normal(size=(3, HEIGHT, WIDTH, CHANNELS)).astype(np.float32)
    expected = np.asarray(model(batch, training=False))
    assert np.ptp(expected, axis=0).max() > 0.01  # or the test would be of a constant
    for lowered in (False, True):
        data = export_ncnn(graph_of(model, lowered=lowered))
        outputs = open_engine("ncnn", data, SPEC).run(batch)
        scale = np.abs(expected).max()
        assert np.abs(outputs - expected).max() <= tolerance * scale, lowered
    return data


def kinds_of(data: bytes) -> list[str]:
    return [line.split()[0] for line in read_ncnn(data).param.splitlines()[2:]]


CONVOLUTIONS: dict[str, Body] = {
    "valid": lambda x: layers.Conv2D(5, 3)(x),
    "same": lambda x: layers.Conv2D(5, (3, 4), padding="same")(x),
    "same with a stride": lambda x: layers.Conv2D(5, (4, 3), strides=(2, 3), padding="same")(x),
    "dilated": lambda x: layers.Conv2D(5, 3, dilation_rate=(2, 3), padding="same")(x),
    "1x1": lambda x: layers.Conv2D(16, 1, activation="relu")(x),
    "grouped": lambda x: layers.Conv2D(6, 3, groups=3, padding="same")(x),
    "in groups of two": lambda x: layers.Conv2D(8, 3, groups=2)(layers.Conv2D(4, 1)(x)),
    "depthwise": lambda x: layers.DepthwiseConv2D(3, padding="same", activation="relu")(x),
    "depthwise, twice as many": lambda x: layers.DepthwiseConv2D(
        (3, 5), depth_multiplier=2, strides=2, padding="same"
    )(x),
    "separable": lambda x: layers.SeparableConv2D(8, 3, padding="same")(x),
    "of 16 channels, by Winograd": lambda x: layers.Conv2D(16, 3, padding="same")(
        layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    ),
    "dense at each position": lambda x: layers.Dense(7, activation="relu")(x),
    "no bias": lambda x: layers.Conv2D(5, 3, use_bias=False)(x),
}
POOLS: dict[str, Body] = {
    "maximum": lambda x: layers.MaxPooling2D()(x),
    "maximum, same": lambda x: layers.MaxPooling2D((3, 2), strides=2, padding="same")(x),
    "average": lambda x: layers.AveragePooling2D((2, 3), strides=(1, 2))(x),
    "average, same": lambda x: layers.AveragePooling2D(3, strides=2, padding="same")(x),
    "average, same, uneven": lambda x: layers.AveragePooling2D((4, 2), (3, 1), "same")(x),
    "global average": lambda x: layers.GlobalAveragePooling2D()(x),
    "global maximum, sides kept": lambda x: layers.GlobalMaxPooling2D(keepdims=True)(x),
}
ACTIVATIONS: dict[str, Body] = {
    name: lambda x, name=name: layers.Activation(name)(layers.Conv2D(5, 1)(x))  # type: ignore[misc]
    for name in ("relu", "relu6", "leaky_relu", "sigmoid", "softmax", "tanh", "silu", "gelu", "elu")
} | {
    "hard_sigmoid": lambda x: layers.Activation("hard_sigmoid")(x),
    "hard_silu": lambda x: layers.Activation("hard_silu")(x),
    "ReLU": lambda x: layers.ReLU()(x),
    "ReLU up to 2": lambda x: layers.ReLU(max_value=2.0)(layers.Conv2D(5, 1)(x)),
    "ReLU with a slope": lambda x: layers.ReLU(negative_slope=0.3)(layers.Conv2D(5, 1)(x)),
    "LeakyReLU": lambda x: layers.LeakyReLU(negative_slope=0.15)(layers.Conv2D(5, 1)(x)),
    "ELU": lambda x: layers.ELU(alpha=0.7)(x),
    "PReLU": lambda x: layers.PReLU(shared_axes=[1, 2])(x),
    "Softmax": lambda x: layers.Softmax()(x),
    "of a vector": lambda x: layers.Softmax()(layers.PReLU()(layers.GlobalMaxPooling2D()(x))),
    "ops": lambda x: keras.ops.sigmoid(keras.ops.relu(layers.Conv2D(4, 1)(x))),
}


def squeeze_and_excite(x: Any) -> Any:
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    gate = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    gate = layers.Conv2D(8, 1, activation="sigmoid")(layers.Conv2D(2, 1, activation="relu")(gate))
    return layers.Multiply()([x, gate])


def residual(x: Any) -> Any:
    x = layers.Conv2D(4, 3, padding="same")(x)
    y = layers.Activation("relu")(layers.BatchNormalization()(x))
    y = layers.Conv2D(4, 3, padding="same")(y)
    return layers.Add()([x, y, layers.BatchNormalization()(y)])


SHAPES: dict[str, Body] = {
    "zero padding": lambda x: layers.Conv2D(3, 3)(layers.ZeroPadding2D(((0, 1), (2, 3)))(x)),
    "cropping": lambda x: layers.Cropping2D(((1, 2), (3, 0)))(x),
    "concatenate": lambda x: layers.Concatenate()([x, layers.Conv2D(5, 1)(x), x]),
    "concatenate rows": lambda x: layers.Concatenate(1)([x, layers.Conv2D(3, 1)(x)]),
    "concatenate columns": lambda x: layers.Concatenate(2)([x, layers.Conv2D(3, 1)(x)]),
    "concatenate vectors": lambda x: layers.Concatenate()(
        [layers.GlobalMaxPooling2D()(x), layers.Flatten()(layers.Conv2D(1, 3)(x))]
    ),
    "flatten, then something": lambda x: layers.Activation("tanh")(layers.Flatten()(x)),
    "reshape a map": lambda x: layers.Conv2D(2, 2)(layers.Reshape((WIDTH, HEIGHT, -1))(x)),
    "reshape to a vector": lambda x: layers.Reshape((-1,))(layers.Conv2D(2, 3)(x)),
    "reshape a vector": lambda x: layers.Conv2D(2, 2)(
        layers.Reshape((3, 2, 4))(layers.Dense(24)(layers.GlobalAveragePooling2D()(x)))
    ),
    "subtract and average": lambda x: layers.Subtract()(
        [layers.Average()([x, layers.ReLU()(x), layers.ReLU(6.0)(x)]), layers.Conv2D(3, 1)(x)]
    ),
    "arithmetic": lambda x: (layers.Conv2D(3, 1)(x) + x) * x * 2.0 - 0.5,
    "squeeze and excite": squeeze_and_excite,
    "residual": residual,
    "batch normalization, padded": lambda x: layers.Conv2D(4, 3, padding="same")(
        layers.BatchNormalization()(layers.MaxPooling2D()(layers.Conv2D(6, 3)(x)))
    ),
    "batch normalization, then relu": lambda x: layers.ReLU()(layers.BatchNormalization()(x)),
    "one shift read twice": lambda x: (
        lambda y: layers.Add()([layers.Conv2D(4, 3, padding="same")(y), y])
    )(layers.BatchNormalization()(layers.ReLU()(layers.Conv2D(4, 3)(x)))),
    "dropout": lambda x: layers.Conv2D(4, 3)(layers.Dropout(0.5)(x)),
    "names of any kind": lambda x: layers.Conv2D(4, 3, name="a b,c=1 " + "ü" * 300)(x),
}
ALL = {
    f"{group}: {name}": body
    for group, bodies in (
        ("convolution", CONVOLUTIONS),
        ("pool", POOLS),
        ("activation", ACTIVATIONS),
        ("shape", SHAPES),
    )
    for name, body in bodies.items()
}


@pytest.mark.parametrize("name", ALL)
def test_an_operation_computes_what_keras_does(name: str) -> None:
    check(network(ALL[name]))


def two_convolutions(x: Any) -> Any:
    x = layers.MaxPooling2D()(layers.Conv2D(8, 3, padding="same", activation="relu")(x))
    return layers.Conv2D(8, 3, padding="same", activation="relu")(layers.BatchNormalization()(x))


def test_activations_and_normalizations_cost_no_layer_of_their_own() -> None:
    data = check(network(two_convolutions))
    assert kinds_of(data) == [
        "Input", "Convolution", "Pooling", "Padding", "Convolution", "Permute", "Flatten",
        "InnerProduct",
    ]  # fmt: skip


def test_an_output_that_others_read_keeps_its_activation_apart() -> None:
    def both(x: Any) -> Any:
        y = layers.Conv2D(4, 3)(x)
        return layers.Concatenate()([y, layers.ReLU()(y)])

    assert kinds_of(check(network(both)))[1:4] == ["Convolution", "Split", "ReLU"]


REFUSED: dict[str, tuple[Body, str]] = {
    "normalization by layer": (lambda x: layers.LayerNormalization()(x), "LayerNormalization"),
    "transposed": (lambda x: layers.Conv2DTranspose(3, 2, name="up")(x), r"up \(Conv2DTranspose"),
    "a subclass": (lambda x: type("Pool", (layers.MaxPooling2D,), {})()(x), "Pool"),
    "a threshold": (lambda x: layers.ReLU(threshold=0.5)(x), "ReLU"),
    "slopes by position": (lambda x: layers.PReLU()(x), "PReLU"),
    "softmax over rows": (lambda x: layers.Softmax(axis=1)(x), "Softmax"),
    "rows of words": (lambda x: layers.Reshape((HEIGHT, -1))(x), "Reshape"),
    "a function": (lambda x: layers.Activation("softplus")(x), "Activation"),
    "a kernel of 300": (
        lambda x: layers.Conv2D(1, 300)(layers.ZeroPadding2D(200)(x)),
        "does not fit ncnn",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_ncnn_has_no_layer_for_is_refused_by_name(name: str) -> None:
    body, message = REFUSED[name]
    with pytest.raises(ExportError, match=message) as caught:
        export_ncnn(graph_of(network(body)))
    text = str(caught.value)
    assert "choose artifacts other than ncnn" in text
    assert len(f"ncnn-fp16-arithmetic: {text}") <= 300 and "\n" not in text


def test_the_same_network_gives_the_same_bytes_and_unzips_to_ncnns_two_files() -> None:
    model = network(two_convolutions)
    data = export_ncnn(graph_of(model))
    assert data == export_ncnn(graph_of(model))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert tuple(archive.namelist()) == MEMBERS and archive.testzip() is None
        for name, content in members_of(data).items():
            assert archive.read(name) == content


def test_16_bit_weights_are_half_as_large_and_say_so() -> None:
    graph = graph_of(network(two_convolutions))
    whole, half = (read_ncnn(export_ncnn(graph, precision)) for precision in ("fp32", "fp16"))
    assert (whole.precision, half.precision) == ("fp32", "fp16")
    assert whole.param == half.param
    assert len(half.weights) < 0.55 * len(whole.weights)
    check_half(export_ncnn(graph, "fp16"))


def check_half(data: bytes) -> None:
    batch = np.random.default_rng(2).normal(size=(2, HEIGHT, WIDTH, CHANNELS)).astype(np.float32)
    expected = np.asarray(network(two_convolutions)(batch, training=False))
    difference = np.abs(open_engine("ncnn", data, SPEC).run(batch) - expected).max()
    assert 0 < difference <= 3e-3 * np.abs(expected).max()


def test_weights_beyond_16_bits_are_refused() -> None:
    model = network(two_convolutions)
    kernel, bias = model.layers[1].get_weights()
    model.layers[1].set_weights([kernel * 1e6, bias])
    with pytest.raises(ExportError, match="too large for 16 bits"):
        export_ncnn(graph_of(model), "fp16")


def test_a_network_of_another_output_is_refused_when_it_is_loaded() -> None:
    data = export_ncnn(graph_of(network(lambda x: layers.Conv2D(4, 3)(x), head=False)))
    assert read_ncnn(data).output == (4, HEIGHT - 2, WIDTH - 2)


def test_every_kind_of_ncnn_file_is_written_by_name_only() -> None:
    names = [name for name, kind in KINDS.items() if kind.format == "ncnn"]
    assert names == ["ncnn-fp32", "ncnn-fp16-arithmetic"]
    assert not {kind.format for kind in find_kinds(())} & {"ncnn"}
    assert KINDS["ncnn-fp16-arithmetic"].is_emulated and not KINDS["ncnn-fp32"].is_emulated
    assert all(re.fullmatch(r"ncnn-[a-z0-9-]+", name) for name in names)
