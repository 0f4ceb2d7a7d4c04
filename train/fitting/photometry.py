"""Photometric changes as scanners and exporters make them: one function each, uint8 to uint8."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.preprocess import Image


def change_gamma(image: Image, gamma: float) -> Image:
    """Raise grey levels, scaled to 0..1, to the power ``gamma``; above 1 darkens."""
    levels = np.linspace(0.0, 1.0, 256) ** gamma
    return _look_up(image, levels * 255)


def change_levels(image: Image, contrast: float, brightness: float) -> Image:
    """Multiply the distance from mid-grey by ``contrast``, then add ``brightness`` x 255."""
    levels = np.arange(256.0)
    return _look_up(image, (levels - 127.5) * contrast + 127.5 + brightness * 255)


def raise_black(image: Image, level: float) -> Image:
    """Lift black to ``level`` x 255 and keep white, like haze or a wrong window."""
    return _look_up(image, 255 * level + np.arange(256.0) * (1 - level))


def blur(image: Image, sigma: float) -> Image:
    """Smooth with a Gaussian of ``sigma`` pixels."""
    return _restore_shape(cv2.GaussianBlur(image, (0, 0), sigma), image)


def sharpen(image: Image, amount: float, sigma: float = 1.0) -> Image:
    """Apply an unsharp mask of strength ``amount`` and radius ``sigma`` pixels."""
    smooth = cv2.GaussianBlur(image, (0, 0), sigma)
    return _restore_shape(cv2.addWeighted(image, 1 + amount, smooth, -amount, 0), image)


def resample(image: Image, factor: float) -> Image:
    """Shrink both sides to ``factor`` by area, then enlarge to the old size."""
    rows, columns = image.shape[:2]
    small = (max(1, round(columns * factor)), max(1, round(rows * factor)))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return _restore_shape(
        cv2.resize(shrunk, (columns, rows), interpolation=cv2.INTER_LINEAR), image
    )


def encode_again(image: Image, quality: int) -> Image:
    """Compress as JPEG of quality 1..100 and decode again."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    flag = cv2.IMREAD_GRAYSCALE if image.shape[2:] in ((), (1,)) else cv2.IMREAD_COLOR
    return _restore_shape(np.asarray(cv2.imdecode(data, flag)), image)


def add_noise(image: Image, deviation: float, random: np.random.Generator) -> Image:
    """Add Gaussian noise of standard deviation ``deviation``, in grey levels."""
    noise = random.standard_normal(image.shape, np.float32)
    return _to_bytes(image + deviation * noise)


def drift(image: Image, strength: float, degrees: float) -> Image:
    """Multiply by a ramp from 1 - strength to 1 + strength along ``degrees``: the heel effect."""
    rows, columns = image.shape[:2]
    angle = math.radians(degrees)
    across, down = np.cos(angle), np.sin(angle)
    x = np.linspace(-1, 1, columns, dtype=np.float32) * across
    y = np.linspace(-1, 1, rows, dtype=np.float32) * down
    ramp = (x + y[:, np.newaxis]) / (abs(across) + abs(down))
    factor = (1 + strength * ramp).astype(np.float32)
    return _to_bytes(image * factor.reshape(rows, columns, *(1,) * (image.ndim - 2)))


def _look_up(image: Image, levels: npt.NDArray[np.float64]) -> Image:
    """Replace grey level i by ``levels[i]``, rounded and clipped."""
    return np.asarray(_to_bytes(levels)[image])


def _to_bytes(values: npt.NDArray[np.floating]) -> Image:
    return np.asarray(np.rint(values).clip(0, 255), np.uint8)


def _restore_shape(changed: cv2.typing.MatLike, image: Image) -> Image:
    """Restore the original's shape: OpenCV drops a channel axis of length 1."""
    return np.asarray(changed.reshape(image.shape), np.uint8)
