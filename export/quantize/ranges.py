"""Ranges of activations, measured on calibration images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cxr_edge.export.graph.graph import Graph, Linear, Weights, build_model
from cxr_edge.preprocess import Batch

RangeMethod = Literal["minmax", "percentile", "entropy"]
"""How the range of an activation follows from its values on the calibration images."""

_CHUNK = 16


@dataclass(frozen=True, slots=True)
class ActivationStatistics:
    """Statistics of the input of every linear layer over the calibration images.

    Keys are positions of the nodes that feed the layers.
    """

    peaks: Mapping[int, Weights]
    """(channels,): the largest |value| of each channel."""
    means: Mapping[int, Weights]
    """(channels,) or (rows, columns, channels): the mean over the images of each value."""


def measure_activations(graph: Graph, batch: Batch) -> ActivationStatistics:
    """Run calibration images through a network and measure the inputs of its linear layers.

    Args:
        graph: a lowered graph.
        batch: (N, height, width, channels) float32.
    """
    taps = sorted({n.inputs[0] for n in graph.nodes if isinstance(n.operation, Linear)})
    if not taps:
        return ActivationStatistics({}, {})
    model = build_model(graph, taps)
    peaks = {tap: np.zeros(graph.nodes[tap].channels) for tap in taps}
    sums: dict[int, Weights] = {}
    for start in range(0, len(batch), _CHUNK):
        _, *activations = model(batch[start : start + _CHUNK], training=False)
        for tap, activation in zip(taps, activations, strict=True):
            values = np.asarray(activation, np.float64)
            axes = tuple(range(values.ndim - 1))
            peaks[tap] = np.maximum(peaks[tap], np.abs(values).max(axis=axes))
            sums[tap] = sums.get(tap, 0.0) + values.sum(axis=0)
    return ActivationStatistics(peaks, {tap: sums[tap] / len(batch) for tap in taps})
