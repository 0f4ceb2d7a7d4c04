"""Rewrites of ONNX files before and after quantizing, so that layers run as they should."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from cxr_edge.extras import require

LINEAR = ("Conv", "Gemm", "MatMul")
"""Operations with weights."""


def join_padding(data: bytes) -> bytes:
    """Let convolutions pad with zeros themselves instead of a node before them.

    onnxruntime does so for float32 when it loads a file, but not between quantized nodes: in a
    MobileNetV2 at 96 pixels the four nodes cost a fifth of the time.

    Args:
        data: a float32 ONNX file; the same bytes come back if it pads nowhere before a convolution.
    """
    onnx = require("onnx", "export")
    model = onnx.load_from_string(data)
    graph = model.graph
    weights = {initializer.name: initializer for initializer in graph.initializer}
    readers = Counter(name for node in graph.node for name in node.input)
    pads = {
        node.output[0]: node
        for node in graph.node
        if node.op_type == "Pad" and readers[node.output[0]] == 1 and _pads_zeros(node, weights)
    }
    joined = []
    for node in graph.node:
        pad = pads.get(node.input[0]) if node.op_type == "Conv" else None
        if pad is not None and _take_over(node, pad, weights):
            joined.append(pad)
    if not joined:
        return data
    for pad in joined:
        graph.node.remove(pad)
    used = {name for node in graph.node for name in node.input}
    kept = [initializer for initializer in graph.initializer if initializer.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    result: bytes = model.SerializeToString(deterministic=True)
    return result


def _take_over(convolution: Any, pad: Any, weights: dict[str, Any]) -> bool:
    """Let a convolution read what a Pad node reads, and pad it itself; False: it cannot."""
    onnx = require("onnx", "export")
    attributes = {attribute.name: attribute for attribute in convolution.attribute}
    if "auto_pad" in attributes and attributes["auto_pad"].s != b"NOTSET":
        return False
    amounts = onnx.numpy_helper.to_array(weights[pad.input[1]]).tolist()
    ends = len(amounts) // 2  # the sides' starts, then their ends; batch and channels come first
    if min(amounts) < 0 or any(amounts[:2] + amounts[ends : ends + 2]):
        return False
    total = amounts[2:ends] + amounts[ends + 2 :]
    if "pads" in attributes:
        total = [a + b for a, b in zip(total, attributes["pads"].ints, strict=True)]
        convolution.attribute.remove(attributes["pads"])
    convolution.attribute.append(onnx.helper.make_attribute("pads", total))
    convolution.input[0] = pad.input[0]
    return True


def _pads_zeros(node: Any, weights: dict[str, Any]) -> bool:
    """Whether a Pad node adds a known number of zeros."""
    to_array = require("onnx", "export").numpy_helper.to_array
    mode = next((a.s for a in node.attribute if a.name == "mode"), b"constant")
    value = node.input[2] if len(node.input) > 2 else ""
    return (
        mode == b"constant"
        and node.input[1] in weights
        and (not value or (value in weights and not to_array(weights[value]).any()))
        and len(node.input) < 4
    )


def shield_float_layers(model: Any) -> None:
    """Make onnxruntime run float32 layers between quantized ones in float32.

    Its pass ``WeightBiasQuantization`` rounds the weights of a Conv or Gemm to 8 bits, with one
    scale for the whole tensor, if a DequantizeLinear with one scale feeds it and, past activations,
    a QuantizeLinear reads it. A DequantizeLinear that repeats its scale for every channel computes
    the same values, and the pass leaves it alone.

    Args:
        model: a quantized ``onnx.ModelProto`` of static shapes; changed in place. The weights of
            its float32 layers are initializers.
    """
    onnx = require("onnx", "export")
    graph = model.graph
    weights = {initializer.name: initializer for initializer in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    shapes: dict[str, list[int]] = {}
    shielded: dict[str, str] = {}
    for node in list(graph.node):
        is_float = node.op_type in LINEAR and node.input[1] in weights
        if not is_float or not _is_quantized_after(node, readers, weights):
            continue
        reader = _first_reader(node, made_by, weights)
        if reader is None:
            continue
        source = made_by[reader.input[0]]
        shapes = shapes or _shapes(onnx, model)
        axes = [i for i, size in enumerate(shapes.get(source.output[0], ())) if i and size > 1]
        if not axes or onnx.numpy_helper.to_array(weights[source.input[1]]).size != 1:
            continue
        name = source.output[0]
        if name not in shielded:
            shielded[name] = _by_channel(onnx, graph, source, weights, axes[0], shapes[name])
        reader.input[0] = shielded[name]
    used = {name for node in graph.node for name in node.input}
    for name in shielded:
        if name not in used:
            graph.node.remove(made_by[name])


def _by_channel(
    onnx: Any, graph: Any, source: Any, weights: dict[str, Any], axis: int, shape: list[int]
) -> str:
    """Add a DequantizeLinear like ``source`` with a scale for each channel; its output's name."""
    output = f"{source.output[0]}_by_channel"
    inputs = [source.input[0]]
    for name, end in zip(source.input[1:], ("scale", "zero_point"), strict=False):
        value = onnx.numpy_helper.to_array(weights[name])
        repeated = np.full(shape[axis], value.reshape(()), value.dtype)
        inputs.append(f"{output}_{end}")
        graph.initializer.append(onnx.numpy_helper.from_array(repeated, inputs[-1]))
    node = onnx.helper.make_node("DequantizeLinear", inputs, [output], name=output, axis=axis)
    graph.node.append(node)
    return output


def _first_reader(node: Any, made_by: dict[str, Any], weights: dict[str, Any]) -> Any:
    """The node between a DequantizeLinear and ``node`` that reads it; None: none feeds it.

    Not always ``node`` itself, because onnxruntime moves a DequantizeLinear past what only moves
    values.
    """
    while True:
        source = made_by.get(node.input[0])
        if source is None or source.op_type in (*LINEAR, "QuantizeLinear"):
            return None
        if source.op_type == "DequantizeLinear":
            return node
        if len([name for name in source.input if name and name not in weights]) != 1:
            return None
        node = source


def _is_quantized_after(node: Any, readers: dict[str, list[Any]], weights: dict[str, Any]) -> bool:
    """Whether a QuantizeLinear reads a node's output, perhaps past operations of one tensor."""
    for reader in (reader for name in node.output for reader in readers.get(name, ())):
        if reader.op_type == "QuantizeLinear":
            return True
        tensors = [name for name in reader.input if name and name not in weights]
        passes = len(tensors) == 1 and reader.op_type not in LINEAR
        if passes and _is_quantized_after(reader, readers, weights):
            return True
    return False


def _shapes(onnx: Any, model: Any) -> dict[str, list[int]]:
    """The shape of every tensor that is known."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
