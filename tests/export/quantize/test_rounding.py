"""Rounding the first layer's weights to its data."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from cxr_edge.export.graph.graph import Linear
from cxr_edge.export.quantize.ranges import pixel_range
from cxr_edge.export.quantize.rounding import round_to_data
from cxr_edge.spec import InputSpec

RANDOM = np.random.default_rng(4)
LEVELS = 64


def layer() -> Linear:
    kernel = RANDOM.normal(size=(3, 3, 1, 12))
    kernel[..., 3] = 0  # a dead channel
    return Linear("conv", SimpleNamespace(), kernel, RANDOM.normal(size=12), padded=True)


def smooth_images() -> np.ndarray:
    """Pixels that differ little from their neighbours, as in radiographs."""
    steps = RANDOM.normal(size=(6, 24, 24, 1)).cumsum(axis=1).cumsum(axis=2)
    return (steps / np.abs(steps).max()).astype(np.float32)


def responses(step: Linear, batch: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(batch[..., 0], (3, 3), axis=(1, 2))
    return np.einsum("nyxij,ijo->nyxo", windows, step.kernel[:, :, 0]) + step.bias


def test_outputs_change_less_than_by_the_nearest_numbers() -> None:
    step, batch = layer(), smooth_images()
    scale = np.abs(step.kernel).max(axis=(0, 1, 2)) / LEVELS
    safe = np.where(scale > 0, scale, 1.0)
    rounded = round_to_data(step, batch, levels=LEVELS)
    nearest = Linear("conv", step.layer, np.rint(step.kernel / safe) * safe, step.bias, padded=True)
    exact = responses(step, batch)
    errors = [(responses(each, batch) - exact).std(axis=(0, 1, 2)) for each in (rounded, nearest)]
    assert errors[0].mean() < 0.6 * errors[1].mean()
    assert np.all(errors[0] <= errors[1] + 1e-9)
    assert np.abs((responses(rounded, batch) - exact).mean()) < 1e-6


def test_weights_are_whole_multiples_of_scales_that_stay() -> None:
    step = layer()
    rounded = round_to_data(step, smooth_images(), levels=LEVELS)
    scale = np.abs(step.kernel).max(axis=(0, 1, 2)) / LEVELS
    np.testing.assert_allclose(np.abs(rounded.kernel).max(axis=(0, 1, 2)) / LEVELS, scale)
    alive = scale > 0
    steps = rounded.kernel[..., alive] / scale[alive]
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
    assert np.abs(steps - step.kernel[..., alive] / scale[alive]).max() < 1
    assert not rounded.kernel[..., ~alive].any()


def test_black_images_round_to_the_nearest_numbers() -> None:
    step = layer()
    rounded = round_to_data(step, np.zeros((1, 8, 8, 1), np.float32), levels=LEVELS)
    scale = np.abs(step.kernel).max(axis=(0, 1, 2)) / LEVELS
    safe = np.where(scale > 0, scale, 1.0)
    np.testing.assert_allclose(rounded.kernel, np.rint(step.kernel / safe) * safe)


def test_the_range_of_pixels_is_known_where_integers_hold_them() -> None:
    size = (8, 8, 3)
    assert pixel_range(InputSpec(*size, scale=1 / 255)) == (0.0, 1.0)
    assert pixel_range(InputSpec(*size, scale=1.0)) == (0.0, 255.0)
    assert pixel_range(InputSpec(*size, scale=1.0, offset=-128.0)) == (-128.0, 127.0)
    halves = InputSpec(*size, scale=1 / 127.5, offset=-1.0)  # -1..1: zero is between two pixels
    assert pixel_range(halves) is None
    apart = InputSpec(*size, scale=1 / 255, mean=(0.5, 0.4, 0.4), std=(0.2, 0.2, 0.2))
    assert pixel_range(apart) is None
