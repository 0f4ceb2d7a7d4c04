"""Maxima with a constant compare integers instead of float32 values."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.extras import require


def compare_integers(model: Any) -> None:
    """Move every QuantizeLinear behind a maximum before it: rounding is monotone.

    onnxruntime does so for max-pooling when it loads a file, and computes a maximum in float32.

    Args:
        model: a quantized ``onnx.ModelProto`` of static shapes; changed in place.
    """
    onnx = require("onnx", "export")
    graph = model.graph
    weights = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    readers = Counter(name for node in graph.node for name in node.input)
    readers.update(port.name for port in graph.output)
    widths = _widths(onnx, model)
    for quantize in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        maximum = makers.get(quantize.input[0])
        if maximum is None or maximum.op_type != "Max" or readers[maximum.output[0]] != 1:
            continue
        dequantize = makers.get(maximum.input[0])
        floor = weights.get(maximum.input[1])
        if dequantize is None or dequantize.op_type != "DequantizeLinear" or floor is None:
            continue
        pairs = zip(dequantize.input[1:], quantize.input[1:], strict=True)
        if not all(np.array_equal(weights[a], weights[b]) for a, b in pairs):
            continue
        # A row of the map at once: a maximum with a few values takes as long as with many.
        levels = np.repeat(_quantized(floor, quantize, weights), widths[maximum.input[0]], axis=3)
        name = f"{maximum.output[0]}_floor"
        graph.initializer.append(onnx.numpy_helper.from_array(levels, name))
        maximum.input[:] = [dequantize.input[0], name]
        maximum.output[0] = quantize.output[0]
        graph.node.remove(quantize)
        readers[dequantize.output[0]] -= 1
        if not readers[dequantize.output[0]]:
            graph.node.remove(dequantize)
    del graph.value_info[:]  # of float32 values that are integers now


def _quantized(
    values: npt.NDArray[Any], quantize: Any, weights: dict[str, npt.NDArray[Any]]
) -> npt.NDArray[Any]:
    scale, zero = (weights[name] for name in quantize.input[1:3])
    limits = np.iinfo(zero.dtype)
    levels = np.rint(values / scale) + zero
    return np.asarray(np.clip(levels, limits.min, limits.max), zero.dtype)


def _widths(onnx: Any, model: Any) -> dict[str, int]:
    """The last side of every tensor whose shape is known."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {
        value.name: value.type.tensor_type.shape.dim[-1].dim_value
        for value in graph.value_info
        if value.type.tensor_type.shape.dim
    }
