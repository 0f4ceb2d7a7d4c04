"""Quantizers on small and odd networks, on few images, and layers that stay float in TFLite."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import pytest

from cxr_edge.engines import open_engine
from cxr_edge.errors import ExportError
from cxr_edge.export.artifacts import KINDS, QuantizedConversion
from cxr_edge.export.convert.onnx import export_onnx
from cxr_edge.export.graph.graph import Graph, build_model, layer_of
from cxr_edge.export.graph.lowering import lower
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.export.quantize.quantizer import OnnxQuantizer, StaticTfliteQuantizer, calibrate
from cxr_edge.export.quantize.recipe import QuantizationRecipe, linear_keys
from cxr_edge.extras import require
from cxr_edge.spec import InputSpec, ModelSpec

pytestmark = pytest.mark.slow

SPEC = ModelSpec(
    "small",
    InputSpec(16, 16, 3),
    ("a", "b"),
    "sigmoid",
    positive_label="b",
    threshold=0.5,
    threshold_choice="fixed",
)
LAYERS = keras.layers
QUANTIZED = {
    name: kind for name, kind in KINDS.items() if isinstance(kind.conversion, QuantizedConversion)
}
NOISE = np.random.default_rng(5).random((2, 16, 16, 3)).astype(np.float32)
FEW_IMAGES = {
    "one": NOISE[:1],
    "two": NOISE,
    "grey": np.full((2, 16, 16, 3), 0.5, np.float32),
    "black": np.zeros((1, 16, 16, 3), np.float32),
}


def head(value: object) -> object:
    return LAYERS.Dense(1, activation="sigmoid", name="head")(value)


def one_layer(image: object) -> object:
    return head(LAYERS.Flatten()(image))


def only_dense(image: object) -> object:
    value = LAYERS.Dense(40, activation="relu")(LAYERS.Flatten()(image))
    return head(LAYERS.Dense(8, activation="relu")(value))


def operations(image: object) -> object:
    """Keras operations beside the layers, without names of their own."""
    value = keras.ops.maximum(LAYERS.Conv2D(8, 3)(image), 0.0) * 2 + 1
    value = keras.ops.concatenate([value, LAYERS.DepthwiseConv2D(3, padding="same")(value)], -1)
    value = keras.ops.reshape(keras.ops.mean(value, axis=(1, 2)), (-1, 16))
    return keras.ops.sigmoid(LAYERS.Dense(1)(LAYERS.Dense(8)(value) - 0.5))


def graph_of(build: Callable[[object], object]) -> tuple[keras.Model, Graph]:
    keras.utils.set_random_seed(6)
    image = keras.Input((16, 16, 3))
    model = keras.Model(image, build(image))
    return model, lower(read_graph(model))


@pytest.mark.parametrize("name", QUANTIZED)
def test_a_network_without_layers_to_quantize_is_refused_as_such(name: str) -> None:
    _, graph = graph_of(lambda x: keras.ops.sigmoid(keras.ops.mean(x, (2, 3))[:, :1]))
    conversion = QUANTIZED[name].conversion
    assert isinstance(conversion, QuantizedConversion)
    with pytest.raises(ExportError, match="no convolution or dense layer to quantize"):
        conversion.first_recipe(graph)


@pytest.mark.parametrize("build", [one_layer, only_dense, operations])
def test_small_networks_are_quantized_on_any_images(build: Callable[[object], object]) -> None:
    model, graph = graph_of(build)
    kind = KINDS["onnx-int8"]
    assert isinstance(kind.conversion, QuantizedConversion)
    recipe = dataclasses.replace(kind.conversion.first_recipe(graph), equalization=None)
    for images in FEW_IMAGES.values():
        data = kind.conversion.quantizer(calibrate(graph, images)).build(recipe)
        scores = open_engine("onnxruntime", data, SPEC).run(images)
        np.testing.assert_allclose(scores, model.predict(images, verbose=0), atol=0.05)


@pytest.mark.parametrize("images", FEW_IMAGES)
def test_static_tflite_is_made_of_any_images(images: str) -> None:
    model, graph = graph_of(operations)
    batch = FEW_IMAGES[images]
    quantizer = StaticTfliteQuantizer(calibrate(graph, batch), integer_io=False)
    data = quantizer.build(QuantizationRecipe(None, None, True, ()))
    scores = open_engine("litert", data, SPEC).run(batch)
    np.testing.assert_allclose(scores, model.predict(batch, verbose=0), atol=0.05)


def test_a_float_depthwise_layer_is_float_in_static_tflite() -> None:
    def blocks(image: object) -> object:
        value = LAYERS.ReLU(6.0)(LAYERS.Conv2D(8, 3, name="stem")(image))
        value = LAYERS.ReLU(6.0)(LAYERS.DepthwiseConv2D(3, name="depthwise")(value))
        value = LAYERS.Conv2D(8, 1, name="project")(value)
        return head(LAYERS.GlobalAveragePooling2D()(value))

    _, graph = graph_of(blocks)
    keys = linear_keys(graph)
    quantizer = StaticTfliteQuantizer(calibrate(graph, NOISE), integer_io=False)
    alone = next(key for key in keys if key.startswith("depthwise"))
    data = quantizer.build(QuantizationRecipe(None, None, True, (alone,)))
    assert weight_types(data) == {key: np.float32 if key == alone else np.int8 for key in keys}


def weight_types(data: bytes) -> dict[str | None, type]:
    """Type of the weights of every layer of a TFLite file."""
    tools = require("tensorflow.lite.tools.flatbuffer_utils", "export")
    graph = tools.convert_bytearray_to_object(bytearray(data)).subgraphs[0]
    types = {}
    for operator in graph.operators:
        layer = layer_of(graph.tensors[operator.outputs[0]].name.decode())
        if layer and len(operator.inputs) > 1:
            code = graph.tensors[operator.inputs[1]].type
            types[layer] = {0: np.float32, 9: np.int8}[code]
    return types


def read_elsewhere(image: object) -> object:
    """What a maximum bounds from below goes around it, too."""
    value = LAYERS.Conv2D(8, 3, padding="same", name="bounded")(image)
    floored = LAYERS.Conv2D(8, 3, padding="same")(keras.ops.maximum(value, 0.2))
    return head(LAYERS.Flatten()(floored + LAYERS.Conv2D(8, 3, padding="same")(value)))


def test_what_is_read_beside_a_maximum_keeps_its_range() -> None:
    model, graph = graph_of(read_elsewhere)
    images = np.random.default_rng(7).normal(0, 1, (16, 16, 16, 3)).astype(np.float32)
    quantizer = OnnxQuantizer(calibrate(graph, images), "portable")
    data = quantizer.build(QuantizationRecipe(None, "minmax", False, ()))
    scores = open_engine("onnxruntime", data, SPEC).run(images)
    np.testing.assert_allclose(scores, model.predict(images, verbose=0), atol=0.06)


def swish(image: object) -> object:
    """Its first sigmoid is no score; both of its factors reach far beyond 8."""
    return head(LAYERS.Flatten()(LAYERS.Activation("silu")(LAYERS.Conv2D(4, 3)(image))))


def pooled_logit(image: object) -> object:
    value = LAYERS.Conv2D(1, 3)(LAYERS.Conv2D(4, 3, activation="relu")(image))
    return LAYERS.Activation("sigmoid")(LAYERS.GlobalAveragePooling2D()(value))


@pytest.mark.parametrize("build", [swish, pooled_logit, only_dense])
def test_integers_at_both_ends_of_static_tflite(build: Callable[[object], object]) -> None:
    model, graph = graph_of(build)
    images = (np.random.default_rng(8).random((16, 16, 16, 3)) * 40 - 20).astype(np.float32)
    quantizer = StaticTfliteQuantizer(calibrate(graph, images), integer_io=True)
    data = quantizer.build(QuantizationRecipe(None, None, True, ()))
    scores = open_engine("litert", data, SPEC).run(images)
    expected = model.predict(images, verbose=0)
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(scores, expected, atol=0.12)


def test_only_the_logit_of_a_final_sigmoid_gets_a_fixed_range() -> None:
    tools = require("tensorflow.lite.tools.flatbuffer_utils", "export")
    images = (np.random.default_rng(8).random((16, 16, 16, 3)) * 400 - 200).astype(np.float32)

    def fixed(build: Callable[[object], object]) -> list[str]:
        network = calibrate(graph_of(build)[1], images)
        data = StaticTfliteQuantizer(network, integer_io=True).build(
            QuantizationRecipe(None, None, True, ())
        )
        tensors = tools.convert_bytearray_to_object(bytearray(data)).subgraphs[0].tensors
        quantized = [t for t in tensors if t.quantization and t.quantization.scale is not None]
        limited = [t for t in quantized if list(t.quantization.scale) == [8 / 128]]
        return [str(layer_of(t.name.decode())).partition("-")[0] for t in limited]

    assert fixed(swish) == ["head"]
    assert fixed(pooled_logit) == []

    def branched(image: object) -> object:
        logit = LAYERS.Dense(2, name="logit")(LAYERS.Flatten()(image))
        return LAYERS.Softmax()(keras.ops.sigmoid(logit) + logit)

    assert fixed(branched) == []


def test_a_branch_or_a_loop_is_refused_before_onnxruntime_meets_it() -> None:
    """Of a GRU, its file ends the process."""

    def branch(image: object) -> object:
        value = LAYERS.Resizing(8, 12, pad_to_aspect_ratio=True)(image)
        return head(LAYERS.Flatten()(LAYERS.Conv2D(4, 3)(value)))

    def loop(image: object) -> object:
        return head(LAYERS.GRU(3)(LAYERS.Reshape((16, 48))(image)))

    for build, name in ((branch, "branch"), (loop, "loop")):
        _, graph = graph_of(build)
        quantizer = OnnxQuantizer(calibrate(graph, NOISE), "portable")
        with pytest.raises(ExportError, match=f"the network has a {name}"):
            quantizer.build(QuantizationRecipe(None, "minmax", False, ()))


def normalized_behind_relu(image: object, *, first: dict[str, object] | None = None) -> object:
    """Blocks of convolution, ReLU, normalization and max-pooling, as in the reference."""
    value = image
    for filters in (8, 16, 16):
        options = {"padding": "same", "activation": "relu", **(first or {})}
        value = LAYERS.Conv2D(filters, 3, **options)(value)
        value = LAYERS.BatchNormalization(
            beta_initializer=keras.initializers.RandomNormal(0, 0.3),
            moving_mean_initializer=keras.initializers.RandomUniform(0.1, 0.4),
            gamma_initializer=keras.initializers.RandomUniform(0.5, 1.5),
        )(value)
        value = LAYERS.MaxPooling2D()(value)
        first = None
    return head(LAYERS.Dense(8, activation="relu")(LAYERS.Flatten()(value)))


@pytest.mark.parametrize(
    "first", [{}, {"padding": "valid"}, {"strides": 2}, {"dilation_rate": 2}], ids=str
)
def test_a_network_with_offsets_runs_on_integers(first: dict[str, object]) -> None:
    _, graph = graph_of(lambda image: normalized_behind_relu(image, first=first))
    kind = KINDS["onnx-int8"]
    assert isinstance(kind.conversion, QuantizedConversion)
    network = calibrate(graph, NOISE)
    recipe = dataclasses.replace(kind.conversion.first_recipe(graph), equalization=None)
    quantizer = kind.conversion.quantizer(network)
    data = quantizer.build(recipe)
    nodes = [node.op_type for node in require("onnx", "export").load_from_string(data).graph.node]
    assert nodes.count("Add") == 1  # behind the first layer, which is float
    assert nodes.count("Max") == 1
    exact = open_engine("onnxruntime", export_onnx(build_model(graph)), SPEC).run(NOISE)
    scores = open_engine("onnxruntime", data, SPEC).run(NOISE)
    np.testing.assert_allclose(scores, exact, atol=0.05)
    assert kind.conversion.quantizer(network).build(recipe) == data
