"""Rewrites that let a chain of convolutions run on integers alone, on hand-made ONNX files."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from cxr_edge.engines.onnxruntime import open_session
from cxr_edge.export.quantize.onnx_int8 import PRESETS, observe, quantize_onnx
from cxr_edge.export.quantize.onnx_offsets import fold_offsets


def network(
    side: tuple[int, int] = (16, 12),
    *,
    channels: int = 1,
    kernel: int = 3,
    stride: int = 1,
    pads: tuple[int, int, int, int] = (1, 1, 1, 1),
    pool: int = 2,
    pool_pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    bias: bool = True,
    relu_last: bool = False,
) -> bytes:
    """Image → convolution → ReLU → max-pooling → addition → convolution → mean → scores."""
    random = np.random.default_rng(3)
    weights = {
        "to": np.array([0, -1]),
        "k1": random.normal(size=(16, channels, kernel, kernel)) / kernel,
        "b1": random.normal(size=16) / 4,
        "offset": random.normal(size=(1, 16, 1, 1)) / 2,
        "k2": random.normal(size=(8, 16, 3, 3)) / 12,
        "head": random.normal(size=(8, 1)),
    }
    dtypes = {"to": np.int64}
    pooling = [
        helper.make_node(
            "MaxPool",
            ["c1" if relu_last else "r1"],
            ["p1"],
            name="pool",
            kernel_shape=[pool, pool],
            strides=[pool, pool],
            pads=pool_pads,
        )
    ]
    relu = [helper.make_node("Relu", ["p1" if relu_last else "c1"], ["r1"], name="relu")]
    nodes = [
        helper.make_node("Transpose", ["image"], ["t0"], name="nchw", perm=[0, 3, 1, 2]),
        helper.make_node(
            "Conv",
            ["t0", "k1", *(["b1"] if bias else [])],
            ["c1"],
            name="conv-p1/Conv",
            pads=pads,
            strides=[stride, stride],
        ),
        *(pooling + relu if relu_last else relu + pooling),
        helper.make_node("Add", ["r1" if relu_last else "p1", "offset"], ["a1"], name="Add_4"),
        helper.make_node("Conv", ["a1", "k2"], ["c2"], name="conv-p5/Conv", pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c2"], ["g"], name="mean"),
        helper.make_node("Reshape", ["g", "to"], ["flat"], name="flatten"),
        helper.make_node("MatMul", ["flat", "head"], ["scores"], name="head-p7/MatMul"),
    ]
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("image", 1, [1, *side, channels])],
        [helper.make_tensor_value_info("scores", 1, [1, 1])],
        [
            numpy_helper.from_array(value.astype(dtypes.get(name, np.float32)), name)
            for name, value in weights.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def images(data: bytes, count: int = 4) -> np.ndarray:
    """Pixels within 0..1, smooth in part, the first one black."""
    shape = [
        d.dim_value for d in onnx.load_from_string(data).graph.input[0].type.tensor_type.shape.dim
    ]
    pixels = np.random.default_rng(4).integers(0, 256, (count, *shape[1:]))
    pixels[0] = 0
    pixels[1] = pixels[1] // 4 + 100
    return (pixels / 255).astype(np.float32)


def scores(data: bytes, batch: np.ndarray) -> np.ndarray:
    session = open_session(data, 1)
    return np.concatenate(
        [session.run(None, {"image": batch[i : i + 1]})[0] for i in range(len(batch))]
    )


def types(data: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(data).graph.node]


@pytest.mark.parametrize(
    "options",
    [{}, {"bias": False}, {"relu_last": True}, {"pool_pads": (0, 0, 1, 1), "side": (15, 11)}],
)
def test_an_offset_behind_relu_and_pooling_becomes_a_maximum(options: dict[str, Any]) -> None:
    data = network(**options)
    folded = fold_offsets(data)
    assert "Add" not in types(folded) and "Relu" not in types(folded)
    batch = images(data)
    np.testing.assert_allclose(scores(folded, batch), scores(data, batch), atol=2e-6)


def test_an_offset_behind_a_float_layer_stays() -> None:
    data = network()
    assert fold_offsets(data, frozenset({"conv-p1"})) == data
    assert fold_offsets(fold_offsets(data)) == fold_offsets(data)


def test_an_offset_whose_value_has_another_reader_stays() -> None:
    model = onnx.load_from_string(network())
    model.graph.output.append(helper.make_tensor_value_info("p1", 1, [1, 16, 8, 6]))
    data = model.SerializeToString(deterministic=True)
    assert fold_offsets(data) == data


@pytest.mark.parametrize("preset", PRESETS)
def test_the_maximum_between_two_convolutions_is_of_integers(preset: str) -> None:
    data = network(channels=3)
    batch = images(data, 16)
    ranges = observe(data, batch, "minmax")
    rewritten, head = fold_offsets(data), frozenset({"head-p7"})
    quantized = quantize_onnx(rewritten, ranges, PRESETS[preset], head)
    assert quantized == quantize_onnx(rewritten, ranges, PRESETS[preset], head)
    graph = onnx.load_from_string(quantized).graph
    (maximum,) = [node for node in graph.node if node.op_type == "Max"]
    floors = {i.name: numpy_helper.to_array(i) for i in graph.initializer}[maximum.input[1]]
    assert floors.dtype in (np.int8, np.uint8)
    (reader,) = [node for node in graph.node if maximum.output[0] in node.input]
    assert reader.op_type == "DequantizeLinear"  # of the next convolution
    plain = quantize_onnx(data, ranges, PRESETS[preset], head)
    exact = scores(data, batch)
    error, plain_error = (np.abs(scores(d, batch) - exact).mean() for d in (quantized, plain))
    assert error < 1.5 * plain_error
    assert error < 0.05 * np.ptp(exact)
