"""A network computed in 16-bit floats step by step, as an ARMv8.2 core computes it.

x86 CPUs have no such arithmetic: their engines and TensorFlow multiply and add in float32 and round
the sums only, which is several times more exact. Here every sum is rounded after every addition, in
the order in which XNNPACK adds: position by position of a kernel, channel by channel. On the
reference's convolutions the largest error is within 6 % of an emulated Cortex-A76's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.decision import Scores
from cxr_edge.errors import ExportError
from cxr_edge.export.graph.graph import Affine, Call, Graph, Input, Linear, Node
from cxr_edge.export.graph.layers import (
    ACTIVATIONS,
    ADD,
    CONCATENATE,
    CROPPING,
    FLATTEN,
    MAX_POOLING,
    MULTIPLY,
    RESHAPE,
    ZERO_PADDING,
    LayerGroup,
    is_exact_call,
)
from cxr_edge.export.graph.windows import pad_for_windows, pair, read_by_tap
from cxr_edge.original.keras_graph import fill_in
from cxr_edge.preprocess import Batch

Values = npt.NDArray[np.float32]
"""(images, rows, columns, channels) or (images, channels), each a 16-bit float."""

# One result of one rounding each, or numbers moved about.
_SINGLE_STEPS = (
    ACTIVATIONS | LayerGroup(("Softmax",)) | MAX_POOLING | FLATTEN | RESHAPE | CONCATENATE
) | (ADD | MULTIPLY | CROPPING | ZERO_PADDING)
_SINGLE_OPERATIONS = ("relu", "sigmoid", "add", "multiply")
_GLOBAL_AVERAGE = LayerGroup(("GlobalAveragePooling2D",))
_AVERAGE = LayerGroup(("AveragePooling2D",))
# x * SPLITTER - (x * SPLITTER - x) keeps the 11 leading bits of a float32, rounded to nearest.
_SPLITTER = np.float32(2**13 + 1)
_LARGEST = 65504.0


def check_emulated(graph: Graph) -> None:
    """Refuse a network with an operation whose 16-bit arithmetic is not known.

    Raises:
        ExportError: it has one; the message names the layer.
    """
    for node in graph.nodes:
        if _step_for(node) is None:
            raise ExportError(
                f"16-bit arithmetic of the layer {node.name} cannot be emulated here, so that "
                "nothing would prove the file; take tflite-fp16, which computes in float32"
            )


def run_in_float16(graph: Graph, batch: Batch) -> Scores:
    """Compute the scores of images in 16-bit floats.

    Args:
        graph: the network, as :func:`check_emulated` accepts it.
        batch: (N, height, width, channels) float32.

    Returns:
        (N, spec.outputs) float32.
    """
    return np.concatenate([_run(graph, batch[i : i + 1]) for i in range(len(batch))])


def _run(graph: Graph, image: Batch) -> Scores:
    values: list[Values | None] = []
    readers = graph.consumers()
    for node in graph.nodes:
        step = _step_for(node)
        assert step is not None  # noqa: S101 - check_emulated has seen the graph
        inputs = [values[source] for source in node.inputs]
        values.append(step(*(inputs or [image])))
        readers.subtract(node.inputs)
        for source in node.inputs:
            if not readers[source]:
                values[source] = None
    assert values[-1] is not None  # noqa: S101 - nothing reads the last one
    return values[-1]


def _step_for(node: Node) -> Callable[..., Values] | None:
    """The emulation of a node's operation, from its inputs; None: there is none."""
    operation = node.operation
    if isinstance(operation, Input):
        return _rounded
    if isinstance(operation, Linear):
        return lambda value: _linear(operation, value)
    if isinstance(operation, Affine):
        return lambda value: _affine(operation, value)
    if is_exact_call(node, _GLOBAL_AVERAGE):
        return lambda value: _average(value, operation.operation.keepdims)
    if is_exact_call(node, _AVERAGE):
        return lambda value: _average_windows(value, operation.operation)
    if is_exact_call(node, _SINGLE_STEPS) or any(
        is_exact_call(node, LayerGroup(()), name) for name in _SINGLE_OPERATIONS
    ):
        return lambda *values: _rounded(_called(operation, values))
    return None


def _called(call: Call, values: tuple[Values, ...]) -> Any:
    """Call an operation in float32."""
    args, kwargs = fill_in(call.arguments, dict(zip(call.tensors, values, strict=True)))
    return call.operation(*args, **kwargs)


def _rounded(values: Any) -> Values:
    """Round to the nearest 16-bit float."""
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float32).astype(np.float16).astype(np.float32)


def _affine(step: Affine, value: Values) -> Values:
    if np.any(step.scale != 1):
        value = _rounded(value * _rounded(step.scale))
    return _rounded(value + _rounded(step.offset)) if np.any(step.offset) else value


def _linear(step: Linear, value: Values) -> Values:
    kernel, bias = _rounded(step.kernel), _rounded(step.bias)
    if step.kind == "dense":
        sums = _started(bias, (*value.shape[:-1], kernel.shape[-1]))
        products = ((value[..., i, None], kernel[i]) for i in range(len(kernel)))
        return _accumulate(sums, products)
    rows, columns, width, outputs = kernel.shape
    layer = step.layer
    padded, shape = pad_for_windows(value, layer, (rows, columns))
    if step.kind == "depthwise":  # channel c makes the outputs c * multiplier + m
        sums = _started(bias.reshape(width, outputs), (*shape, width, outputs))
        places = (
            (read_by_tap(padded, layer, place, shape)[..., None], kernel[place])
            for place in itertools.product(range(rows), range(columns))
        )
        return _accumulate(sums, places).reshape(*shape, -1)
    groups = value.shape[-1] // width
    parts = []
    for part in range(groups):
        own = slice(part * outputs // groups, (part + 1) * outputs // groups)
        inputs = padded[..., part * width : (part + 1) * width]
        products = (
            (read_by_tap(inputs, layer, place, shape)[..., i, None], kernel[place][i, own])
            for place in itertools.product(range(rows), range(columns))
            for i in range(width)
        )
        parts.append(_accumulate(_started(bias[own], (*shape, len(bias[own]))), products))
    return np.concatenate(parts, axis=-1)


def _started(bias: Values, shape: tuple[int, ...]) -> Values:
    return np.array(np.broadcast_to(bias, shape), order="C")


def _accumulate(sums: Values, products: Iterator[tuple[Values, Values]]) -> Values:
    """Add products to sums in place, rounding after each addition as a fused one does."""
    product, remainder = np.empty_like(sums), np.empty_like(sums)
    for factor, weight in products:
        np.multiply(factor, weight, out=product)  # exact in float32
        np.add(sums, product, out=sums)
        np.multiply(sums, _SPLITTER, out=product)
        np.subtract(product, sums, out=remainder)
        np.subtract(product, remainder, out=sums)
    sums[np.abs(sums) > _LARGEST] = np.inf
    return sums


def _average(value: Values, keepdims: bool) -> Values:
    positions = value.reshape(len(value), -1, value.shape[-1])
    count = positions.shape[1]
    one = np.ones(1, np.float32)
    sums = _accumulate(
        np.zeros_like(positions[:, 0]), ((positions[:, i], one) for i in range(count))
    )
    means = _rounded(sums * _rounded(1 / count))
    return means[:, None, None] if keepdims else means


def _average_windows(value: Values, layer: Any) -> Values:
    window = pair(layer.pool_size)
    places = list(itertools.product(range(window[0]), range(window[1])))

    def totals(of: Values) -> Values:
        padded, shape = pad_for_windows(of, layer, window)
        one = np.ones(1, np.float32)
        parts = ((read_by_tap(padded, layer, place, shape), one) for place in places)
        return _accumulate(np.zeros((*shape, of.shape[-1]), np.float32), parts)

    counts = totals(np.ones((1, *value.shape[1:3], 1), np.float32))
    return _rounded(totals(value) * _rounded(1 / counts))
