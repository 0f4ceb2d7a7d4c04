"""Cross-layer equalization: bring channels to similar ranges before quantizing, exactly.

Between two linear layers whose activation is positively homogeneous, f(s x) = s f(x) for s > 0,
a factor per channel can move from the weights of one layer to those of the other without changing
the network's scores. One scale for a whole tensor then suits every channel. The factors follow
SmoothQuant (Xiao et al. 2023): s = max|activation|^a / max|weight|^(1 - a); the idea is that of
Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cxr_edge.export.graph.graph import (
    Affine,
    Graph,
    Linear,
    Node,
    Weights,
)
from cxr_edge.export.graph.layers import (
    FLATTEN,
    HOMOGENEOUS,
    POOLING,
    ZERO_PADDING,
    activation_name,
    is_channels_last,
    is_layer,
)
from cxr_edge.export.graph.lowering import scale_inputs, scale_outputs
from cxr_edge.export.quantize.ranges import ActivationStatistics


@dataclass(frozen=True, slots=True)
class Pair:
    """Two linear layers between which factors can move; positions in a graph."""

    producer: int
    """The layer whose output is divided."""
    shifts: tuple[int, ...]
    """Offsets between the layers, which are divided too."""
    input: int
    """The node whose output the consumer reads."""
    consumer: int
    """The layer whose weights are multiplied."""


def find_pairs(graph: Graph) -> tuple[Pair, ...]:
    """Every pair of layers joined by a single chain of positively homogeneous operations."""
    uses = graph.consumers()
    pairs = []
    for consumer, node in enumerate(graph.nodes):
        if not isinstance(node.operation, Linear):
            continue
        at = node.inputs[0]
        shifts: list[int] = []
        while uses[at] == 1 and len(graph.nodes[at].inputs) == 1:
            step = graph.nodes[at]
            if isinstance(step.operation, Linear):
                pairs.append(Pair(at, tuple(shifts), node.inputs[0], consumer))
                break
            if isinstance(step.operation, Affine) and not np.any(step.operation.scale != 1):
                shifts.append(at)
            elif not _is_homogeneous(step):
                break
            at = step.inputs[0]
    return tuple(pairs)


def equalize(
    graph: Graph, statistics: ActivationStatistics, strengths: Mapping[Pair, float]
) -> tuple[Graph, ActivationStatistics]:
    """Move factors between layers.

    Args:
        graph: a lowered graph.
        statistics: of its layers' inputs.
        strengths: for each pair the exponent ``a`` of the activations, 0..1.

    Returns:
        A graph with the same scores, up to rounding, and the statistics of its layers' inputs.
    """
    peaks, means = dict(statistics.peaks), dict(statistics.means)
    for pair, strength in strengths.items():
        consumer = graph.nodes[pair.consumer].operation
        producer = graph.nodes[pair.producer].operation
        assert isinstance(consumer, Linear)  # noqa: S101 - as find_pairs says
        assert isinstance(producer, Linear)  # noqa: S101
        factors = _factors(_per_channel(peaks[pair.input], producer), consumer, strength)
        changes: dict[int, Linear | Affine] = {
            pair.producer: scale_outputs(producer, 1 / factors, np.zeros_like(factors))
        }
        for at in pair.shifts:
            shift = graph.nodes[at].operation
            assert isinstance(shift, Affine)  # noqa: S101
            divided = shift.offset / _tiled(factors, len(shift.offset))
            changes[at] = dataclasses.replace(shift, offset=divided)
        spread = _tiled(factors, len(peaks[pair.input]))
        changes[pair.consumer] = scale_inputs(consumer, spread)
        peaks[pair.input], means[pair.input] = (
            peaks[pair.input] / spread,
            means[pair.input] / spread,
        )
        graph = graph.replace(changes)
    return graph, ActivationStatistics(peaks, means)


def _is_homogeneous(node: Node) -> bool:
    known = activation_name(node) in HOMOGENEOUS or is_layer(node, POOLING | FLATTEN | ZERO_PADDING)
    return known and is_channels_last(node)


def _factors(peaks: Weights, consumer: Linear, strength: float) -> Weights:
    """One positive factor for each channel between two layers, geometric mean 1."""
    weights = _per_channel(_input_peaks(consumer), peaks)
    alive = (peaks > 0) & (weights > 0)
    factors = np.ones_like(peaks)
    factors[alive] = peaks[alive] ** strength / weights[alive] ** (1 - strength)
    if alive.any():
        factors[alive] /= np.exp(np.log(factors[alive]).mean())
    return factors


def _input_peaks(step: Linear) -> Weights:
    """(inputs,): the largest |weight| of each input channel."""
    kernel = np.abs(step.kernel)
    if step.kind == "dense":
        return np.asarray(kernel.max(axis=1))
    if step.kind == "depthwise":
        return np.asarray(kernel.max(axis=(0, 1, 3)))
    groups = _inputs(step) // kernel.shape[2]
    by_group = kernel.reshape(*kernel.shape[:3], groups, -1).max(axis=(0, 1, 4))
    return np.asarray(by_group.T.reshape(-1))


def _inputs(step: Linear) -> int:
    if step.kind == "conv":
        return int(step.kernel.shape[2] * step.layer.groups)
    return int(step.kernel.shape[0 if step.kind == "dense" else 2])


def _per_channel(values: Weights, like: Linear | Weights) -> Weights:
    """Reduce one number per flattened element to the largest of each channel."""
    channels = len(like.bias) if isinstance(like, Linear) else len(like)
    return np.asarray(values.reshape(-1, channels).max(axis=0))


def _tiled(factors: Weights, width: int) -> Weights:
    return np.tile(factors, width // len(factors))
