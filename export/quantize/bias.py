"""Bias correction: cancel the mean error that rounding the weights causes.

Rounded weights W + e output W x + e x. The mean of e x over the calibration images and all
positions is subtracted from the bias (Nagel et al. 2019, section 4.2, with measured instead of
derived means). Zeros beyond a border count as such: each tap of a kernel has a mean of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import numpy as np

from cxr_edge.export.graph.graph import Affine, Graph, Linear
from cxr_edge.export.graph.lowering import response_to
from cxr_edge.export.graph.windows import mean_by_tap
from cxr_edge.export.quantize.ranges import ActivationStatistics


def correct_biases(
    graph: Graph, statistics: ActivationStatistics, *, levels: int, skip: Collection[int]
) -> Graph:
    """Correct the bias of every layer whose weights will be rounded.

    Args:
        graph: a lowered graph.
        statistics: of its layers' inputs.
        levels: the largest integer of a rounded weight; one scale per output channel.
        skip: positions of layers that stay in float32.
    """
    changes: dict[int, Linear | Affine] = {}
    for position, node in enumerate(graph.nodes):
        step = node.operation
        if not isinstance(step, Linear) or position in skip:
            continue
        axes = (0, 1) if step.kind == "depthwise" else tuple(range(step.kernel.ndim - 1))
        scale = np.abs(step.kernel).max(axis=axes, keepdims=True) / levels
        scale = np.where(scale > 0, scale, 1.0)
        error = np.rint(step.kernel / scale) * scale - step.kernel
        means = statistics.means[node.inputs[0]]
        if step.kind == "dense":
            means = means.reshape(-1, means.shape[-1]).mean(axis=0)
        else:
            means = mean_by_tap(means, step.layer, (step.kernel.shape[0], step.kernel.shape[1]))
        mean_error = response_to(dataclasses.replace(step, kernel=error), means)
        changes[position] = dataclasses.replace(step, bias=step.bias - mean_error)
    return graph.replace(changes)
