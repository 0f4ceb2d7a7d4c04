"""What a call computes as linear and affine steps, where that is all it does."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from cxr_edge.export.graph.graph import Affine, Linear, Weights
from cxr_edge.extras import require_keras
from cxr_edge.original.keras_graph import LayerCall, as_array, constants, producing_call

Steps = list[Linear | Affine]


def steps_of(call: LayerCall) -> Steps | None:
    """A call as linear and affine steps, without its activation; None where it is something else.

    Only exact classes count, since a subclass may compute something else, and only calls of one
    tensor, beside which an operation of arithmetic may have one constant.
    """
    if len(call.inputs) != 1:
        return None
    others = constants(call.arguments)
    if type(call.operation) in _arithmetic():
        step = _arithmetic_step(call, others)
        return [step] if step else None
    if others or getattr(call.operation, "data_format", "channels_last") != "channels_last":
        return None
    return _layer_steps(call.operation, tuple(call.inputs[0].shape[1:]))


def _layer_steps(layer: Any, sides: tuple[int | None, ...]) -> Steps | None:
    """A layer as steps; ``sides``: shape of its input without the batch, the channels last."""
    layers, kind = require_keras("export").layers, type(layer)
    if kind is layers.Dense:
        kernel, bias = _array(layer.kernel), _bias(layer, layer.units)
        return [Linear("dense", layer, kernel, bias, padded=False)]
    if kind is layers.Conv2D:
        return [_convolution(layer, sides)]
    if kind is layers.DepthwiseConv2D:
        kernel = _array(layer.kernel)
        bias = _bias(layer, kernel.shape[2] * kernel.shape[3])
        return [Linear("depthwise", layer, kernel, bias, padded=_pads(layer, sides))]
    if kind is layers.SeparableConv2D:
        return _separated(layer, sides)
    if kind is layers.BatchNormalization and layer.axis in (-1, len(sides)):
        return [_normalization(layer)]
    if kind is layers.Rescaling:
        return _rescaled(layer, int(sides[-1] or 0))
    if kind is layers.Normalization:
        return _adapted(layer, int(sides[-1] or 0))
    return None


def _convolution(layer: Any, sides: tuple[int | None, ...]) -> Linear:
    """A convolution; in as many groups as it has inputs it is a depthwise one."""
    kernel, bias = _array(layer.kernel), _bias(layer, layer.filters)
    padded, inputs = _pads(layer, sides), sides[-1]
    row_step, column_step = layer.strides
    if layer.groups != inputs or inputs == 1 or row_step != column_step:
        return Linear("conv", layer, kernel, bias, padded=padded)
    multiplier = layer.filters // layer.groups
    depthwise = require_keras("export").layers.DepthwiseConv2D(
        layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        dilation_rate=layer.dilation_rate,
        depth_multiplier=multiplier,
        dtype=layer.dtype_policy,
    )
    kernel = kernel.reshape(*layer.kernel_size, layer.groups, multiplier)
    return Linear("depthwise", depthwise, kernel, bias, padded=padded)


def _separated(layer: Any, sides: tuple[int | None, ...]) -> Steps:
    """A separable convolution as a depthwise and a 1x1 one."""
    layers = require_keras("export").layers
    depthwise, pointwise = _array(layer.depthwise_kernel), _array(layer.pointwise_kernel)
    first = layers.DepthwiseConv2D(
        layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        dilation_rate=layer.dilation_rate,
        depth_multiplier=layer.depth_multiplier,
        dtype=layer.dtype_policy,
    )
    second = layers.Conv2D(layer.filters, 1, dtype=layer.dtype_policy)
    between = np.zeros(depthwise.shape[2] * depthwise.shape[3])
    return [
        Linear("depthwise", first, depthwise, between, padded=_pads(layer, sides)),
        Linear("conv", second, pointwise, _bias(layer, layer.filters), padded=False),
    ]


def _pads(layer: Any, sides: tuple[int | None, ...]) -> bool:
    """Whether a convolution reads zeros beyond its input's border."""
    if layer.padding != "same":
        return bool(layer.padding != "valid")
    window = (sides[:2], layer.strides, layer.kernel_size, layer.dilation_rate)
    for side, stride, kernel, dilation in zip(*window, strict=True):
        if side is None or (-(-side // stride) - 1) * stride + (kernel - 1) * dilation + 1 > side:
            return True
    return False


def _normalization(layer: Any) -> Affine:
    mean, variance = _array(layer.moving_mean), _array(layer.moving_variance)
    deviation = np.sqrt(variance + layer.epsilon)
    scale = _array(layer.gamma) / deviation if layer.scale else 1 / deviation
    offset = -mean * scale
    if layer.center:
        offset = offset + _array(layer.beta)
    return Affine(scale, offset, (mean, variance, layer.epsilon))


def _rescaled(layer: Any, channels: int) -> Steps | None:
    """The layer Rescaling; None: with a number for each channel of channels that come first."""
    scale = _per_channel(layer.scale, channels)
    offset = _per_channel(layer.offset, channels)
    first = require_keras("export").config.image_data_format() == "channels_first"
    if scale is None or offset is None or (first and np.ndim(layer.scale)):
        return None
    return [Affine(scale, offset)]


def _adapted(layer: Any, channels: int) -> Steps | None:
    """The layer Normalization, adapted or given its statistics; None: along other axes."""
    if layer.mean is None or layer.variance is None:
        return None
    mean = _per_channel(layer.mean, channels)
    variance = _per_channel(layer.variance, channels)
    if mean is None or variance is None:
        return None
    deviation = np.maximum(np.sqrt(variance), require_keras("export").config.epsilon())
    if layer.invert:
        return [Affine(deviation, mean)]
    return [Affine(1 / deviation, -mean / deviation)]


def _arithmetic_step(call: LayerCall, others: tuple[Any, ...]) -> Affine | None:
    """An addition, subtraction, multiplication or division with a constant, or a negation."""
    source, output = call.inputs[0], call.outputs[0]
    kept = source.dtype == output.dtype and tuple(source.shape) == tuple(output.shape)
    if not kept or not source.dtype.startswith("float") or call.arguments.kwargs:
        return None
    name, channels = _arithmetic()[type(call.operation)], int(source.shape[-1] or 0)
    if name == "negative":
        return Affine(-np.ones(channels), np.zeros(channels)) if not others else None
    constant = _per_channel(others[0], channels) if len(others) == 1 else None
    if constant is None or len(call.arguments.args) != 2 or len(source.shape) < 2:
        return None
    tensor_first = call.arguments.args[0] is source
    ones, zeros = np.ones(channels), np.zeros(channels)
    if name == "add":
        return Affine(ones, constant)
    if name == "subtract":
        return Affine(ones, -constant) if tensor_first else Affine(-ones, constant)
    if name == "multiply":
        return Affine(constant, zeros)
    if name == "divide" and tensor_first and np.all(constant != 0):
        return Affine(1 / constant, zeros)
    return None


@functools.cache
def _arithmetic() -> dict[Any, str]:
    """Keras's operations of arithmetic by their class, which Keras does not export."""
    keras = require_keras("export")
    tensor, operations = keras.KerasTensor((1, 2)), {}
    for name in ("add", "subtract", "multiply", "divide", "true_divide"):
        call = producing_call(getattr(keras.ops, name)(tensor, 2.0))
        operations[type(call.operation) if call else None] = name.removeprefix("true_")
    call = producing_call(keras.ops.negative(tensor))
    operations[type(call.operation) if call else None] = "negative"
    return operations


def _per_channel(value: Any, channels: int) -> Weights | None:
    """A constant as (channels,); None where it is not one number, or one for each channel."""
    try:
        array = np.asarray(as_array(value), np.float64)
    except (TypeError, ValueError):
        return None
    whole = array.size in (1, channels) and array.size == (array.shape[-1] if array.ndim else 1)
    return _spread(array, channels) if whole and np.all(np.isfinite(array)) else None


def _bias(layer: Any, outputs: int) -> Weights:
    return _array(layer.bias) if layer.use_bias else np.zeros(outputs)


def _array(variable: Any) -> Weights:
    return np.asarray(as_array(variable), np.float64)


def _spread(value: Any, channels: int) -> Weights:
    """A number, or one for each channel, as (channels,)."""
    return np.array(np.broadcast_to(np.asarray(value, np.float64).reshape(-1), channels))
