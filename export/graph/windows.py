"""What the windows of convolutions and of pooling read, zeros beyond the border included."""

from __future__ import annotations

import itertools
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cxr_edge.export.graph.graph import Weights

_Value = TypeVar("_Value", bound=np.floating[Any])
_Values = npt.NDArray[_Value]


def pad_for_windows(
    values: _Values[_Value], layer: Any, window: tuple[int, int]
) -> tuple[_Values[_Value], tuple[int, int, int]]:
    """Add the zeros that a layer's windows read beyond the border.

    Args:
        values: (images, rows, columns, channels).
        layer: a Keras layer with ``strides``, ``padding`` (``valid`` or ``same``) and perhaps
            ``dilation_rate``.
        window: (rows, columns).

    Returns:
        The padded values, and (images, rows, columns) of the layer's output.
    """
    sides, margins = [], []
    steps, dilations = pair(layer.strides), pair(getattr(layer, "dilation_rate", 1))
    for side, size, step, dilation in zip(values.shape[1:3], window, steps, dilations, strict=True):
        reach = (size - 1) * dilation + 1
        if layer.padding == "same":
            count = -(-side // step)
            missing = max((count - 1) * step + reach - side, 0)
        else:
            count, missing = (side - reach) // step + 1, 0
        sides.append(count)
        margins.append((missing // 2, missing - missing // 2))
    return np.pad(values, ((0, 0), *margins, (0, 0))), (len(values), sides[0], sides[1])


def read_by_tap(
    padded: _Values[_Value], layer: Any, tap: tuple[int, int], shape: tuple[int, int, int]
) -> _Values[_Value]:
    """What one tap of a kernel, at (row, column), reads for every position of the output.

    Args:
        padded: from :func:`pad_for_windows`, as is ``shape``.
        layer: the layer.
        tap: (row, column) in the kernel.
        shape: (images, rows, columns) of the output.
    """
    (row, column), dilations = tap, pair(getattr(layer, "dilation_rate", 1))
    (down, right), (_, rows, columns) = pair(layer.strides), shape
    row, column = row * dilations[0], column * dilations[1]
    last_row, last_column = row + (rows - 1) * down, column + (columns - 1) * right
    return padded[:, row : last_row + 1 : down, column : last_column + 1 : right]


def mean_by_tap(values: Weights, layer: Any, window: tuple[int, int]) -> Weights:
    """Mean over all positions of the output of what each tap of a kernel reads.

    Args:
        values: (rows, columns, channels).
        layer: as for :func:`pad_for_windows`.
        window: (rows, columns) of the kernel.

    Returns:
        (rows, columns, channels), the first two of the kernel.
    """
    padded, shape = pad_for_windows(values[np.newaxis], layer, window)
    taps = itertools.product(range(window[0]), range(window[1]))
    means = [read_by_tap(padded, layer, tap, shape).mean(axis=(0, 1, 2)) for tap in taps]
    return np.stack(means).reshape(*window, -1)


def pair(value: Any) -> tuple[int, int]:
    """Keras's setting for both axes, which may be one number for the two."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])
