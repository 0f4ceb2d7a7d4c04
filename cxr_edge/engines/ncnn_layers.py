"""The layers of ncnn that a file may use: their parameters, the shapes they give, their weights.

ncnn trusts its files: a parameter that does not fit the weights or the input makes it read and
write outside its memory. So there is one rule for each layer, by which an export writes a network
and an engine checks it before ncnn sees it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cxr_edge.engines.ncnn_params import ParamReader, Params
from cxr_edge.errors import EngineError

Shape = tuple[int, ...]
"""(channels, height, width) of a map, (channels,) of a vector; images are without a batch."""
MOST_VALUES = 2**26
"""The largest blob: 256 MiB."""
_LONGEST_SIDE = 2**16
_ACTIVATIONS = {1: 0, 2: 1, 3: 2}  # relu, leaky relu, clip: how many parameters each has


@dataclass(frozen=True, slots=True)
class Layer:
    """What a layer makes of its inputs."""

    shapes: tuple[Shape, ...]
    """Of its outputs."""
    weights: tuple[int, ...] = ()
    """Number of values in each of its arrays of weights, in the order of the file."""
    flagged: bool = False
    """Whether the first array is preceded by four bytes that say how it is stored."""


_Rule = Callable[["ParamReader", Sequence[Shape]], Layer]


def describe(kind: str, params: Params, inputs: Sequence[Shape], outputs: int = 1) -> Layer:
    """What a layer of a kind computes.

    Args:
        kind: ncnn's name of the layer.
        params: its parameters; exactly those of the kind's rule.
        inputs: shapes of its inputs.
        outputs: how many outputs it has.

    Raises:
        EngineError: the kind is not known, or a parameter is missing, unknown, out of range or does
            not fit the inputs.
    """
    if kind == "Split":
        if params or len(inputs) != 1 or not 2 <= outputs <= 1000:
            raise EngineError("a layer Split has parameters, or not one input and several outputs")
        return Layer(tuple(inputs) * outputs)
    if kind not in _RULES:
        raise EngineError(f"cxr-edge never loads ncnn layers of the type {kind[:40]!r}")
    fewest, most, rule = _RULES[kind]
    if not fewest <= len(inputs) <= most or outputs != 1:
        raise EngineError(f"a layer {kind} has {len(inputs)} inputs and {outputs} outputs")
    reader = ParamReader(kind, params)
    layer = rule(reader, inputs)
    reader.check_all_read()
    for shape in layer.shapes:
        if min(shape) < 1 or max(shape) > _LONGEST_SIDE or math.prod(shape) > MOST_VALUES:
            raise EngineError(f"a layer {kind} outputs {shape}, allowed {MOST_VALUES:,} values")
    return layer


def _map(shape: Shape, kind: str) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise EngineError(f"a layer {kind} gets {shape}, expected (channels, height, width)")
    return shape[0], shape[1], shape[2]


def _input(params: ParamReader, inputs: Sequence[Shape]) -> Layer:
    width, height, channels = (params.whole(number, 1, _LONGEST_SIDE) for number in (0, 1, 2))
    return Layer(((channels, height, width),))


def _activated(params: ParamReader) -> None:
    """Read the activation of a linear layer, if it has one."""
    if 9 in params:
        count = _ACTIVATIONS[params.whole(9, 1, 3)]
        if count:
            params.reals(10, count)


def _windows(params: ParamReader, shape: Shape, kind: str) -> tuple[int, int, int]:
    """Rows and columns of a convolution's output, and positions of its kernel."""
    _, height, width = _map(shape, kind)
    sides, positions = [], 1
    for side, size, dilation, stride, before, after in (
        (height, 11, 12, 13, 14, 16),
        (width, 1, 2, 3, 4, 15),
    ):
        kernel = params.whole(size, 1, 255)
        reach = (kernel - 1) * params.whole(dilation, 1, 255) + 1
        padded = side + params.whole(before, 0, 4096) + params.whole(after, 0, 4096)
        sides.append((padded - reach) // params.whole(stride, 1, 255) + 1)
        positions *= kernel
    return sides[0], sides[1], positions


def _convolution(params: ParamReader, inputs: Sequence[Shape]) -> Layer:
    rows, columns, positions = _windows(params, inputs[0], "Convolution")
    outputs = params.whole(0, 1, _LONGEST_SIDE)
    return _linear(params, (outputs, rows, columns), inputs[0][0] * positions)


def _grouped(params: ParamReader, inputs: Sequence[Shape]) -> Layer:
    rows, columns, positions = _windows(params, inputs[0], "ConvolutionDepthWise")
    outputs, groups = params.whole(0, 1, _LONGEST_SIDE), params.whole(7, 1, _LONGEST_SIDE)
    if inputs[0][0] % groups or outputs % groups:
        raise EngineError(f"{groups} groups do not divide {inputs[0][0]} and {outputs} channels")
    return _linear(params, (outputs, rows, columns), inputs[0][0] // groups * positions)


def _dense(params: ParamReader, inputs: Sequence[Shape]) -> Layer:
    if len(inputs[0]) != 1:
        raise EngineError(f"a layer InnerProduct gets {inputs[0]}, expected (channels,)")
    outputs, count = params.whole(0, 1, _LONGEST_SIDE), inputs[0][0]
    params.exactly(1, 1)
    params.exactly(2, outputs * count)
    _activated(params)
    return Layer(((outputs,),), (outputs * count, outputs), flagged=True)


def _linear(params: ParamReader, shape: Shape, inputs: int) -> Layer:
    params.exactly(5, 1)
    params.exactly(6, shape[0] * inputs)
    _activated(params)
    return Layer((shape,), (shape[0] * inputs, shape[0]), flagged=True)


def _pooling(params: ParamReader, inputs: Sequence[Shape]) -> Layer:
    channels, height, width = _map(inputs[0], "Pooling")
    params.whole(0, 0, 1)  # maximum, average
    if 4 in params:
        params.exactly(4, 1)
        return Layer(((channels,),))
    params.exactly(5, 1)  # padding is given, and nothing is added to it
    sides = []
    for side, size, stride, before, after in ((height, 11, 12, 13, 15), (width, 1, 2, 3, 14)):
        kernel = params.whole(size, 1, 255)
        first, last = params.whole(before, 0, 254), params.whole(after, 0, 254)
        if max(first, last) >= kernel:
            raise EngineError("a layer Pooling has windows of nothing but padding")
        sides.append((side + first + last - kernel) // params.whole(stride, 1, 255) + 1)
    return Layer(((channels, sides[0], sides[1]),))


def _padding(params: ParamReader, inputs: Sequence[Shape]) -> Layer:
    channels, height, width = _map(inputs[0], "Padding")
    top, bottom, left, right = (params.whole(number, 0, 4096) for number in range(4))
    params.exactly(4, 0)  # by a constant
    shape = channels, height + top + bottom, width + left + right
    if 6 in params:
        params.exactly(6, channels)
        return Layer((shape,), (channels,))
    params.real(5)
    return Layer((shape,))


def _crop(params: ParamReader, inputs: Sequence[Shape]) -> Layer:
    channels, height, width = _map(inputs[0], "Crop")
    left, top = params.whole(0, 0, width - 1), params.whole(1, 0, height - 1)
    params.exactly(2, 0)
    columns, rows = params.whole(3, 1, width - left), params.whole(4, 1, height - top)
    params.exactly(5, channels)
    return Layer(((channels, rows, columns),))


def _permute(params: ParamReader, inputs: Sequence[Shape]) -> Layer:
    first, second, third = _map(inputs[0], "Permute")
    channels_last = params.whole(0, 3, 4) == 3
    return Layer(((second, third, first) if channels_last else (third, first, second),))


def _reshape(params: ParamReader, inputs: Sequence[Shape]) -> Layer:
    numbers = (2, 1, 0) if 2 in params else (0,)
    sides = [params.whole(number, 1, MOST_VALUES) for number in numbers]
    if math.prod(sides) != math.prod(inputs[0]):
        raise EngineError(f"a layer Reshape makes {tuple(sides)} of {inputs[0]}")
    return Layer((tuple(sides),))


def _flatten(params: ParamReader, inputs: Sequence[Shape]) -> Layer:
    return Layer(((math.prod(inputs[0]),),))


def _binary(params: ParamReader, inputs: Sequence[Shape]) -> Layer:
    params.whole(0, 0, 2)  # addition, subtraction, multiplication
    if 1 in params:
        params.exactly(1, 1)
        params.real(2)
        if len(inputs) == 1:
            return Layer((inputs[0],))
    if 1 in params or len(inputs) != 2:
        raise EngineError("a layer BinaryOp has two inputs, or one and a number")
    first, second = inputs
    pairs = list(zip(first, second, strict=False))
    if len(first) != len(second) or any(a != b and 1 not in (a, b) for a, b in pairs):
        raise EngineError(f"a layer BinaryOp joins {first} and {second}")
    return Layer((tuple(map(max, first, second)),))


def _concat(params: ParamReader, inputs: Sequence[Shape]) -> Layer:
    axis = params.whole(0, 0, len(inputs[0]) - 1)
    others = {shape[:axis] + shape[axis + 1 :] for shape in inputs}
    if len(others) != 1 or len({len(shape) for shape in inputs}) != 1:
        raise EngineError("a layer Concat joins shapes that do not fit")
    joined = sum(shape[axis] for shape in inputs)
    return Layer(((*inputs[0][:axis], joined, *inputs[0][axis + 1 :]),))


def _scale(params: ParamReader, inputs: Sequence[Shape]) -> Layer:
    channels = params.exactly(0, inputs[0][0])
    params.exactly(1, 1)
    return Layer((inputs[0],), (channels, channels))


def _slopes(params: ParamReader, inputs: Sequence[Shape]) -> Layer:
    return Layer((inputs[0],), (params.exactly(0, inputs[0][0]),))


def _softmax(params: ParamReader, inputs: Sequence[Shape]) -> Layer:
    params.exactly(0, 0)  # over the channels
    params.exactly(1, 1)
    return Layer((inputs[0],))


def _elementwise(*numbers: int) -> _Rule:
    """A function of each value, with these real parameters."""

    def rule(params: ParamReader, inputs: Sequence[Shape]) -> Layer:
        for number in numbers:
            params.real(number)
        return Layer((inputs[0],))

    return rule


_RULES: dict[str, tuple[int, int, _Rule]] = {
    "Input": (0, 0, _input),
    "Convolution": (1, 1, _convolution),
    "ConvolutionDepthWise": (1, 1, _grouped),
    "InnerProduct": (1, 1, _dense),
    "Pooling": (1, 1, _pooling),
    "Padding": (1, 1, _padding),
    "Crop": (1, 1, _crop),
    "Permute": (1, 1, _permute),
    "Reshape": (1, 1, _reshape),
    "Flatten": (1, 1, _flatten),
    "BinaryOp": (1, 2, _binary),
    "Concat": (2, 1000, _concat),
    "Scale": (1, 1, _scale),
    "PReLU": (1, 1, _slopes),
    "Softmax": (1, 1, _softmax),
    "ReLU": (1, 1, _elementwise(0)),
    "Clip": (1, 1, _elementwise(0, 1)),
    "ELU": (1, 1, _elementwise(0)),
    "HardSigmoid": (1, 1, _elementwise(0, 1)),
    "HardSwish": (1, 1, _elementwise(0, 1)),
    "GELU": (1, 1, _elementwise()),
    "Sigmoid": (1, 1, _elementwise()),
    "Swish": (1, 1, _elementwise()),
    "TanH": (1, 1, _elementwise()),
}
"""Fewest and most inputs of each kind, and its rule."""
