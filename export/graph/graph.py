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

from cxr_edge.export.graph.custom_layers import affine_layer, grouped_convolution
from cxr_edge.extras import require_keras
from cxr_edge.original.keras_graph import fill_in, renamed

_RESERVED = ("image", "scores", "heatmap", "network")
_WINDOW = ("kernel_size", "strides", "padding", "dilation_rate", "data_format")

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
    input_statistics: tuple[Weights, Weights, float] | None = None
    """Mean and variance of each input channel over the training images, (channels,) each, and what
    is added to the variance, as a batch normalization stores them; None: unknown."""


@dataclass(frozen=True, slots=True)
class Call:
    """Any other operation, called as the model calls it."""

    operation: Any
    """A Keras layer or operation."""
    arguments: Any
    """Keras's record of them; :func:`cxr_edge.original.keras_graph.fill_in` completes it."""
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


def build_model(
    graph: Graph,
    taps: Sequence[int] = (),
    *,
    batch: int | None = None,
    dtype: str | None = None,
) -> Any:
    """Make a Keras model of a graph.

    Args:
        graph: the operations.
        taps: positions of nodes to output besides the scores.
        batch: images per call; None: any number.
        dtype: of what is computed; None: as in the model that was read.

    Returns:
        A ``keras.Model`` whose output is the scores, or ``[scores, *taps]`` if there are taps. Its
        linear layers are named by :func:`linear_name`; :func:`layer_of` recovers that name from an
        operation of a converted file.
    """
    keras = require_keras("export")
    tensors: list[Any] = []
    for node, name in zip(graph.nodes, _names(graph), strict=True):
        arguments = [tensors[source] for source in node.inputs]
        if isinstance(node.operation, Input):
            tensors.append(keras.Input(node.operation.shape, batch, dtype, name=name))
        else:
            tensors.append(_call(keras, node, name, arguments, dtype))
    outputs = [tensors[-1], *(tensors[tap] for tap in taps)]
    return keras.Model(tensors[0], outputs if taps else outputs[0], name="network")


def linear_name(name: str, position: int) -> str:
    """``NAME-pPOSITION``: what a linear layer is called in built models and in recipes."""
    return f"{_safe(name)}-p{position}"


def layer_of(name: str) -> str | None:
    """The linear layer that a converted operation comes from, ``NAME-pPOSITION``; None: no such."""
    layers = re.findall(r"([^/;]*-p\d+)(?:_\d+)?(?=[/;]|$)", name)
    return str(layers[-1]) if layers else None


def _names(graph: Graph) -> tuple[str, ...]:
    """A name for each node that no other has, and that Keras and the converters accept.

    Nested models, ensembles and Keras's own operations repeat names. A layer keeps its name if it
    can; any other is named by its position.
    """
    names: dict[int, str] = {}
    for position, node in enumerate(graph.nodes):
        if isinstance(node.operation, Input):
            names[position] = "image"
        elif isinstance(node.operation, Linear):
            names[position] = linear_name(node.name, position)
        elif isinstance(node.operation, Affine):
            names[position] = f"affine{position}"
    taken = {*names.values(), *_RESERVED}
    for position, node in enumerate(graph.nodes):
        if isinstance(node.operation, Call):
            name = node.operation.operation.name
            is_layer = hasattr(node.operation.operation, "dtype_policy")
            # A name that ends like ours could be taken for one: by a reader of a file, or here.
            is_ours = re.search(r"-[pn]\d+(_\d+)?$", name)
            if not is_layer or is_ours or name in taken or name != _safe(name):
                name = f"{_safe(node.name)}-n{position}"
            names[position] = name
            taken.add(name)
    return tuple(names[position] for position in range(len(graph.nodes)))


def _safe(name: str) -> str:
    """A name of letters, digits, ``_``, ``.`` and ``-`` that starts with a letter or digit."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.-") or "layer"


def _call(keras: Any, node: Node, name: str, arguments: list[Any], dtype: str | None) -> Any:
    """Call one node on symbolic tensors."""
    operation = node.operation
    if isinstance(operation, Linear):
        return _linear_layer(keras, operation, name, arguments[0], dtype)
    if isinstance(operation, Affine):
        given = arguments[0].dtype
        kept = dtype or (given if given.startswith("float") else "float32")
        return affine_layer(keras, operation.scale, operation.offset, name, kept)(arguments[0])
    assert isinstance(operation, Call)  # noqa: S101 - nothing else is left
    filled = dict(zip(operation.tensors, arguments, strict=True))
    args, kwargs = fill_in(operation.arguments, filled)
    result = renamed(operation.operation, name, dtype)(*args, **kwargs)
    if isinstance(result, list | tuple | dict):
        return keras.tree.flatten(result)[operation.output]
    return result


def _linear_layer(keras: Any, step: Linear, name: str, value: Any, dtype: str | None) -> Any:
    """Call a new layer with the weights of a step."""
    kept = dtype or step.layer.compute_dtype
    if step.kind == "conv" and step.kernel.shape[2] != value.shape[-1]:
        return grouped_convolution(keras, step.layer, step.kernel, step.bias, name, kept)(value)
    # Not the layer's whole configuration: it may hold a regularizer that is nobody's code here.
    options = {"name": name, "dtype": kept, "kernel_initializer": "zeros"}
    if step.kind == "dense":
        layer = keras.layers.Dense(step.kernel.shape[-1], **options)
    else:
        options |= {key: getattr(step.layer, key) for key in _WINDOW}
        if step.kind == "conv":
            layer = keras.layers.Conv2D(step.kernel.shape[-1], **options)
        else:
            options["depthwise_initializer"] = options.pop("kernel_initializer")
            multiplier = step.kernel.shape[-1]
            layer = keras.layers.DepthwiseConv2D(depth_multiplier=multiplier, **options)
    output = layer(value)
    layer.set_weights([step.kernel, step.bias])
    return output
