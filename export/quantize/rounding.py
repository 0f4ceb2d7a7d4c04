"""Rounding the first layer's weights so that its output changes least, instead of each by itself.

Neighbouring pixels are nearly equal, so rounding errors of one sign add up and errors of opposite
signs cancel. With C the covariance of the pixels under a kernel, an error e of its weights changes
the output by e C e in the mean square, which is much smaller for some roundings than for the
nearest one. As in Nagel et al. 2020, "Up or down?", but a first layer has so few weights for each
output that exchanges of one or two weights find a good rounding without gradients.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from cxr_edge.export.graph.graph import Linear, Weights
from cxr_edge.preprocess import Batch

MOST_WEIGHTS = 160
"""Weights for each output of a layer whose rounding is searched: 7 x 7 pixels of three colours."""

_MOST_PATCHES = 200_000


def round_to_data(step: Linear, batch: Batch, *, levels: int) -> Linear:
    """Round the weights of a convolution over the image.

    Args:
        step: an ungrouped convolution with at most :data:`MOST_WEIGHTS` weights for each output.
        batch: (N, height, width, channels), what it reads.
        levels: the largest integer of a rounded weight; one scale per output channel.

    Returns:
        The layer with weights that are whole multiples of their scales, and with a bias that makes
        up for the mean error.
    """
    height, width, inputs, outputs = step.kernel.shape
    patches = _patches(batch, (height, width))
    mean = patches.mean(axis=0)
    covariance = np.cov(patches, rowvar=False).reshape(len(mean), len(mean))
    weights = step.kernel.reshape(-1, outputs).T
    peaks = np.abs(weights).max(axis=1, keepdims=True)
    scale = np.where(peaks > 0, peaks, 1.0) / levels
    rounded = np.stack([_round(row, covariance, levels) for row in weights / scale])
    kernel = rounded * scale
    bias = step.bias - (kernel - weights) @ mean
    return dataclasses.replace(
        step, kernel=kernel.T.reshape(height, width, inputs, outputs), bias=bias
    )


def _patches(batch: Batch, size: tuple[int, int]) -> Weights:
    """(patches, weights): windows of the images at regular places, without the padded border."""
    windows = np.lib.stride_tricks.sliding_window_view(batch, size, axis=(1, 2))
    count = len(batch) * windows.shape[1] * windows.shape[2]
    step = max(1, round((count / _MOST_PATCHES) ** 0.5))
    chosen = windows[:, ::step, ::step].transpose(0, 1, 2, 4, 5, 3)
    return chosen.reshape(-1, size[0] * size[1] * batch.shape[3]).astype(np.float64)


def _round(row: Weights, covariance: Weights, levels: int) -> npt.NDArray[np.float64]:
    """Whole numbers near a row of weights in units of their scale.

    The largest weight stays as it is, since the scale follows from it.
    """
    rounded = np.rint(row)
    free = np.abs(row) < levels * (1 - 1e-9)
    moves = _moves(np.flatnonzero(free), len(row))
    if not len(moves):
        return rounded
    costs = np.einsum("mi,ij,mj->m", moves, covariance, moves)
    for _ in range(4 * len(row)):
        gradient = covariance @ (rounded - row)
        gains = costs + 2 * (moves @ gradient)
        allowed = np.abs(rounded + moves - row).max(axis=1) < 1
        gains[~allowed] = 0
        best = int(np.argmin(gains))
        if gains[best] >= -1e-15:
            break
        rounded = rounded + moves[best]
    return rounded


def _moves(free: npt.NDArray[np.intp], size: int) -> Weights:
    """Every change of one weight by one, and of two weights by one each."""
    singles = np.eye(size)[free]
    pairs = [
        a * first + b * second
        for i, first in enumerate(singles)
        for second in singles[i + 1 :]
        for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))
    ]
    return np.array([*singles, *-singles, *pairs]).reshape(-1, size)
