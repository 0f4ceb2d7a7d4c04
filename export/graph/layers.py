"""The Keras layers and activations that rewrites understand, grouped by what they do.

This is the only table of layer names. It holds names rather than classes because a module that
lists layers must load without Keras, and because some layers exist in newer versions of Keras only.
A node is compared by its exact class: a subclass may compute something else.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from cxr_edge.export.graph.calls import producing_call
from cxr_edge.export.graph.graph import Call, Graph, Node
from cxr_edge.extras import require_keras


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """Layers that a rewrite treats alike."""

    names: tuple[str, ...]
    """Classes in ``keras.layers``; those that the installed Keras lacks are ignored."""

    def __or__(self, other: LayerGroup) -> LayerGroup:
        return LayerGroup((*self.names, *other.names))


FLATTEN = LayerGroup(("Flatten",))
MAX_POOLING = LayerGroup(("MaxPooling2D", "GlobalMaxPooling2D"))
AVERAGE_POOLING = LayerGroup(("AveragePooling2D", "GlobalAveragePooling2D"))
GLOBAL_POOLING = LayerGroup(("GlobalMaxPooling2D", "GlobalAveragePooling2D"))
POOLING = MAX_POOLING | AVERAGE_POOLING
ZERO_PADDING = LayerGroup(("ZeroPadding2D",))
CONCATENATE = LayerGroup(("Concatenate",))
ADD = LayerGroup(("Add",))
ACTIVATIONS = LayerGroup(("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU"))
TRAINING_ONLY = LayerGroup(
    (
        *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
        *("AlphaDropout", "GaussianDropout", "GaussianNoise", "ActivityRegularization"),
        *("RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomShear"),
        *("RandomPerspective", "RandomBrightness", "RandomContrast", "RandomErasing"),
        *("RandomGaussianBlur", "RandomHue", "RandomSaturation", "RandomSharpness"),
        "RandomColorJitter",
    )
)
"""Layers that pass their input on unchanged when the network is not training."""

_COMMON = (
    ACTIVATIONS
    | POOLING
    | FLATTEN
    | ZERO_PADDING
    | CONCATENATE
    | ADD
    | LayerGroup(
        (
            *("Softmax", "Reshape", "Permute", "Cropping2D", "UpSampling2D", "Resizing"),
            *("Multiply", "Subtract", "Average", "Maximum", "Minimum"),
            *("Conv2D", "DepthwiseConv2D", "Dense", "BatchNormalization", "Normalization"),
            *("Dropout", "SpatialDropout2D", "GaussianNoise", "LayerNormalization"),
        )
    )
)
"""Layers that most image classifiers have, so that a failed conversion is rarely their fault."""

HOMOGENEOUS = ("relu", "leaky_relu")
"""Activations with f(s x) = s f(x) for s > 0."""
_NAMED_ACTIVATIONS = ("linear", "sigmoid", "softmax", *HOMOGENEOUS)


def is_layer(node: Node, group: LayerGroup) -> bool:
    """Whether a node calls a layer of a group."""
    return isinstance(node.operation, Call) and type(node.operation.operation) in _classes(group)


def is_channels_last(node: Node) -> bool:
    """Whether the last axis of a node's layer is its channels."""
    layer = node.operation.operation if isinstance(node.operation, Call) else None
    return getattr(layer, "data_format", "channels_last") == "channels_last"


def is_identity(node: Node) -> bool:
    """Whether a node passes its only input on unchanged."""
    return is_layer(node, TRAINING_ONLY) or activation_name(node) == "linear"


def activation_name(node: Node) -> str | None:
    """The activation that a node applies: linear, sigmoid, softmax, relu or leaky_relu.

    None where it applies another one, a ReLU with a ceiling or a threshold, or none at all.
    """
    if not isinstance(node.operation, Call):
        return None
    layer, layers = node.operation.operation, require_keras("export").layers
    if type(layer) is layers.Activation:
        functions = _activation_functions()
        return next((name for name, known in functions if known is layer.activation), None)
    if type(layer) is layers.ReLU:
        plain = layer.threshold == 0 and layer.max_value is None and layer.negative_slope == 0
        return "relu" if plain else None
    if type(layer) is layers.Softmax:
        return "softmax"
    return "leaky_relu" if type(layer) is layers.LeakyReLU else None


def unusual_layers(graph: Graph) -> tuple[str, ...]:
    """Layers that few image classifiers have, ``name (Class)``: suspects if a conversion fails."""
    return tuple(
        f"{node.name} ({type(node.operation.operation).__name__})"
        for node in graph.nodes
        if isinstance(node.operation, Call)
        and not is_layer(node, _COMMON)
        and type(node.operation.operation) is not _slice_class()
    )


@functools.cache
def _classes(group: LayerGroup) -> frozenset[Any]:
    layers = require_keras("export").layers
    return frozenset(getattr(layers, name) for name in group.names if hasattr(layers, name))


@functools.cache
def _slice_class() -> Any:
    """The operation behind ``tensor[...]``, as common as a layer; Keras does not export it."""
    call = producing_call(require_keras("export").KerasTensor((1, 2))[0])
    return type(call.operation) if call else None


@functools.cache
def _activation_functions() -> tuple[tuple[str, Any], ...]:
    """Each function with its name; Keras has most of them twice, as activation and as operation."""
    keras = require_keras("export")
    return tuple(
        (name, getattr(module, name))
        for name in _NAMED_ACTIVATIONS
        for module in (keras.activations, keras.ops)
        if hasattr(module, name)
    )
