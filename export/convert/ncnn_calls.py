"""What ncnn's layers compute of a Keras layer that has no kernel, one after another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxr_edge.engines.ncnn_layers import Shape
from cxr_edge.engines.ncnn_params import Params
from cxr_edge.errors import ExportError
from cxr_edge.export.graph.graph import Call, Node, Weights
from cxr_edge.export.graph.layers import (
    ADD,
    CONCATENATE,
    CROPPING,
    FLATTEN,
    GLOBAL_POOLING,
    MAX_POOLING,
    MULTIPLY,
    POOLING,
    RESHAPE,
    ZERO_PADDING,
    LayerGroup,
    activation_name,
    is_channels_last,
    is_exact_call,
)
from cxr_edge.extras import require_keras
from cxr_edge.original.keras_graph import as_array

_SUBTRACT, _AVERAGE = LayerGroup(("Subtract",)), LayerGroup(("Average",))
_RELU, _LEAKY, _ELU = LayerGroup(("ReLU",)), LayerGroup(("LeakyReLU",)), LayerGroup(("ELU",))
_PRELU, _ACTIVATION = LayerGroup(("PReLU",)), LayerGroup(("Activation",))
_ADD, _SUBTRACTION, _MULTIPLICATION = 0, 1, 2
_CHANNELS_LAST, _CHANNELS_FIRST = {0: 3}, {0: 4}
_RELU_CODE, _LEAKY_CODE, _CLIP_CODE = 1, 2, 3
_SLOPE = 0.2  # of Keras's function leaky_relu


@dataclass(frozen=True, slots=True)
class Step:
    """A layer of ncnn, on the results so far."""

    kind: str
    params: Params
    weights: tuple[Weights, ...] = ()
    inputs: int = 1
    """How many of the results it reads; its own takes their place, before the others."""
    fused: int | None = None
    """The number by which a linear layer applies it itself; None: it cannot."""
    constants: tuple[float, ...] = ()
    """What the linear layer needs to know of it."""


_Rule = Callable[[Any, Sequence[Shape]], "list[Step] | None"]
"""From a layer and the shapes of its inputs to the steps; None: there are none."""


def weightless(node: Node) -> Step | None:
    """A node's activation of each value, or over the channels; None: it is none."""
    name = activation_name(node)
    if name in _NAMED:
        return _NAMED[name]
    if not isinstance(node.operation, Call) or not _is_plain(node):
        return None
    layer = node.operation.operation
    if is_exact_call(node, _RELU) and layer.threshold == 0:
        if layer.max_value is None:
            return _leaky(layer.negative_slope)
        return _clip(layer.max_value) if layer.negative_slope == 0 else None
    if name == "leaky_relu":
        return _leaky(getattr(layer, "negative_slope", _SLOPE))
    if is_exact_call(node, _ELU):
        return Step("ELU", {0: float(layer.alpha)})
    if is_exact_call(node, _ACTIVATION):
        return _by_function(layer.activation)
    return None


def steps_of_call(node: Node, shapes: Sequence[Shape]) -> list[Step]:
    """The layers of ncnn that compute a node.

    Args:
        node: a call of a Keras layer or operation.
        shapes: of its inputs.

    Raises:
        ExportError: there are none; the message names the layer.
    """
    activation = weightless(node)
    if activation:
        return [activation]
    if is_channels_last(node) and _is_plain(node):
        for group, operation, rule in _RULES:
            if is_exact_call(node, group, operation):
                assert isinstance(node.operation, Call)  # noqa: S101 - is_exact_call looked
                steps = rule(node.operation.operation, shapes)
                if steps is not None:
                    return steps
    kind = type(getattr(node.operation, "operation", node.operation)).__name__
    raise ExportError(
        f"the layer {node.name[:60]} ({kind}) is not supported: ncnn has no layer that computes "
        "it; choose artifacts other than ncnn with --artifacts"
    )


def same_margins(
    shape: Shape, window: tuple[int, int], strides: tuple[int, int]
) -> tuple[int, int, int, int]:
    """What Keras's padding ``same`` adds to a map: above, below, left, right."""
    margins: list[int] = []
    for side, reach, stride in zip(shape[1:], window, strides, strict=True):
        missing = max((-(-side // stride) - 1) * stride + reach - side, 0)
        margins += [missing // 2, missing - missing // 2]
    return margins[0], margins[1], margins[2], margins[3]


def _is_plain(node: Node) -> bool:
    return isinstance(node.operation, Call) and node.operation.output == 0


def _leaky(slope: float) -> Step:
    params = {0: float(slope)}
    if not slope:
        return Step("ReLU", params, fused=_RELU_CODE)
    return Step("ReLU", params, fused=_LEAKY_CODE, constants=(float(slope),))


def _clip(most: float) -> Step:
    return Step("Clip", {0: 0.0, 1: float(most)}, fused=_CLIP_CODE, constants=(0.0, float(most)))


_NAMED = {
    "relu": _leaky(0.0),
    "sigmoid": Step("Sigmoid", {}),
    "softmax": Step("Softmax", {0: 0, 1: 1}),
}


def _by_function(function: Any) -> Step | None:
    """An activation by its function; Keras has most of them twice."""
    keras = require_keras("export")
    known = {
        "tanh": Step("TanH", {}),
        "silu": Step("Swish", {}),
        "gelu": Step("GELU", {}),
        "elu": Step("ELU", {0: 1.0}),
        "relu6": _clip(6.0),
        "hard_sigmoid": Step("HardSigmoid", {0: 1 / 6, 1: 0.5}),
        "hard_silu": Step("HardSwish", {0: 1 / 6, 1: 0.5}),
    }
    return next(
        (
            step
            for name, step in known.items()
            for module in (keras.activations, keras.ops)
            if function is getattr(module, name, None)
        ),
        None,
    )


def _pool(layer: Any, shapes: Sequence[Shape]) -> list[Step]:
    window, strides = tuple(layer.pool_size), tuple(layer.strides)
    margins = (0, 0, 0, 0)
    if layer.padding == "same":
        margins = same_margins(shapes[0], (window[0], window[1]), (strides[0], strides[1]))
    top, bottom, left, right = margins
    params: dict[int, int] = {0: 0 if _is_maximum(layer) else 1, 1: window[1], 11: window[0]}
    params |= {2: strides[1], 12: strides[0], 3: left, 14: right, 13: top, 15: bottom, 5: 1}
    return [Step("Pooling", params)]


def _pool_all(layer: Any, shapes: Sequence[Shape]) -> list[Step]:
    steps = [Step("Pooling", {0: 0 if _is_maximum(layer) else 1, 4: 1})]
    if layer.keepdims:
        steps.append(Step("Reshape", {0: 1, 1: 1, 2: shapes[0][0]}))
    return steps


def _is_maximum(layer: Any) -> bool:
    return type(layer).__name__ in MAX_POOLING.names


def _flatten(layer: Any, shapes: Sequence[Shape]) -> list[Step]:
    return _flat(shapes[0])


def _flat(shape: Shape) -> list[Step]:
    """A map as a vector in Keras's order."""
    if math.prod(shape[1:]) == 1:
        return [Step("Flatten", {})]
    return [Step("Permute", _CHANNELS_LAST), Step("Flatten", {})]


def _reshape(layer: Any, shapes: Sequence[Shape]) -> list[Step] | None:
    sides, size = list(layer.target_shape), math.prod(shapes[0])
    if -1 in sides:
        sides[sides.index(-1)] = size // -math.prod(sides)
    if len(sides) == 1:
        return _flat(shapes[0])
    if len(sides) != 3:
        return None
    height, width, channels = sides
    if height == width == 1:
        return [*_flat(shapes[0]), Step("Reshape", {0: 1, 1: 1, 2: channels})]
    shaped = Step("Reshape", {0: channels, 1: width, 2: height})
    return [*_flat(shapes[0]), shaped, Step("Permute", _CHANNELS_FIRST)]


def _pad(layer: Any, shapes: Sequence[Shape]) -> list[Step]:
    (top, bottom), (left, right) = layer.padding
    return [Step("Padding", {0: top, 1: bottom, 2: left, 3: right, 4: 0, 5: 0.0})]


def _crop(layer: Any, shapes: Sequence[Shape]) -> list[Step]:
    (top, bottom), (left, right) = layer.cropping
    channels, height, width = shapes[0]
    sides = {3: width - left - right, 4: height - top - bottom, 5: channels}
    return [Step("Crop", {0: left, 1: top, 2: 0, **sides})]


def _concatenate(layer: Any, shapes: Sequence[Shape]) -> list[Step] | None:
    rank = len(shapes[0])
    axis = layer.axis if layer.axis >= 0 else layer.axis + rank + 1
    if len(shapes) < 2 or not 1 <= axis <= rank:
        return None
    return [Step("Concat", {0: axis % rank}, inputs=len(shapes))]


def _joined(operation: int) -> _Rule:
    """Two values or more, joined one after another."""

    def rule(layer: Any, shapes: Sequence[Shape]) -> list[Step] | None:
        if len(shapes) < 2 or len({len(shape) for shape in shapes}) != 1:
            return None
        return [Step("BinaryOp", {0: operation}, inputs=2)] * (len(shapes) - 1)

    return rule


def _average(layer: Any, shapes: Sequence[Shape]) -> list[Step] | None:
    sums = _joined(_ADD)(layer, shapes)
    return sums and [*sums, Step("BinaryOp", {0: _MULTIPLICATION, 1: 1, 2: 1 / len(shapes)})]


def _parametric(layer: Any, shapes: Sequence[Shape]) -> list[Step] | None:
    slopes = np.asarray(as_array(layer.alpha), np.float64)
    if slopes.shape[-1] != slopes.size or slopes.size != shapes[0][0]:
        return None
    return [Step("PReLU", {0: slopes.size}, (slopes.reshape(-1),))]


_NOTHING = LayerGroup(())
_RULES: tuple[tuple[LayerGroup, str, _Rule], ...] = (
    (GLOBAL_POOLING, "", _pool_all),
    (POOLING, "", _pool),
    (FLATTEN, "", _flatten),
    (RESHAPE, "", _reshape),
    (ZERO_PADDING, "", _pad),
    (CROPPING, "", _crop),
    (CONCATENATE, "", _concatenate),
    (ADD, "add", _joined(_ADD)),
    (_SUBTRACT, "", _joined(_SUBTRACTION)),
    (MULTIPLY, "multiply", _joined(_MULTIPLICATION)),
    (_AVERAGE, "", _average),
    (_PRELU, "", _parametric),
)
