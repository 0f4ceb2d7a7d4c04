"""Values become integers before operations that only move or compare them, not after."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.export.quantize.onnx_rewrite import MOVING
from cxr_edge.extras import require


def quantize_early(model: Any) -> None:
    """Move every QuantizeLinear of one scale before moving operations and maxima.

    Rounding commutes with what moves values and, as it is monotone, with a maximum. onnxruntime
    does so for some operations when it loads a file, and runs the others in float32.

    Args:
        model: a quantized ``onnx.ModelProto`` of static shapes; changed in place. Padding is with
            zeros.
    """
    onnx = require("onnx", "export")
    graph = model.graph
    weights = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    readers = Counter(name for node in graph.node for name in node.input)
    readers.update(port.name for port in graph.output)
    sides = _sides(onnx, model)
    for quantize in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        if weights[quantize.input[1]].size != 1:
            continue
        path: list[Any] = []
        source = quantize.input[0]
        while (node := makers.get(source)) is not None and readers[source] == 1:
            if node.op_type not in (*MOVING, "Max") or (path and node.op_type == "Max"):
                break
            path.append(node)
            source = node.input[0]
        starts_at_image = source == graph.input[0].name
        if not starts_at_image:
            path = path[:1]
            maker = makers.get(path[0].input[0]) if path and path[0].op_type == "Max" else None
            if maker is None or maker.op_type != "DequantizeLinear":
                continue
        for node in path:
            if node.op_type == "Max":
                if not _floor_integers(onnx, graph, node, quantize, weights, sides):
                    path = []
                    break
            elif node.op_type == "Pad" and len(node.input) > 2:
                node.input[2] = quantize.input[2]
            _swap(node, quantize, makers)
        if path:
            _join(graph, quantize, makers, weights)
    del graph.value_info[:]


def _swap(node: Any, quantize: Any, makers: dict[str, Any]) -> None:
    """Let ``quantize``, which reads ``node``, come before it."""
    value, between, result = node.input[0], node.output[0], quantize.output[0]
    quantize.input[0], quantize.output[0] = value, between
    node.input[0], node.output[0] = between, result
    makers[between], makers[result] = quantize, node


def _floor_integers(
    onnx: Any,
    graph: Any,
    node: Any,
    quantize: Any,
    weights: dict[str, npt.NDArray[Any]],
    sides: dict[str, list[int]],
) -> bool:
    """Quantize the floor of a maximum; False: it has none for each channel of maps."""
    value, *others = node.input
    floor = weights.get(others[0]) if len(others) == 1 else None
    if floor is None or floor.ndim != 4 or floor.shape[3] != 1:
        return False
    scale, zero = (weights[name] for name in quantize.input[1:3])
    limits = np.iinfo(zero.dtype)
    levels = np.rint(floor / scale) + zero
    rounded = np.clip(levels, limits.min, limits.max).astype(zero.dtype)
    # A row of the map at once, because a maximum with a few values takes as long as with many.
    rounded = np.repeat(rounded, (sides.get(value) or [1])[-1], axis=3)
    name = f"{node.output[0]}_floor"
    graph.initializer.append(onnx.numpy_helper.from_array(rounded, name))
    node.input[:] = [value, name]
    return True


def _join(
    graph: Any, quantize: Any, makers: dict[str, Any], weights: dict[str, npt.NDArray[Any]]
) -> None:
    """Drop a QuantizeLinear that reads a DequantizeLinear of the same scale."""
    source = makers.get(quantize.input[0])
    if source is None or source.op_type != "DequantizeLinear":
        return
    pairs = zip(source.input[1:], quantize.input[1:], strict=False)
    if all(np.array_equal(weights[a], weights[b]) for a, b in pairs):
        for node in graph.node:
            node.input[:] = [source.input[0] if n == quantize.output[0] else n for n in node.input]
        graph.node.remove(quantize)
        readers = {name for node in graph.node for name in node.input}
        if source.output[0] not in readers:
            graph.node.remove(source)


def _sides(onnx: Any, model: Any) -> dict[str, list[int]]:
    """The sides of every tensor whose shape is known."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.input)
    }
