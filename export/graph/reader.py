"""Taking a Keras model apart, into the graph that the rewrites work on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from cxr_edge.errors import ExportError
from cxr_edge.export.graph.graph import Affine, Call, Graph, Input, Linear, Node, Weights
from cxr_edge.extras import require_keras


def read_graph(model: Any) -> Graph:
    """Take a Keras model apart; nested models are opened, activations become nodes of their own.

    Args:
        model: a functional or sequential ``keras.Model`` with one input and one output.

    Raises:
        ExportError: the model is not made of layers that Keras can list.
    """
    if not getattr(model, "inputs", None):
        raise ExportError("the model is neither functional nor sequential")
    return _Reader(model).graph()


class _Reader:
    """Walks from the output back to the input, then lists what it found in running order."""

    def __init__(self, model: Any) -> None:
        self._keras = require_keras("export")
        shape = tuple(model.inputs[0].shape[1:])
        self.nodes: list[Node] = [Node("image", Input(shape), (), shape[-1])]
        (self._output,) = self._read(model, [0])

    def graph(self) -> Graph:
        """What was read; nothing behind the output."""
        return Graph(tuple(self.nodes[: self._output + 1]))

    def _read(self, model: Any, sources: Sequence[int]) -> list[int]:
        """Append a model's operations; the positions of its outputs."""
        known = {id(tensor): at for tensor, at in zip(model.inputs, sources, strict=True)}
        for operation, call, outputs in _running_order(model, set(known)):
            tensors = list(call.arguments.keras_tensors)
            inputs = [known[id(tensor)] for tensor in tensors]
            if isinstance(operation, self._keras.Model):
                results = self._read(operation, inputs)
            else:
                results = [
                    self._append(operation, call.arguments, tensors, inputs, index, output)
                    for index, output in enumerate(outputs)
                ]
            known.update({id(out): at for out, at in zip(outputs, results, strict=True)})
        return [known[id(tensor)] for tensor in model.outputs]

    def _append(
        self,
        operation: Any,
        arguments: Any,
        tensors: list[Any],
        inputs: list[int],
        index: int,
        output: Any,
    ) -> int:
        """Append one operation, taken apart where it is several."""
        steps = _steps(operation, tuple(tensors[0].shape[1:])) if len(inputs) == 1 else None
        if steps is None:
            identities = tuple(id(tensor) for tensor in tensors)
            return self._add(
                operation.name,
                Call(operation, arguments, identities, index),
                tuple(inputs),
                int(output.shape[-1] or 0),
            )
        at = inputs[0]
        for step in steps:
            at = self._add(operation.name, step, (at,), _channels(step))
        activation = getattr(operation, "activation", None)
        if isinstance(steps[-1], Linear) and activation is not self._keras.activations.linear:
            # Named: what Keras counts in a process would end up in the files.
            name = f"{operation.name}-activation{len(self.nodes)}"
            policy = operation.dtype_policy
            layer = self._keras.layers.Activation(activation, dtype=policy, name=name)
            symbol = layer(self._keras.KerasTensor(output.shape, dtype=output.dtype))
            call = symbol._keras_history.operation._inbound_nodes[-1]
            tensor = call.arguments.keras_tensors[0]
            at = self._add(
                operation.name,
                Call(layer, call.arguments, (id(tensor),), 0),
                (at,),
                int(output.shape[-1]),
            )
        return at

    def _add(self, name: str, step: Any, inputs: tuple[int, ...], channels: int) -> int:
        self.nodes.append(Node(name, step, inputs, channels))
        return len(self.nodes) - 1


def _running_order(model: Any, known: set[int]) -> Iterator[tuple[Any, Any, list[Any]]]:
    """Each call of a model's operations once, after those that it depends on."""
    pending, seen = [(tensor, False) for tensor in reversed(model.outputs)], set(known)
    while pending:  # a stack, not recursion: networks are hundreds of layers deep
        tensor, ready = pending.pop()
        if id(tensor) in seen:
            continue
        history = getattr(tensor, "_keras_history", None)
        if history is None:
            raise ExportError("the model is neither functional nor sequential")
        call = history.operation._inbound_nodes[history.node_index]
        if ready:
            outputs = list(call.output_tensors)
            seen.update(id(output) for output in outputs)
            yield history.operation, call, outputs
        else:
            pending.append((tensor, True))
            pending += [(source, False) for source in reversed(call.arguments.keras_tensors)]


def _steps(layer: Any, sides: tuple[int | None, ...]) -> list[Linear | Affine] | None:
    """A layer that sees (N, *sides) as linear and affine steps; None where it is neither."""
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return None
    kind = type(layer).__name__
    if kind == "Dense":
        kernel, bias = _kernel_and_bias(layer)
        return [Linear("dense", layer, kernel, bias, padded=False)]
    if kind in ("Conv2D", "DepthwiseConv2D"):
        kernel, bias = _kernel_and_bias(layer)
        name: Literal["conv", "depthwise"] = "conv" if kind == "Conv2D" else "depthwise"
        return [Linear(name, layer, kernel, bias, padded=_pads(layer, sides))]
    if kind == "SeparableConv2D":
        return _separated(layer, sides)
    if kind == "BatchNormalization" and layer.axis in (-1, len(sides)):
        return [_normalization(layer)]
    if kind == "Rescaling":
        channels = int(sides[-1] or 0)
        return [Affine(_spread(layer.scale, channels), _spread(layer.offset, channels))]
    return None


def _separated(layer: Any, sides: tuple[int | None, ...]) -> list[Linear | Affine]:
    """A separable convolution as the two that it is."""
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


def _kernel_and_bias(layer: Any) -> tuple[Weights, Weights]:
    weights = [np.asarray(w, np.float64) for w in layer.get_weights()]
    depthwise = type(layer).__name__ == "DepthwiseConv2D"
    outputs = weights[0].shape[-2] * weights[0].shape[-1] if depthwise else weights[0].shape[-1]
    return weights[0], weights[1] if layer.use_bias else np.zeros(outputs)


def _pads(layer: Any, sides: tuple[int | None, ...]) -> bool:
    """Whether a convolution sees zeros beyond its input's border."""
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
    return np.array(np.broadcast_to(np.asarray(value, np.float64).reshape(-1), channels))


def _channels(step: Linear | Affine) -> int:
    return len(step.bias if isinstance(step, Linear) else step.scale)
