"""Networks of depthwise convolutions: float layers, padding, pooled features, dead layers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest

from cxr_edge.engines import open_engine
from cxr_edge.export.convert.onnx import export_onnx
from cxr_edge.export.graph.graph import Graph, build_model, layer_of
from cxr_edge.export.graph.lowering import lower
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.export.quantize import onnx_int8
from cxr_edge.export.quantize.onnx_rewrite import join_padding
from cxr_edge.export.quantize.quantizer import OnnxQuantizer, calibrate
from cxr_edge.export.quantize.ranges import RangeMethod
from cxr_edge.export.quantize.recipe import (
    QuantizationRecipe,
    float_ends,
    float_groups,
    linear_keys,
)
from cxr_edge.spec import InputSpec, ModelSpec

pytestmark = pytest.mark.slow

SPEC = ModelSpec(
    "blocks",
    InputSpec(16, 16, 3),
    ("a", "b"),
    "sigmoid",
    positive_label="b",
    threshold=0.5,
    threshold_choice="fixed",
)
LAYERS = keras.layers


def network() -> keras.Model:
    """A convolution and two inverted residuals with padding, ReLU6 and squeeze-excitation."""
    keras.utils.set_random_seed(3)
    image = keras.Input((16, 16, 3))
    x = LAYERS.ReLU(6.0)(LAYERS.Conv2D(8, 3, strides=2, padding="same", name="stem")(image))
    for number in range(2):
        y = LAYERS.Conv2D(16, 1, use_bias=False, name=f"expand{number}")(x)
        y = LAYERS.ReLU(6.0)(LAYERS.BatchNormalization()(y))
        if number:
            y = LAYERS.ZeroPadding2D(((0, 1), (0, 1)))(y)
        y = LAYERS.DepthwiseConv2D(
            3,
            strides=1 + number,
            padding="valid" if number else "same",
            bias_initializer=keras.initializers.RandomUniform(-0.5, 0.5),
            name=f"depthwise{number}",
        )(y)
        y = LAYERS.ReLU(6.0)(y)
        gate = LAYERS.Reshape((1, 1, 16))(LAYERS.GlobalAveragePooling2D()(y))
        gate = LAYERS.Conv2D(4, 1, activation="relu", name=f"squeeze{number}")(gate)
        gate = LAYERS.Conv2D(16, 1, activation="sigmoid", name=f"excite{number}")(gate)
        y = LAYERS.Multiply()([y, gate])
        y = LAYERS.Conv2D(8, 1, name=f"project{number}")(y)
        x = y if number else LAYERS.Add()([y, x])
    x = LAYERS.GlobalAveragePooling2D()(LAYERS.ReLU()(x))
    return keras.Model(image, LAYERS.Dense(1, activation="sigmoid", name="head")(x))


def chain() -> keras.Model:
    """Convolutions in a row, the third one depthwise, with pooling before the last."""
    keras.utils.set_random_seed(3)
    image = keras.Input((16, 16, 3))
    x = LAYERS.ReLU(6.0)(LAYERS.Conv2D(8, 3, strides=2, name="stem")(image))
    x = LAYERS.ReLU(6.0)(LAYERS.Conv2D(16, 1, name="expand")(x))
    x = LAYERS.ReLU(6.0)(LAYERS.DepthwiseConv2D(3, name="depthwise")(x))
    x = LAYERS.Conv2D(8, 1, name="project")(LAYERS.MaxPooling2D()(x))
    x = LAYERS.Conv2D(8, 1, activation="relu", name="last")(x)
    x = LAYERS.GlobalAveragePooling2D()(x)
    return keras.Model(image, LAYERS.Dense(1, activation="sigmoid", name="head")(x))


def images(count: int) -> np.ndarray:
    return np.random.default_rng(4).random((count, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return lower(read_graph(network()))


@pytest.fixture(scope="module")
def floating(graph: Graph) -> bytes:
    return export_onnx(build_model(graph))


def operations(data: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(data).graph.node)


def scores(data: bytes, batch: np.ndarray) -> np.ndarray:
    return open_engine("onnxruntime", data, SPEC).run(batch)


def integer_layers(data: bytes) -> set[str]:
    """Layers whose weights are dequantized."""
    nodes = onnx.load_from_string(data).graph.node
    made_by = {name: node.op_type for node in nodes for name in node.output}
    return {
        (layer_of(node.name) or "").rsplit("-p", 1)[0]
        for node in nodes
        if node.op_type in ("Conv", "Gemm", "MatMul")
        and made_by.get(node.input[1]) == "DequantizeLinear"
    }


def run_as_float(data: bytes, folder: Path) -> int:
    """How many convolutions onnxruntime runs in float32, in the graph that it optimized."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3  # it warns that the saved file is for this machine only
    onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    run = operations((folder / "optimized.onnx").read_bytes())
    convolutions = run["QLinearConv"] + run["Conv"] + run["FusedConv"]
    assert convolutions == operations(data)["Conv"]
    return run["Conv"] + run["FusedConv"]


def test_a_depthwise_convolution_with_a_bias_keeps_its_name(floating: bytes) -> None:
    nodes = onnx.load_from_string(floating).graph.node
    named = [(layer_of(n.name) or "").rsplit("-p", 1)[0] for n in nodes if n.op_type == "Conv"]
    assert {"depthwise0", "depthwise1"} <= set(named) and "" not in named


def test_padding_joins_its_convolution_exactly(floating: bytes) -> None:
    joined = join_padding(floating)
    assert operations(floating)["Pad"] == 1 and operations(joined)["Pad"] == 0
    np.testing.assert_allclose(scores(joined, images(4)), scores(floating, images(4)), atol=1e-6)
    assert join_padding(joined) == joined


def test_the_groups_are_the_gates_the_depthwise_layers_and_the_first_ones(graph: Graph) -> None:
    groups = [tuple(key.rsplit("-p", 1)[0] for key in group) for group in float_groups(graph)]
    gates = ("squeeze0", "excite0", "squeeze1", "excite1")
    assert groups[0] == gates
    assert groups[-1] == ("depthwise0", "depthwise1")
    assert all(set(gates) < set(group) for group in groups[1:-1])
    assert [len(group) for group in groups[1:-1]] == sorted(len(group) for group in groups[1:-1])


def test_layers_left_in_float_are_float_in_the_file_and_when_it_runs(
    graph: Graph, tmp_path: Path
) -> None:
    quantizer = OnnxQuantizer(calibrate(graph, images(4)), "portable")
    ends = float_ends(graph, first=True, last=True)
    every = integer_layers(quantizer.build(QuantizationRecipe(None, "minmax", True, ends)))
    assert {"depthwise0", "depthwise1", "squeeze0", "excite1", "project0"} <= every
    gates, *_, most, depthwise = float_groups(graph)
    for group in (gates, most, depthwise):
        layers = (*ends, *(key for key in group if key not in ends))
        data = quantizer.build(QuantizationRecipe(None, "minmax", True, layers))
        assert integer_layers(data) == every - {key.rsplit("-p", 1)[0] for key in layers}
        assert run_as_float(data, tmp_path) == len(layers) - 1  # the head is no convolution


@pytest.mark.parametrize("floating_layer", ["expand", "depthwise", "project"])
def test_a_float_layer_between_integer_ones_runs_in_float(
    floating_layer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    graph = lower(read_graph(chain()))
    alone = next(key for key in linear_keys(graph) if key.startswith(floating_layer))
    recipe = QuantizationRecipe(None, "minmax", True, (alone,))
    network = calibrate(graph, images(4))
    shielded = OnnxQuantizer(network, "portable").build(recipe)
    monkeypatch.setattr(onnx_int8, "shield_float_layers", lambda model: None)
    bare = OnnxQuantizer(network, "portable").build(recipe)
    assert run_as_float(bare, tmp_path) == 0  # why they are shielded
    assert run_as_float(shielded, tmp_path) == 1
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    expected, computed = (
        onnxruntime.InferenceSession(data, options).run(None, {"image": images(1)})[0]
        for data in (bare, shielded)
    )
    np.testing.assert_array_equal(computed, expected)


def test_pooled_features_reach_a_float_head_as_they_are(graph: Graph) -> None:
    quantizer = OnnxQuantizer(calibrate(graph, images(4)), "portable")
    ends = float_ends(graph, first=True, last=True)
    nodes = onnx.load_from_string(
        quantizer.build(QuantizationRecipe(None, "minmax", True, ends))
    ).graph.node
    made_by = {name: node for node in nodes for name in node.output}
    node = next(node for node in nodes if (layer_of(node.name) or "").startswith("head"))
    while node.op_type != "GlobalAveragePool":
        assert node.op_type not in ("QuantizeLinear", "DequantizeLinear")
        node = made_by[node.input[0]]


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_a_constant_image_and_a_dead_layer_are_quantized(method: RangeMethod) -> None:
    model = network()
    for name in ("expand0", "project1"):
        layer = model.get_layer(name)
        layer.set_weights([np.zeros_like(weights) for weights in layer.get_weights()])
    graph = lower(read_graph(model))
    constant = np.full((1, 16, 16, 3), 0.5, np.float32)
    quantizer = OnnxQuantizer(calibrate(graph, constant), "portable")
    data = quantizer.build(QuantizationRecipe(None, method, True, ()))
    expected = model.predict(constant, verbose=0)
    np.testing.assert_allclose(scores(data, constant), expected, atol=0.02)
