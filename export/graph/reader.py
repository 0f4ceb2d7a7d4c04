"""From a Keras model to the graph that the rewrites work on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cxr_edge.errors import ExportError
from cxr_edge.export.graph.calls import LayerCall, producing_call
from cxr_edge.export.graph.graph import Affine, Call, Graph, Input, Linear, Node, Weights
from cxr_edge.extras import require_keras

_NOT_FUNCTIONAL = (
    "the model is neither functional nor sequential; build it as one of them, so that its layers "
    "can be read"
)


def read_graph(model: Any) -> Graph:
    """Read a Keras model; nested models are inlined, activations become nodes of their own.

    Args:
        model: a functional or sequential ``keras.Model`` with one input and one output.

    Raises:
        ExportError: the model is neither functional nor sequential, so Keras has no list of its
            layers.
    """
    if not getattr(model, "inputs", None):
        raise ExportError(_NOT_FUNCTIONAL)
    return _Reader(model).graph()


class _Reader:
    """Appends a model's operations to a list of nodes, in an order in which they can run."""

    def __init__(self, model: Any) -> None:
        self._keras = require_keras("export")
        shape = tuple(model.inputs[0].shape[1:])
        self.nodes: list[Node] = [Node("image", Input(shape), (), shape[-1])]
        (self._output,) = self._read(model, [0])

    def graph(self) -> Graph:
        """The operations up to the one that outputs the scores."""
        return Graph(tuple(self.nodes[: self._output + 1]))

    def _read(self, model: Any, sources: Sequence[int]) -> list[int]:
        """Append a model's operations; the positions of its outputs."""
        known = {id(tensor): at for tensor, at in zip(model.inputs, sources, strict=True)}
        for call in _calls_in_order(model, set(known)):
            inputs = tuple(known[id(tensor)] for tensor in call.inputs)
            if isinstance(call.operation, self._keras.Model):
                results = self._read(call.operation, inputs)
            else:
                results = [self._append(call, index, inputs) for index in range(len(call.outputs))]
            known.update({id(out): at for out, at in zip(call.outputs, results, strict=True)})
        return [known[id(tensor)] for tensor in model.outputs]

    def _append(self, call: LayerCall, index: int, inputs: tuple[int, ...]) -> int:
        """Append what computes one output of a call; the position of that output."""
        layer = call.operation
        steps = _steps(layer, tuple(call.inputs[0].shape[1:])) if len(inputs) == 1 else None
        if steps is None:
            return self._append_call(layer.name, call, index, inputs)
        position = inputs[0]
        for step in steps:
            channels = len(step.bias if isinstance(step, Linear) else step.scale)
            position = self._append_node(Node(layer.name, step, (position,), channels))
        activation = getattr(layer, "activation", None)
        if isinstance(steps[-1], Linear) and activation is not self._keras.activations.linear:
            position = self._append_activation(layer, call.outputs[index], position)
        return position

    def _append_activation(self, layer: Any, output: Any, source: int) -> int:
        """Append a layer's activation as a layer of its own."""
        activation = self._keras.layers.Activation(
            layer.activation,
            dtype=layer.dtype_policy,
            # Without a name Keras would number it, and its count would end up in the files.
            name=f"{layer.name}-activation{len(self.nodes)}",
        )
        result = activation(self._keras.KerasTensor(output.shape, dtype=output.dtype))
        call = producing_call(result)
        assert call is not None  # noqa: S101 - just called
        return self._append_call(layer.name, call, 0, (source,))

    def _append_call(self, name: str, call: LayerCall, index: int, inputs: tuple[int, ...]) -> int:
        tensors = tuple(id(tensor) for tensor in call.inputs)
        operation = Call(call.operation, call.arguments, tensors, index)
        channels = int(call.outputs[index].shape[-1] or 0)
        return self._append_node(Node(name, operation, inputs, channels))

    def _append_node(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1


def _calls_in_order(model: Any, known: set[int]) -> Iterator[LayerCall]:
    """Each call of a model's operations once, after those that it depends on."""
    pending, done = [(tensor, False) for tensor in reversed(model.outputs)], set(known)
    while pending:  # a stack instead of recursion: networks are hundreds of layers deep
        tensor, inputs_are_done = pending.pop()
        if id(tensor) in done:
            continue
        call = producing_call(tensor)
        if call is None:
            raise ExportError(_NOT_FUNCTIONAL)
        if inputs_are_done:
            done.update(id(output) for output in call.outputs)
            yield call
        else:
            pending.append((tensor, True))
            pending += [(source, False) for source in reversed(call.inputs)]


def _steps(layer: Any, sides: tuple[int | None, ...]) -> list[Linear | Affine] | None:
    """A layer as linear and affine steps; None where it is something else.

    Args:
        layer: a Keras layer; only exact classes count, a subclass may compute something else.
        sides: shape of its input without the batch, the channels last.
    """
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return None
    layers, kind = require_keras("export").layers, type(layer)
    if kind is layers.Dense:
        kernel, bias = _kernel_and_bias(layer, depthwise=False)
        return [Linear("dense", layer, kernel, bias, padded=False)]
    if kind is layers.Conv2D:
        kernel, bias = _kernel_and_bias(layer, depthwise=False)
        return [Linear("conv", layer, kernel, bias, padded=_pads(layer, sides))]
    if kind is layers.DepthwiseConv2D:
        kernel, bias = _kernel_and_bias(layer, depthwise=True)
        return [Linear("depthwise", layer, kernel, bias, padded=_pads(layer, sides))]
    if kind is layers.SeparableConv2D:
        return _separated(layer, sides)
    if kind is layers.BatchNormalization and layer.axis in (-1, len(sides)):
        return [_normalization(layer)]
    if kind is layers.Rescaling:
        channels = int(sides[-1] or 0)
        return [Affine(_spread(layer.scale, channels), _spread(layer.offset, channels))]
    return None


def _separated(layer: Any, sides: tuple[int | None, ...]) -> list[Linear | Affine]:
    """A separable convolution as a depthwise and a 1x1 one."""
    layers = require_keras("export").layers
    depthwise, pointwise = (np.asarray(w, np.float64) for w in layer.get_weights()[:2])
    config = layer.get_config()
    names = ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier", "dtype")
    first = layers.DepthwiseConv2D(**{name: config[name] for name in names})
    second = layers.Conv2D(layer.filters, 1, dtype=config["dtype"])
    between = np.zeros(depthwise.shape[2] * depthwise.shape[3])
    bias = np.asarray(layer.bias, np.float64) if layer.use_bias else np.zeros(layer.filters)
    return [
        Linear("depthwise", first, depthwise, between, padded=_pads(layer, sides)),
        Linear("conv", second, pointwise, bias, padded=False),
    ]


def _kernel_and_bias(layer: Any, *, depthwise: bool) -> tuple[Weights, Weights]:
    weights = [np.asarray(w, np.float64) for w in layer.get_weights()]
    outputs = weights[0].shape[-2] * weights[0].shape[-1] if depthwise else weights[0].shape[-1]
    return weights[0], weights[1] if layer.use_bias else np.zeros(outputs)


def _pads(layer: Any, sides: tuple[int | None, ...]) -> bool:
    """Whether a convolution reads zeros beyond its input's border."""
    if layer.padding != "same":
        return bool(layer.padding != "valid")
    steps = zip(sides[:2], layer.strides, layer.kernel_size, layer.dilation_rate, strict=True)
    for side, stride, kernel, dilation in steps:
        if side is None or (-(-side // stride) - 1) * stride + (kernel - 1) * dilation + 1 > side:
            return True
    return False


def _normalization(layer: Any) -> Affine:
    mean = np.asarray(layer.moving_mean, np.float64)
    deviation = np.sqrt(np.asarray(layer.moving_variance, np.float64) + layer.epsilon)
    scale = np.asarray(layer.gamma, np.float64) / deviation if layer.scale else 1 / deviation
    offset = -mean * scale
    if layer.center:
        offset = offset + np.asarray(layer.beta, np.float64)
    return Affine(scale, offset, (mean, deviation))


def _spread(value: Any, channels: int) -> Weights:
    """A number, or one for each channel, as (channels,)."""
    return np.array(np.broadcast_to(np.asarray(value, np.float64).reshape(-1), channels))
