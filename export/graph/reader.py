"""From a Keras model to the graph that the rewrites work on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cxr_edge.errors import ExportError
from cxr_edge.export.graph.graph import Call, Graph, Input, Linear, Node
from cxr_edge.export.graph.steps import steps_of
from cxr_edge.extras import require_keras
from cxr_edge.original.keras_graph import LayerCall, constants, producing_call

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
            layers; or a layer is random, normalizes by the batch or is quantized by Keras.
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
            if self._is_plain_model(call):
                results = self._read(call.operation, inputs)
            else:
                results = [self._append(call, index, inputs) for index in range(len(call.outputs))]
            known.update({id(out): at for out, at in zip(call.outputs, results, strict=True)})
        return [known[id(tensor)] for tensor in model.outputs]

    def _is_plain_model(self, call: LayerCall) -> bool:
        """Whether a call is that of a nested model on exactly the tensors that it was built for.

        Keras reshapes and casts what else it is called with, and orders dictionaries by key.
        """
        if not isinstance(call.operation, self._keras.Model):
            return False
        built = getattr(call.operation, "inputs", None) or ()
        return (
            [(len(tensor.shape), tensor.dtype) for tensor in built]
            == [(len(tensor.shape), tensor.dtype) for tensor in call.inputs]
            and not constants(call.arguments)
            and not any(isinstance(argument, dict) for argument in call.arguments.args)
        )

    def _append(self, call: LayerCall, index: int, inputs: tuple[int, ...]) -> int:
        """Append what computes one output of a call; the position of that output."""
        layer, steps = call.operation, steps_of(call)
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
