"""Means and blurs of one grey picture as products of small matrices, which need no OpenCV.

A prediction on a JPEG then never imports OpenCV, which takes 15 ms and 18 MB of a start.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Grey = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
Floats = npt.NDArray[np.float32]

_AT_ONCE = 6
"""Output rows, or columns, of one product: their input stays in the cache, few weights are 0."""
_BLURRED_AT_ONCE = 30
"""As above, for a blur."""

# Larger products start OpenBLAS's threads, which cost more than they save here.
_LARGEST_PRODUCT = 2**18  # multiplications
_LARGEST_OF_A_VECTOR = 2**13


def area_means(image: Grey, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Means of equal areas of a picture, whose borders may cut through pixels.

    Args:
        image: (H, W) uint8, not smaller than the result.
        height: rows of the result.
        width: columns of the result.

    Returns:
        (height, width) uint8, rounded to nearest.
    """
    rows, columns = image.shape
    bands = np.empty((height, columns), np.float32)
    for out, span, weights in _spans(rows, height):
        for piece in _pieces(weights, columns):
            pixels = image[span, piece].astype(np.float32)
            np.matmul(weights, pixels, out=bands[out, piece])
    means = np.empty((height, width), np.float32)
    _weigh_columns(bands, _spans(columns, width), means)
    return np.rint(means, means).astype(np.uint8)


def _weigh_columns(image: Floats, spans: list[tuple[slice, slice, Floats]], result: Floats) -> None:
    for out, span, weights in spans:
        for piece in _pieces(weights, len(image)):
            np.matmul(image[piece, span], weights.T, out=result[piece, out])


def _pieces(weights: Floats, count: int) -> Iterator[slice]:
    """Parts of ``count`` rows or columns to multiply with weights at a time."""
    most = _LARGEST_PRODUCT if len(weights) > 1 else _LARGEST_OF_A_VECTOR
    step = max(most // weights.size, 1)
    for start in range(0, count, step):
        yield slice(start, start + step)


@functools.lru_cache(maxsize=8)
def _spans(side: int, count: int) -> list[tuple[slice, slice, Floats]]:
    """``_AT_ONCE`` of ``count`` equal intervals at a time: these, their pixels, and the weights."""
    step = min(_AT_ONCE, count)
    parts = -(-count // step)
    borders = np.minimum(np.arange(parts * step + 1) * (side / count), side)
    length = min(int(step * side / count) + 2, side)
    first = np.minimum(borders[:-1:step].astype(np.intp), side - length)
    pixels = (first[:, None] + np.arange(length))[:, None, :]
    left, right = borders[:-1].reshape(parts, step, 1), borders[1:].reshape(parts, step, 1)
    shares = np.minimum(right, pixels + 1) - np.maximum(left, pixels)
    weights = (np.maximum(shares, 0) * (count / side)).astype(np.float32)
    return [
        (
            slice(part * step, min((part + 1) * step, count)),
            slice(start, start + length),
            weights[part, : count - part * step],
        )
        for part, start in enumerate(first.tolist())
    ]


def blurred(image: Floats, sigma: float) -> Floats:
    """A Gaussian blur, mirrored at the borders as OpenCV's ``GaussianBlur`` does it.

    Args:
        image: (H, W) float32.
        sigma: standard deviation, pixels.
    """
    rows, columns = image.shape
    down, across = np.empty_like(image), np.empty_like(image)
    for out, span, weights in _gaussians(rows, sigma):
        for piece in _pieces(weights, columns):
            np.matmul(weights, image[span, piece], out=down[out, piece])
    _weigh_columns(down, _gaussians(columns, sigma), across)
    return across


@functools.lru_cache(maxsize=8)
def _gaussians(side: int, sigma: float) -> list[tuple[slice, slice, Floats]]:
    """Some pixels of a blurred row at a time: these, the pixels they come from, and the weights."""
    reach = (round(sigma * 8 + 1) | 1) // 2
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-np.square(offsets / sigma) / 2)
    matrix = np.zeros((side, side), np.float32)
    places = np.arange(side)
    period = max(2 * (side - 1), 1)
    for offset, weight in zip(offsets.tolist(), kernel / kernel.sum(), strict=True):
        folded = (places + offset) % period
        np.add.at(matrix, (places, np.minimum(folded, period - folded) % side), weight)
    parts = []
    for start in range(0, side, _BLURRED_AT_ONCE):
        weights = matrix[start : start + _BLURRED_AT_ONCE]
        used = np.flatnonzero(weights.any(axis=0))
        span = slice(int(used[0]), int(used[-1]) + 1)
        parts.append((slice(start, start + len(weights)), span, weights[:, span].copy()))
    return parts
