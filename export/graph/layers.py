"""The Keras layers and activations that rewrites understand, grouped by what they do.

This is the only table of layer names. It holds names rather than classes because a module that
lists layers must load without Keras, and because some layers exist in newer versions of Keras only.
A node is compared by its exact class: a subclass may compute something else.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from cxr_edge.export.graph.graph import Call, Node
from cxr_edge.extras import require_keras
from cxr_edge.original.keras_graph import constants, producing_call
from cxr_edge.original.saved import RANDOM_LAYERS


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
MULTIPLY = LayerGroup(("Multiply",))
CROPPING = LayerGroup(("Cropping2D",))
RESHAPE = LayerGroup(("Reshape",))
ACTIVATIONS = LayerGroup(("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU"))
TRAINING_ONLY = LayerGroup(tuple(sorted(RANDOM_LAYERS)))
"""Layers that pass their input on unchanged when the network is not training."""

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
    operation = node.operation
    if not isinstance(operation, Call) or len(operation.tensors) != 1:
        return False
    layer, layers = operation.operation, require_keras("export").layers
    (source,) = operation.arguments.keras_tensors
    if getattr(layer, "compute_dtype", None) != source.dtype:
        return False  # it casts, if nothing else
    if type(layer) is getattr(layers, "Pipeline", None):
        return all(type(part) in _classes(TRAINING_ONLY) for part in layer.layers)
    return is_layer(node, TRAINING_ONLY) or activation_name(node) == "linear"


def is_exact_call(node: Node, group: LayerGroup, operation: str = "") -> bool:
    """Whether a node calls a layer of a group, or an operation, on tensors and nothing else.

    Args:
        node: any node.
        group: the layers.
        operation: of ``keras.ops``: ``add``, ``multiply``, ``relu`` or ``sigmoid``.
    """
    if not isinstance(node.operation, Call) or constants(node.operation.arguments):
        return False
    return is_layer(node, group) or (
        bool(operation) and type(node.operation.operation) is _operation_classes()[operation]
    )


def activation_name(node: Node) -> str | None:
    """The activation that a node applies: linear, sigmoid, softmax, relu or leaky_relu.

    None where it applies another one, a ReLU with a ceiling or a threshold, or none at all.
    """
    if not isinstance(node.operation, Call):
        return None
    layer, layers = node.operation.operation, require_keras("export").layers
    for name in ("relu", "sigmoid"):
        if is_exact_call(node, LayerGroup(()), name):
            return name
    if type(layer) is layers.Activation:
        functions = _activation_functions()
        return next((name for name, known in functions if known is layer.activation), None)
    if type(layer) in (layers.ReLU, _operation_classes()["general relu"]):
        plain = layer.threshold == 0 and layer.max_value is None and layer.negative_slope == 0
        return "relu" if plain else None
    if type(layer) is layers.Softmax:
        rank = len(node.operation.arguments.keras_tensors[0].shape)
        alone = len(node.operation.tensors) == 1  # without a mask
        return "softmax" if alone and layer.axis in (-1, rank - 1) else None
    return "leaky_relu" if type(layer) is layers.LeakyReLU else None


@functools.cache
def _classes(group: LayerGroup) -> frozenset[Any]:
    layers = require_keras("export").layers
    return frozenset(getattr(layers, name) for name in group.names if hasattr(layers, name))


@functools.cache
def _operation_classes() -> dict[str, Any]:
    """The classes behind functions of ``keras.ops``, which Keras does not export."""
    keras = require_keras("export")
    tensor = keras.KerasTensor((1, 2))
    calls = {
        "add": producing_call(keras.ops.add(tensor, tensor)),
        "multiply": producing_call(keras.ops.multiply(tensor, tensor)),
        "relu": producing_call(keras.ops.relu(tensor)),
        "general relu": producing_call(keras.activations.relu(tensor)),
        "sigmoid": producing_call(keras.ops.sigmoid(tensor)),
    }
    return {name: type(call.operation) if call else None for name, call in calls.items()}


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
