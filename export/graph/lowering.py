"""Lowering: the same function with fewer operations, exactly.

A batch normalization is an affine map of each channel. Rather than running it, the pass carries
it along with the value that it applies to, ``value * scale + offset``, through every operation
that commutes with it, until a layer's weights take it up:

* into the weights of the convolution or dense layer before it, where nothing lies between;
* through ReLU where only a positive scale is carried, through max-pooling where scales are
  positive, through average pooling, flattening and concatenation always;
* into the weights of the layer after it. A padding convolution takes up the scale; the offset,
  divided by the scale, is added before the padding, so that borders stay exact.

What cannot be carried is applied where it stands, as the model does. Source of the idea for
normalization after ReLU: max(g x + b) = g max(x) + b for g > 0.
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
    activation_name,
    is_channels_last,
    is_layer,
)

_IDENTITIES = (
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "ActivityRegularization",
    "RandomFlip",
    "RandomRotation",
    "RandomZoom",
    "RandomTranslation",
    "RandomShear",
    "RandomPerspective",
    "RandomBrightness",
    "RandomContrast",
    "RandomErasing",
    "RandomGaussianBlur",
    "RandomHue",
    "RandomSaturation",
    "RandomSharpness",
    "RandomColorJitter",
)
"""Layers that pass their input on when the network is not training."""
HOMOGENEOUS = ("relu", "leaky_relu")
"""Activations with f(s x) = s f(x) for s > 0."""


@dataclass(frozen=True, slots=True)
class _Value:
    """What the original network computes: ``scale`` times the new node's output plus ``offset``."""

    node: int
    """Position in the new graph."""
    scale: Weights
    offset: Weights

    @property
    def is_plain(self) -> bool:
        return not np.any(self.scale != 1) and not np.any(self.offset)


def lower(graph: Graph) -> Graph:
    """Fold every affine map that can be folded exactly, and drop what only training needs.

    Returns:
        A graph with the same scores, up to rounding.
    """
    return _Lowering(graph).run()


def is_identity(node: Node) -> bool:
    """Whether a node passes its only input on unchanged."""
    return is_layer(node, *_IDENTITIES) or activation_name(node) == "linear"


def scale_inputs(step: Linear, scale: Weights) -> Linear:
    """The layer whose answer to x is the given layer's answer to ``scale * x``."""
    kernel = step.kernel
    if step.kind != "conv":
        factors = scale[:, np.newaxis]
    else:
        width = kernel.shape[2]  # inputs of one group
        per_group = scale.reshape(-1, width).T  # (inputs of a group, groups)
        factors = np.repeat(per_group, kernel.shape[3] // per_group.shape[1], axis=1)
    return dataclasses.replace(step, kernel=kernel * factors)


def scale_outputs(step: Linear, scale: Weights, offset: Weights) -> Linear:
    """The layer whose answer is ``scale`` times the given layer's plus ``offset``."""
    factors = scale
    if step.kind == "depthwise":
        factors = scale.reshape(step.kernel.shape[2:])
    return dataclasses.replace(step, kernel=step.kernel * factors, bias=step.bias * scale + offset)


def answer_to(step: Linear, constant: Weights) -> Weights:
    """What a layer adds to its output where its whole input is raised by ``constant``.

    Args:
        step: a layer that adds no zeros around its input.
        constant: (inputs,).

    Returns:
        (outputs,).
    """
    raised = scale_inputs(step, constant).kernel
    if step.kind == "dense":
        return np.asarray(raised.sum(axis=0))
    if step.kind == "depthwise":
        return np.asarray(raised.sum(axis=(0, 1)).reshape(-1))
    return np.asarray(raised.sum(axis=(0, 1, 2)))


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
        for applies, carry in self._rules():
            if (
                is_channels_last(node)
                and applies(node)
                and (carried := carry(node, inputs)) is not None
            ):
                return carried
        return self._emit(node, tuple(self._applied(value) for value in inputs))

    def _rules(self) -> list[tuple[Callable[[Node], bool], Callable[..., _Value | None]]]:
        return [
            (lambda n: activation_name(n) in HOMOGENEOUS, self._activation),
            (lambda n: is_layer(n, "MaxPooling2D", "GlobalMaxPooling2D"), self._max_pool),
            (lambda n: is_layer(n, "AveragePooling2D", "GlobalAveragePooling2D"), self._carry),
            (lambda n: is_layer(n, "Flatten"), self._flatten),
            (lambda n: is_layer(n, "ZeroPadding2D"), self._zero_padding),
            (lambda n: is_layer(n, "Concatenate"), self._concatenate),
            (lambda n: is_layer(n, "Add"), self._add),
        ]

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
        """Whether nothing else reads a linear layer, or what passes it on, up to this position."""
        while self._readers[at] == 1:
            if isinstance(self._graph.nodes[at].operation, Linear):
                return True
            at = self._graph.nodes[at].inputs[0]
        return False

    def _linear(self, node: Node, step: Linear, value: _Value) -> _Value:
        if step.padded and np.any(value.offset):
            value = self._shifted(value)
        raised = answer_to(step, value.offset) if np.any(value.offset) else 0.0
        folded = scale_inputs(step, value.scale)
        folded = dataclasses.replace(folded, bias=folded.bias + raised)
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
        copies = node.channels // len(value.scale)
        new = self._emit(node, (value.node,))
        return _Value(new.node, np.tile(value.scale, copies), np.tile(value.offset, copies))

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
        if any(v.scale.shape != first.shape or np.any(v.scale != first) for v in inputs):
            return None
        new = self._emit(node, tuple(v.node for v in inputs))
        return _Value(new.node, first, np.sum([v.offset for v in inputs], axis=0))

    def _shifted(self, value: _Value) -> _Value:
        """The same value with nothing left but a scale."""
        if not np.any(value.offset):
            return value
        if np.any(value.scale == 0):
            return _plain(self._applied(value), len(value.scale))
        shift = Affine(np.ones_like(value.scale), value.offset / value.scale)
        at = self._once(value.node, shift)
        return _Value(at, value.scale, np.zeros_like(value.offset))

    def _applied(self, value: _Value) -> int:
        """The position of a node that computes the value itself."""
        if value.is_plain:
            return value.node
        return self._once(value.node, Affine(value.scale, value.offset))

    def _once(self, source: int, step: Affine) -> int:
        """Append an affine map of a node, or find the same one."""
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
