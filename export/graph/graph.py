"""A classifier as a small graph that can be rewritten, and the way back to Keras.

:mod:`cxr_edge.export.graph.reader` makes the graph. Only linear layers and affine maps get types of
their own, with their weights. Every other operation is kept and called again, so that an unknown
layer is converted unchanged rather than refused.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cxr_edge.export.graph.calls import fill_in
from cxr_edge.extras import require_keras

Weights = npt.NDArray[np.float64]
"""Weights of a layer, float64 while they are rewritten."""


@dataclass(frozen=True, slots=True)
class Input:
    """The image."""

    shape: tuple[int, ...]
    """(height, width, channels)."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A convolution, depthwise convolution or dense layer, without its activation."""

    kind: Literal["conv", "depthwise", "dense"]
    layer: Any
    """The Keras layer, for its strides, padding and name."""
    kernel: Weights
    """(rows, columns, inputs / groups, outputs), (rows, columns, inputs, multiplier) for a
    depthwise convolution, (inputs, outputs) for a dense layer."""
    bias: Weights
    """(outputs,)."""
    padded: bool
    """Whether it pads its input with zeros."""


@dataclass(frozen=True, slots=True)
class Affine:
    """Each channel times ``scale`` plus ``offset``: a batch normalization, a rescaling."""

    scale: Weights
    """(channels,)."""
    offset: Weights
    """(channels,)."""
    input_statistics: tuple[Weights, Weights] | None = None
    """Mean and standard deviation of each input channel over the training images, as a batch
    normalization stores them, (channels,) each; None: unknown."""


@dataclass(frozen=True, slots=True)
class Call:
    """Any other operation, called as the model calls it."""

    operation: Any
    """A Keras layer or operation."""
    arguments: Any
    """Keras's record of the arguments; :func:`cxr_edge.export.graph.calls.fill_in` completes it."""
    tensors: tuple[int, ...]
    """``id`` of each tensor among the arguments, in the order of the node's inputs."""
    output: int
    """Index of the output that this node stands for."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of a graph."""

    name: str
    """The layer's name, for messages."""
    operation: Input | Linear | Affine | Call
    inputs: tuple[int, ...]
    """Positions of the nodes whose outputs it reads; all before its own."""
    channels: int
    """Size of the last axis of its output."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Operations in an order in which they can run; the last one outputs the scores."""

    nodes: tuple[Node, ...]
    """The first is the only :class:`Input`."""

    def consumers(self) -> Counter[int]:
        """Number of nodes that read each node's output, by position."""
        return Counter(source for node in self.nodes for source in node.inputs)

    def replace(self, changes: dict[int, Linear | Affine]) -> Graph:
        """Replace operations by position; everything else stays."""
        nodes = list(self.nodes)
        for position, operation in changes.items():
            nodes[position] = dataclasses.replace(nodes[position], operation=operation)
        return Graph(tuple(nodes))


def build_model(graph: Graph, taps: Sequence[int] = (), *, batch: int | None = None) -> Any:
    """Make a Keras model of a graph.

    Args:
        graph: the operations.
        taps: positions of nodes to output besides the scores.
        batch: images per call; None: any number.

    Returns:
        A ``keras.Model`` whose output is the scores, or ``[scores, *taps]`` if there are taps. Its
        linear layers are named ``NAME-pPOSITION``; :func:`layer_of` recovers that name from an
        operation of a converted file.
    """
    keras = require_keras("export")
    tensors: list[Any] = []
    for position, node in enumerate(graph.nodes):
        arguments = [tensors[source] for source in node.inputs]
        tensors.append(_call(keras, node, position, arguments, batch))
    outputs = [tensors[-1], *(tensors[tap] for tap in taps)]
    return keras.Model(tensors[0], outputs if taps else outputs[0], name="network")


def layer_of(name: str) -> str | None:
    """The linear layer that a converted operation comes from, ``NAME-pPOSITION``; None: no such."""
    layers = re.findall(r"([^/;]*-p\d+)(?:_\d+)?(?=[/;]|$)", name)
    return str(layers[-1]) if layers else None


def _call(keras: Any, node: Node, position: int, arguments: list[Any], batch: int | None) -> Any:
    """Call one node on symbolic tensors."""
    operation = node.operation
    if isinstance(operation, Input):
        return keras.Input(operation.shape, batch_size=batch, name="image")
    if isinstance(operation, Linear):
        name = f"{node.name}-p{position}"
        config = operation.layer.get_config() | {"name": name, "activation": "linear"}
        layer = type(operation.layer).from_config(config | {"use_bias": True})
        output = layer(arguments[0])
        layer.set_weights([operation.kernel, operation.bias])
        return output
    if isinstance(operation, Affine):
        layer = _affine_layer(keras, operation, f"affine{position}", arguments[0].dtype)
        return layer(arguments[0])
    filled = dict(zip(operation.tensors, arguments, strict=True))
    args, kwargs = fill_in(operation.arguments, filled)
    result = operation.operation(*args, **kwargs)
    return result[operation.output] if isinstance(result, list | tuple) else result


def _affine_layer(keras: Any, operation: Affine, name: str, dtype: str) -> Any:
    """A named layer for an affine map.

    Keras numbers bare operations without looking at the names of loaded layers: a model with both
    a layer "add" and an operation "add" cannot be built.
    """

    class Channels(keras.layers.Layer):
        """Multiply each channel by a scale and add an offset."""

        def call(self, value: Any) -> Any:
            if np.any(operation.scale != 1):
                value = keras.ops.multiply(value, operation.scale.astype(dtype))
            return keras.ops.add(value, operation.offset.astype(dtype))

    return Channels(name=name, dtype=dtype)
