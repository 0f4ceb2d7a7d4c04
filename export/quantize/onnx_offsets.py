"""Offsets behind ReLU and max-pooling become a floor, which integers can have.

A normalization after ReLU leaves an addition in front of the next convolution (see
:mod:`cxr_edge.export.graph.lowering`). Between integers it costs three operations, since the sum is
computed in float32. But ``max(x, 0) + b = max(x + b, b)``: the convolution before takes ``b`` into
its bias, max-pooling passes it on, and a maximum with ``b`` is left, which needs no float32. As
the offset is still added before the next convolution pads, borders stay exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxr_edge.export.graph.graph import layer_of
from cxr_edge.extras import require


def fold_offsets(data: bytes, float_layers: frozenset[str] = frozenset()) -> bytes:
    """Replace additions behind a convolution, ReLU and max-pooling by maxima.

    Args:
        data: a float32 ONNX file.
        float_layers: linear layers that will stay in float32, as ``NAME-pPOSITION``; additions
            behind them stay, since onnxruntime would quantize before max-pooling, which takes 2 ms
            for the reference's first one.

    Returns:
        A file with the same scores, up to rounding; the same bytes if it has no such addition.
    """
    onnx = require("onnx", "export")
    model = onnx.load_from_string(data)
    graph = model.graph
    chains = [chain for node in graph.node if (chain := _chain(graph, node))]
    chains = [c for c in chains if layer_of(c.convolution.name) not in float_layers]
    if not chains:
        return data
    for chain in chains:
        _fold(onnx, graph, chain)
    result: bytes = model.SerializeToString(deterministic=True)
    return result


def share_ranges(graph: Any, measured: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a maximum bounds from below the range of the maximum's output.

    With one scale the maximum is one of integers. What is below the floor is not used, unless
    something else reads it: then it keeps its range.

    Args:
        graph: a float32 graph from :func:`fold_offsets`.
        measured: ranges of the tensors that it was made from, by name.

    Returns:
        Ranges of the graph's tensors.
    """
    ranges = dict(measured)
    makers = {name: node for node in graph.node for name in node.output}
    readers = _count_readers(graph)
    for node in graph.node:
        at = makers.get(node.input[0]) if node.op_type == "Max" else None
        bounded = []
        while at is not None and at.op_type in ("MaxPool", "Conv"):
            bounded.append(at.output[0])
            if at.op_type == "Conv":
                break
            at = makers.get(at.input[0])
        has_conv = at is not None and at.op_type == "Conv"
        if has_conv and node.output[0] in ranges and all(readers[name] == 1 for name in bounded):
            ranges.update(dict.fromkeys(bounded, ranges[node.output[0]]))
    return ranges


@dataclass(frozen=True, slots=True)
class _Chain:
    """A convolution, and an addition that nothing but ReLU and max-pooling lies in front of."""

    convolution: Any
    activation: Any
    addition: Any
    offset_name: str
    """Of the constant that is added."""


def _chain(graph: Any, addition: Any) -> _Chain | None:
    """The chain that ends with a node; None: the node adds something else, or elsewhere."""
    if addition.op_type != "Add":
        return None
    weights = {initializer.name: initializer for initializer in graph.initializer}
    constants = [name for name in addition.input if name in weights]
    if len(constants) != 1 or not _is_per_channel(weights[constants[0]]):
        return None
    makers = {name: node for node in graph.node for name in node.output}
    readers = _count_readers(graph)
    (source,) = [name for name in addition.input if name != constants[0]]
    activation = None
    while (node := makers.get(source)) is not None and readers[source] == 1:
        if node.op_type == "Conv":
            bias_names = node.input[2:]
            if activation is None or any(name not in weights for name in bias_names):
                return None
            return _Chain(node, activation, addition, constants[0])
        if node.op_type == "Relu" and activation is None:
            activation = node
        elif node.op_type != "MaxPool" or len(node.output) != 1:
            return None
        source = node.input[0]
    return None


def _count_readers(graph: Any) -> Counter[str]:
    """How often each tensor is read, by name; the graph's outputs are read once more."""
    readers = Counter(name for node in graph.node for name in node.input)
    readers.update(port.name for port in graph.output)
    return readers


def _is_per_channel(tensor: Any) -> bool:
    """Whether a constant holds one number for each channel of (1, channels, height, width)."""
    return len(tensor.dims) in (3, 4) and all(
        side == 1 for axis, side in enumerate(reversed(tensor.dims)) if axis != 2
    )


def _fold(onnx: Any, graph: Any, chain: _Chain) -> None:
    to_array, to_tensor = onnx.numpy_helper.to_array, onnx.numpy_helper.from_array
    weights = {initializer.name: initializer for initializer in graph.initializer}
    offset = to_array(weights[chain.offset_name]).reshape(-1)
    kernel = weights[chain.convolution.input[1]]
    bias = np.zeros(kernel.dims[0], np.float32)
    if len(chain.convolution.input) > 2:
        bias = to_array(weights[chain.convolution.input[2]])
    # In double precision: the sum is rounded once.
    raised = (bias.astype(np.float64) + offset).astype(np.float32)
    name = f"{chain.convolution.output[0]}_bias"
    graph.initializer.append(to_tensor(raised, name))
    chain.convolution.input[:] = [*chain.convolution.input[:2], name]
    source = chain.activation.output[0]
    for node in graph.node:
        node.input[:] = [chain.activation.input[0] if n == source else n for n in node.input]
    graph.node.remove(chain.activation)
    addition = chain.addition
    (value,) = [n for n in addition.input if n != chain.offset_name]
    addition.op_type = "Max"
    addition.name = addition.name.replace("Add", "Max")
    addition.input[:] = [value, chain.offset_name]
    weights[chain.offset_name].CopyFrom(
        to_tensor(offset.reshape(1, -1, 1, 1).astype(np.float32), chain.offset_name)
    )
    _drop_unused(graph)


def _drop_unused(graph: Any) -> None:
    """Remove the weights of a graph that no operation reads."""
    used = {name for node in graph.node for name in node.input}
    kept = [initializer for initializer in graph.initializer if initializer.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
