"""A classifier as a small graph that can be rewritten, and the way back to Keras.

:mod:`cxr_edge.export.graph.reader` is the way here.

Only what the rewrites understand gets a type of its own: linear layers with their weights, affine
maps per channel, and the few layers that commute with them. Everything else is kept as it is and
called again, so that a layer nobody foresaw is converted unchanged rather than refused.
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

from cxr_edge.extras import require_keras

Weights = npt.NDArray[np.float64]
"""Numbers of a layer, in double precision while they are rewritten."""

_USUAL = (
    *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax"),
    *("MaxPooling2D", "AveragePooling2D", "GlobalMaxPooling2D", "GlobalAveragePooling2D"),
    *("Flatten", "Reshape", "Permute", "ZeroPadding2D", "Cropping2D", "UpSampling2D", "Resizing"),
    *("Concatenate", "Add", "Multiply", "Subtract", "Average", "Maximum", "Minimum"),
    *("Conv2D", "DepthwiseConv2D", "Dense", "BatchNormalization", "Normalization", "GetItem"),
    *("Dropout", "SpatialDropout2D", "GaussianNoise", "LayerNormalization"),
)


@dataclass(frozen=True, slots=True)
class Input:
    """The image."""

    shape: tuple[int, ...]
    """(height, width, channels)."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A convolution, depthwise convolution or dense layer, without its activation."""

    kind: Literal["conv", "depthwise", "dense"]
    """Which of them."""
    layer: Any
    """The Keras layer, for its strides, padding and name."""
    kernel: Weights
    """(rows, columns, inputs / groups, outputs), (rows, columns, inputs, multiplier) for a
    depthwise convolution, (inputs, outputs) for a dense layer."""
    bias: Weights
    """(outputs,)."""
    padded: bool
    """Whether zeros are added around its input."""


@dataclass(frozen=True, slots=True)
class Affine:
    """Each channel times ``scale`` plus ``offset``: a batch normalization, a rescaling."""

    scale: Weights
    """(channels,)."""
    offset: Weights
    """(channels,)."""
    seen: tuple[Weights, Weights] | None = None
    """Mean and standard deviation of each channel of its input over the training images, which a
    batch normalization keeps; None: not known."""


@dataclass(frozen=True, slots=True)
class Call:
    """Any other operation, called as the model calls it."""

    operation: Any
    """A Keras layer or operation."""
    arguments: Any
    """What it is called with; tensors are filled in."""
    tensors: tuple[int, ...]
    """Identities of the tensors among the arguments, in the order of the node's inputs."""
    output: int
    """Which of its outputs is used."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of a graph."""

    name: str
    """The layer's name, for messages."""
    operation: Input | Linear | Affine | Call
    """What it does."""
    inputs: tuple[int, ...]
    """Positions of the nodes that it takes its inputs from; all before its own."""
    channels: int
    """Size of the last axis of its output."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Operations in an order in which they can run; the last one gives the scores."""

    nodes: tuple[Node, ...]
    """The first is the only :class:`Input`."""

    def consumers(self) -> Counter[int]:
        """How many inputs each node feeds, by position."""
        return Counter(source for node in self.nodes for source in node.inputs)

    def replace(self, changes: dict[int, Linear | Affine]) -> Graph:
        """The same graph with other weights at some positions."""
        nodes = list(self.nodes)
        for position, operation in changes.items():
            nodes[position] = dataclasses.replace(nodes[position], operation=operation)
        return Graph(tuple(nodes))


def build_model(graph: Graph, taps: Sequence[int] = (), *, batch: int | None = None) -> Any:
    """Make a Keras model of a graph.

    Args:
        graph: the operations.
        taps: positions of nodes to output besides the scores, for calibration.
        batch: images a call; None: any number.

    Returns:
        A ``keras.Model`` with the scores as its output, or ``[scores, *taps]`` where there are
        any. Its linear layers are called ``NAME-pPOSITION``, which :func:`layer_of` finds again
        in the names that converters make of them.
    """
    keras = require_keras("export")
    tensors: list[Any] = []
    for position, node in enumerate(graph.nodes):
        arguments = [tensors[source] for source in node.inputs]
        tensors.append(_call(keras, node, position, arguments, batch))
    outputs = [tensors[-1], *(tensors[tap] for tap in taps)]
    return keras.Model(tensors[0], outputs if taps else outputs[0], name="network")


def layer_of(name: str) -> str | None:
    """The layer that a converted operation comes from, as ``NAME-pPOSITION``."""
    found = re.findall(r"([^/;]*-p\d+)(?:_\d+)?(?=[/;]|$)", name)
    return str(found[-1]) if found else None


def unusual_layers(graph: Graph) -> tuple[str, ...]:
    """Layers that image classifiers rarely have, as ``name (Class)``: suspects when converting."""
    return tuple(
        f"{node.name} ({type(node.operation.operation).__name__})"
        for node in graph.nodes
        if isinstance(node.operation, Call) and not is_layer(node, *_USUAL)
    )


def is_layer(node: Node, *names: str) -> bool:
    """Whether a node calls a layer of one of these classes."""
    return isinstance(node.operation, Call) and type(node.operation.operation).__name__ in names


def is_channels_last(node: Node) -> bool:
    """Whether the last axis of a node's layer is its channels."""
    layer = node.operation.operation if isinstance(node.operation, Call) else None
    return getattr(layer, "data_format", "channels_last") == "channels_last"


def activation_name(node: Node) -> str | None:
    """The name of a node's activation function; None where it is no plain activation."""
    if not isinstance(node.operation, Call):
        return None
    layer = node.operation.operation
    kind = type(layer).__name__
    if kind == "Activation":
        return str(getattr(layer.activation, "__name__", None))
    if kind == "ReLU":
        plain = layer.threshold == 0 and layer.max_value is None and layer.negative_slope == 0
        return "relu" if plain else None
    return "leaky_relu" if kind == "LeakyReLU" else None


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
    args, kwargs = operation.arguments.fill_in(filled)
    result = operation.operation(*args, **kwargs)
    return result[operation.output] if isinstance(result, list | tuple) else result


def _affine_layer(keras: Any, operation: Affine, name: str, dtype: str) -> Any:
    """A layer of our own, with a name of our own.

    A bare operation is named by a counter that knows nothing of layers that were loaded: a model
    with both a layer "add" and an operation "add" cannot be built.
    """

    class Channels(keras.layers.Layer):
        """Each channel times a scale plus an offset."""

        def call(self, value: Any) -> Any:
            if np.any(operation.scale != 1):
                value = keras.ops.multiply(value, operation.scale.astype(dtype))
            return keras.ops.add(value, operation.offset.astype(dtype))

    return Channels(name=name, dtype=dtype)
