"""Grad-CAM as a few operations of the network itself, without a gradient at run time.

Grad-CAM (Selvaraju 2017) weights the channels of the last feature map A (H x W x C) by the gradient
of a logit, averaged over positions, and keeps what is positive::

    alpha_c = 1/(H W) sum_xy d logit / d A_xyc        heatmap_xy = relu(sum_c alpha_c A_xyc)

Between A and the logit a classifier has pooling, flattening and dense layers. Pooling passes the
gradient of a pooled cell to one position (max), or in shares that add up to 1 (average), so the sum
over positions does not change. Flattening and a dense layer are a constant matrix, summed over the
cells. A hidden ReLU passes the gradient where its input was positive. So alpha is the mask of the
hidden ReLUs times constant matrices. Without a hidden layer it is constant, which is the class
activation map of Zhou 2016.

The logit is the log-odds of the positive label: the sigmoid's input, negated if the sigmoid is the
probability of the other label; for a softmax of two labels the difference of its inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ExportError
from cxr_edge.export.graph.graph import (
    Affine,
    Call,
    Graph,
    Linear,
    Node,
    Weights,
    build_model,
)
from cxr_edge.export.graph.layers import (
    ACTIVATIONS,
    FLATTEN,
    GLOBAL_POOLING,
    POOLING,
    activation_name,
    is_channels_last,
    is_identity,
    is_layer,
)
from cxr_edge.extras import require_keras
from cxr_edge.spec import ModelSpec

_EXPECTED = (
    "expected an activation, pooling, flattening or global pooling, dense layers with ReLU, and "
    "the spec's sigmoid or softmax"
)


@dataclass(frozen=True, slots=True)
class Tail:
    """The operations after the last feature map, up to the logits, as positions in a graph."""

    features: int
    """The activation that outputs the last feature map."""
    steps: tuple[int, ...]
    """The operations after it, up to the logits, in running order."""
    logits: int
    """The last dense layer."""


def find_tail(graph: Graph, spec: ModelSpec) -> Tail:
    """Find the last feature map, and the operations between it and the logits.

    Raises:
        ExportError: Grad-CAM of this network has no closed form; the message names the layer or
            the labels that prevent it.
    """
    if spec.positive_label is None:
        raise ExportError(
            f"a heat map shows evidence for one of two labels, and the spec has {len(spec.labels)}"
        )
    ending = graph.nodes[_skip_identities(graph, len(graph.nodes) - 1)]
    if activation_name(ending) != spec.activation:
        raise _misfit(ending)
    logits = _skip_identities(graph, ending.inputs[0])
    if not _is_dense(graph.nodes[logits]):
        raise _misfit(graph.nodes[logits])
    steps, at, flat = [logits], graph.nodes[logits].inputs[0], True
    while flat or not _is_activation(graph.nodes[at]):
        node = graph.nodes[at]
        if not (is_identity(node) or isinstance(node.operation, Affine)):
            if not (_fits_flat(node) if flat else _fits_positions(node)):
                raise _misfit(node)
            flat = flat and not is_layer(node, FLATTEN | GLOBAL_POOLING)
        steps.append(at)
        at = node.inputs[0]
    return Tail(at, tuple(reversed(steps)), logits)


def explaining_model(graph: Graph, spec: ModelSpec) -> Any:
    """Make a Keras model that outputs the scores and the heat map.

    Args:
        graph: the lowered network.
        spec: says which label is the positive one.

    Returns:
        A ``keras.Model`` with the outputs (N, spec.outputs) and (N, rows, columns).

    Raises:
        ExportError: see :func:`find_tail`.
    """
    keras, tail = require_keras("export"), find_tail(graph, spec)
    hidden = [at for at in tail.steps if activation_name(graph.nodes[at]) == "relu"]
    model = build_model(graph, [tail.features, *hidden])
    scores, features, *activities = model.outputs

    def heatmap_of(tensors: list[Any]) -> Any:
        masks = dict(zip(hidden, tensors[1:], strict=True))
        return _heatmap(graph, tail, spec, tensors[0], masks)

    heatmap = _heatmap_layer(keras, heatmap_of, features.dtype)([features, *activities])
    return keras.Model(model.inputs[0], [scores, heatmap], name="network")


def _heatmap_layer(keras: Any, function: Callable[[list[Any]], Any], dtype: str) -> Any:
    """A layer, since Keras's operations would be named like layers of the network."""

    class Heatmap(keras.layers.Layer):
        """A function of the last feature map and of hidden activities."""

        def call(self, tensors: list[Any]) -> Any:
            return function(tensors)

        def compute_output_shape(self, shapes: list[Any]) -> Any:
            return shapes[0][:3]

    return Heatmap(name="heatmap", dtype=dtype)


def _heatmap(
    graph: Graph, tail: Tail, spec: ModelSpec, features: Any, masks: dict[int, Any]
) -> Any:
    """The heat map, (N, rows, columns), of a feature map and the outputs of the hidden ReLUs."""
    ops = require_keras("export").ops
    rows, columns, channels = features.shape[1:]
    constant = direction(graph, tail, spec)[np.newaxis]  # (1 or hidden units, units)
    mask: Any = None  # (N, hidden units)
    for at in reversed(tail.steps):
        step = graph.nodes[at].operation
        if at in masks:
            passed = ops.cast(ops.greater(masks[at], 0), masks[at].dtype)
            mask = ops.multiply(passed, _gradient(mask, constant))
            constant = np.eye(constant.shape[1])
        elif isinstance(step, Linear) and at != tail.logits:
            constant = constant @ step.kernel.T
        elif isinstance(step, Affine):
            constant = constant * step.scale
        elif is_layer(graph.nodes[at], FLATTEN):
            source = graph.nodes[graph.nodes[at].inputs[0]]
            constant = constant.reshape(len(constant), -1, source.channels).sum(axis=1)
    alpha = _gradient(mask, constant / (rows * columns))  # (N or 1, channels)
    # A constant must stay a numpy array: tf2onnx makes an input of a captured tensor.
    reshape = np.reshape if mask is None else ops.reshape
    weighted = ops.multiply(features, reshape(alpha, (-1, 1, 1, channels)))
    return ops.relu(ops.sum(weighted, axis=-1))


def direction(graph: Graph, tail: Tail, spec: ModelSpec) -> Weights:
    """(inputs,): gradient of the positive label's log-odds by the last dense layer's input."""
    step = graph.nodes[tail.logits].operation
    assert isinstance(step, Linear)  # noqa: S101 - find_tail chose it
    return np.asarray(step.kernel @ log_odds(spec))


def log_odds(spec: ModelSpec) -> npt.NDArray[np.float64]:
    """(spec.outputs,): weights whose sum over the logits is the positive label's log-odds."""
    signs = np.where(np.asarray(spec.labels) == spec.positive_label, 1.0, -1.0)
    return signs[1:] if spec.activation == "sigmoid" else signs


def _gradient(mask: Any, constant: Weights) -> Any:
    """A gradient, (N, units), or (1, units) if it is the same for every image."""
    weights = constant.astype(np.float32)
    return weights if mask is None else require_keras("export").ops.matmul(mask, weights)


def _skip_identities(graph: Graph, at: int) -> int:
    while is_identity(graph.nodes[at]):
        at = graph.nodes[at].inputs[0]
    return at


def _is_activation(node: Node) -> bool:
    """Whether a node may output the last feature map."""
    return not is_identity(node) and (
        is_layer(node, ACTIVATIONS) or activation_name(node) == "relu"
    )


def _is_dense(node: Node) -> bool:
    return isinstance(node.operation, Linear) and node.operation.kind == "dense"


def _fits_flat(node: Node) -> bool:
    """Whether a node may be the flattening or global pooling, or lie between it and the logits."""
    passes = _is_dense(node) or activation_name(node) == "relu"
    return passes or (is_layer(node, FLATTEN | GLOBAL_POOLING) and is_channels_last(node))


def _fits_positions(node: Node) -> bool:
    """Whether a node may lie between the last feature map and the flattening."""
    return is_layer(node, POOLING) and is_channels_last(node)


def _misfit(node: Node) -> ExportError:
    operation = node.operation
    layer: object = operation
    if isinstance(operation, Linear):
        layer = operation.layer
    elif isinstance(operation, Call):
        layer = operation.operation
    return ExportError(
        f"{node.name} ({type(layer).__name__}) rules out a heat map in closed form; {_EXPECTED}"
    )
