"""Lowering: the same function with fewer operations, exactly.

A batch normalization is an affine map of each channel. Lowering does not run it. It carries the map
along with its value, as ``value * scale + offset``, through the operations that commute with it,
until the weights of a layer can absorb it:

* the convolution or dense layer before it absorbs it if nothing lies between;
* it passes ReLU if it is only a positive scale, max-pooling if its scales are positive, and average
  pooling, flattening and concatenation always;
* the layer after it absorbs it. A convolution that pads absorbs the scale; the offset, divided by
  the scale, is added before the padding, so that borders stay exact.

A map that cannot be carried further is computed where it stands. For a normalization after ReLU
this rests on max(g x + b) = g max(x) + b for g > 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cxr_edge.export.graph.graph import (
    Affine,
    Graph,
    Input,
    Linear,
    Node,
    Weights,
)
from cxr_edge.export.graph.layers import (
    ADD,
    AVERAGE_POOLING,
    CONCATENATE,
    CROPPING,
    FLATTEN,
    HOMOGENEOUS,
    MAX_POOLING,
    MULTIPLY,
    RESHAPE,
    ZERO_PADDING,
    LayerGroup,
    activation_name,
    is_channels_last,
    is_exact_call,
    is_identity,
)


@dataclass(frozen=True, slots=True)
class _Value:
    """A value of the original network: ``scale`` times the new node's output plus ``offset``."""

    node: int
    """Position in the new graph."""
    scale: Weights
    offset: Weights

    @property
    def is_plain(self) -> bool:
        return not np.any(self.scale != 1) and not np.any(self.offset)


_Rule = Callable[[Node, list[_Value]], _Value | None]
"""From an operation and its carried inputs to its carried output; None: it does not commute."""


def lower(graph: Graph) -> Graph:
    """Fold every affine map that can be folded exactly; drop layers that act in training only.

    Returns:
        A graph with the same scores, up to rounding.
    """
    return _Lowering(graph).run()


def scale_inputs(step: Linear, scale: Weights) -> Linear:
    """The layer whose output for x is the given layer's output for ``scale * x``.

    Args:
        step: a layer.
        scale: (inputs,), or (rows, columns, inputs) for each tap of the kernel its own.
    """
    kernel = step.kernel
    if step.kind != "conv":
        factors = scale[..., np.newaxis]
    else:
        width = kernel.shape[2]  # inputs of one group
        per_group = scale.reshape(*scale.shape[:-1], -1, width).swapaxes(-1, -2)
        factors = np.repeat(per_group, kernel.shape[3] // per_group.shape[-1], axis=-1)
    return dataclasses.replace(step, kernel=kernel * factors)


def scale_outputs(step: Linear, scale: Weights, offset: Weights) -> Linear:
    """The layer whose output is ``scale`` times the given layer's plus ``offset``."""
    factors = scale
    if step.kind == "depthwise":
        factors = scale.reshape(step.kernel.shape[2:])
    return dataclasses.replace(step, kernel=step.kernel * factors, bias=step.bias * scale + offset)


def response_to(step: Linear, constant: Weights) -> Weights:
    """How much a layer's output grows if ``constant`` is added to its whole input.

    Args:
        step: a layer that does not pad its input.
        constant: (inputs,), or (rows, columns, inputs): what is added to all that a tap reads, in
            a layer that may pad.

    Returns:
        (outputs,).
    """
    products = scale_inputs(step, constant).kernel
    if step.kind == "dense":
        return np.asarray(products.sum(axis=0))
    if step.kind == "depthwise":
        return np.asarray(products.sum(axis=(0, 1)).reshape(-1))
    return np.asarray(products.sum(axis=(0, 1, 2)))


class _Lowering:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes: list[Node] = []
        self._values: list[_Value] = []
        self._shifts: dict[tuple[int, bytes], int] = {}
        self._readers = graph.consumers()

    def run(self) -> Graph:
        for node in self._graph.nodes:
            inputs = [self._values[source] for source in node.inputs]
            self._values.append(self._lower(node, inputs))
        return _without_unused(self._nodes, self._applied(self._values[-1]))

    def _lower(self, node: Node, inputs: list[_Value]) -> _Value:
        operation = node.operation
        if isinstance(operation, Input):
            return self._emit(node, ())
        if is_identity(node):
            return inputs[0]
        if isinstance(operation, Affine):
            return self._affine(node, operation, inputs[0])
        if isinstance(operation, Linear):
            return self._linear(node, operation, inputs[0])
        rule = self._rule_for(node)
        carried = rule(node, inputs) if rule else None
        if carried is not None:
            return carried
        return self._emit(node, tuple(self._applied(value) for value in inputs))

    def _rule_for(self, node: Node) -> _Rule | None:
        """How an affine map passes an operation; None: it cannot.

        A rule holds for exactly the call that it describes: one of an exact class on tensors alone,
        whose last axis is the channels.
        """
        if not is_channels_last(node):
            return None
        rules: tuple[tuple[LayerGroup, str, _Rule], ...] = (
            (MAX_POOLING, "", self._max_pool),
            (AVERAGE_POOLING | CROPPING, "", self._carry),
            (FLATTEN, "", self._flatten),
            (RESHAPE, "", self._reshape),
            (ZERO_PADDING, "", self._zero_padding),
            (CONCATENATE, "", self._concatenate),
            (ADD, "add", self._add),
            (MULTIPLY, "multiply", self._multiply),
        )
        if activation_name(node) in HOMOGENEOUS:
            return self._activation
        return next((rule for group, name, rule in rules if is_exact_call(node, group, name)), None)

    def _affine(self, node: Node, step: Affine, value: _Value) -> _Value:
        carried = _Value(
            value.node, value.scale * step.scale, value.offset * step.scale + step.offset
        )
        before = self._nodes[value.node]
        if isinstance(before.operation, Linear) and self._is_only_reader(node.inputs[0]):
            folded = scale_outputs(before.operation, carried.scale, carried.offset)
            self._nodes[value.node] = dataclasses.replace(before, operation=folded)
            return _plain(value.node, node.channels)
        return carried

    def _is_only_reader(self, at: int) -> bool:
        """Whether only one operation reads a linear layer, directly or through this position."""
        while self._readers[at] == 1:
            if isinstance(self._graph.nodes[at].operation, Linear):
                return True
            at = self._graph.nodes[at].inputs[0]
        return False

    def _linear(self, node: Node, step: Linear, value: _Value) -> _Value:
        if step.padded and np.any(value.offset):
            value = self._shifted(value)
        added = response_to(step, value.offset) if np.any(value.offset) else 0.0
        folded = scale_inputs(step, value.scale)
        folded = dataclasses.replace(folded, bias=folded.bias + added)
        return self._emit(dataclasses.replace(node, operation=folded), (value.node,))

    def _activation(self, node: Node, inputs: list[_Value]) -> _Value | None:
        if np.any(inputs[0].offset):
            return None
        return self._max_pool(node, inputs)

    def _max_pool(self, node: Node, inputs: list[_Value]) -> _Value | None:
        return self._carry(node, inputs) if np.all(inputs[0].scale > 0) else None

    def _carry(self, node: Node, inputs: list[_Value]) -> _Value:
        new = self._emit(node, (inputs[0].node,))
        return dataclasses.replace(inputs[0], node=new.node)

    def _flatten(self, node: Node, inputs: list[_Value]) -> _Value | None:
        value = inputs[0]
        if not len(value.scale) or node.channels % len(value.scale):
            return None
        copies = node.channels // len(value.scale)
        new = self._emit(node, (value.node,))
        return _Value(new.node, np.tile(value.scale, copies), np.tile(value.offset, copies))

    def _reshape(self, node: Node, inputs: list[_Value]) -> _Value | None:
        same_channels = node.channels == len(inputs[0].scale)
        return self._carry(node, inputs) if same_channels else None

    def _zero_padding(self, node: Node, inputs: list[_Value]) -> _Value | None:
        return self._carry(node, [self._shifted(inputs[0])])

    def _concatenate(self, node: Node, inputs: list[_Value]) -> _Value | None:
        if sum(len(v.scale) for v in inputs) != node.channels:  # along another axis
            return None
        new = self._emit(node, tuple(v.node for v in inputs))
        scale = np.concatenate([v.scale for v in inputs])
        return _Value(new.node, scale, np.concatenate([v.offset for v in inputs]))

    def _add(self, node: Node, inputs: list[_Value]) -> _Value | None:
        first = inputs[0].scale
        if len(first) != node.channels:
            return None
        if any(v.scale.shape != first.shape or np.any(v.scale != first) for v in inputs):
            return None
        new = self._emit(node, tuple(v.node for v in inputs))
        return _Value(new.node, first, np.sum([v.offset for v in inputs], axis=0))

    def _multiply(self, node: Node, inputs: list[_Value]) -> _Value | None:
        if any(len(v.scale) != node.channels or np.any(v.offset) for v in inputs):
            return None
        new = self._emit(node, tuple(v.node for v in inputs))
        return _Value(new.node, np.prod([v.scale for v in inputs], axis=0), np.zeros(node.channels))

    def _shifted(self, value: _Value) -> _Value:
        """The same value with its offset computed, so that only a scale is left."""
        if not np.any(value.offset):
            return value
        if np.any(value.scale == 0):
            return _plain(self._applied(value), len(value.scale))
        shift = Affine(np.ones_like(value.scale), value.offset / value.scale)
        at = self._once(value.node, shift)
        return _Value(at, value.scale, np.zeros_like(value.offset))

    def _applied(self, value: _Value) -> int:
        """The position of a node that outputs the value itself."""
        if value.is_plain:
            return value.node
        return self._once(value.node, Affine(value.scale, value.offset))

    def _once(self, source: int, step: Affine) -> int:
        """Append an affine map of a node unless the same one exists; its position."""
        key = (source, step.scale.tobytes() + step.offset.tobytes())
        if key not in self._shifts:
            name = f"{self._nodes[source].name}_shift"
            node = Node(name, step, (), len(step.scale))
            self._shifts[key] = self._emit(node, (source,)).node
        return self._shifts[key]

    def _emit(self, node: Node, inputs: tuple[int, ...]) -> _Value:
        self._nodes.append(dataclasses.replace(node, inputs=inputs))
        return _plain(len(self._nodes) - 1, node.channels)


def _plain(node: int, channels: int) -> _Value:
    return _Value(node, np.ones(channels), np.zeros(channels))


def _without_unused(nodes: list[Node], output: int) -> Graph:
    """Keep what the output needs, the output last."""
    needed, pending = {0}, [output]
    while pending:
        at = pending.pop()
        if at not in needed:
            needed.add(at)
            pending += nodes[at].inputs
    order = sorted(needed)
    places = {old: new for new, old in enumerate(order)}
    return Graph(
        tuple(
            dataclasses.replace(nodes[old], inputs=tuple(places[s] for s in nodes[old].inputs))
            for old in order
        )
    )
