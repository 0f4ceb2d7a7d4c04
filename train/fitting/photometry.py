"""What scanners, exporters and cables do to a radiograph: one function a change, uint8 to uint8."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.preprocess import Image


def change_gamma(image: Image, gamma: float) -> Image:
    """Raise grey levels, as shares of 255, to a power; above 1 darkens."""
    levels = np.linspace(0.0, 1.0, 256) ** gamma
    return _look_up(image, levels * 255)


def change_levels(image: Image, contrast: float, brightness: float) -> Image:
    """Multiply the distance from mid-grey by ``contrast``, then add ``brightness`` x 255."""
    levels = np.arange(256.0)
    return _look_up(image, (levels - 127.5) * contrast + 127.5 + brightness * 255)


def raise_black(image: Image, level: float) -> Image:
    """Lift black to ``level`` x 255 and leave white: haze, or a wrong window."""
    return _look_up(image, 255 * level + np.arange(256.0) * (1 - level))


def blur(image: Image, sigma: float) -> Image:
    """Smooth with a Gaussian of ``sigma`` pixels."""
    return _shaped(cv2.GaussianBlur(image, (0, 0), sigma), image)


def sharpen(image: Image, amount: float, sigma: float = 1.0) -> Image:
    """Add ``amount`` times what a blur of ``sigma`` pixels takes away: an unsharp mask."""
    smooth = cv2.GaussianBlur(image, (0, 0), sigma)
    return _shaped(cv2.addWeighted(image, 1 + amount, smooth, -amount, 0), image)


def resample(image: Image, factor: float) -> Image:
    """Shrink both sides to ``factor`` by area and enlarge again: a copy of a smaller picture."""
    rows, columns = image.shape[:2]
    small = (max(1, round(columns * factor)), max(1, round(rows * factor)))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return _shaped(cv2.resize(shrunk, (columns, rows), interpolation=cv2.INTER_LINEAR), image)


def encode_again(image: Image, quality: int) -> Image:
    """Compress as JPEG of that quality, 1..100, and read it again."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    flag = cv2.IMREAD_GRAYSCALE if image.shape[2:] in ((), (1,)) else cv2.IMREAD_COLOR
    return _shaped(np.asarray(cv2.imdecode(data, flag)), image)


def add_noise(image: Image, deviation: float, random: np.random.Generator) -> Image:
    """Add Gaussian noise with a standard deviation in grey levels."""
    noise = random.standard_normal(image.shape, np.float32)
    return _to_bytes(image + deviation * noise)


def drift(image: Image, strength: float, degrees: float) -> Image:
    """Multiply with a ramp of 1 - strength .. 1 + strength along a direction: the heel effect."""
    rows, columns = image.shape[:2]
    turn = math.radians(degrees)
    across, down = np.cos(turn), np.sin(turn)
    x = np.linspace(-1, 1, columns, dtype=np.float32) * across
    y = np.linspace(-1, 1, rows, dtype=np.float32) * down
    ramp = (x + y[:, np.newaxis]) / (abs(across) + abs(down))
    factor = (1 + strength * ramp).astype(np.float32)
    return _to_bytes(image * factor.reshape(rows, columns, *(1,) * (image.ndim - 2)))


def _look_up(image: Image, levels: npt.NDArray[np.float64]) -> Image:
    return np.asarray(_to_bytes(levels)[image])


def _to_bytes(values: npt.NDArray[np.floating]) -> Image:
    found: Image = np.rint(values).clip(0, 255).astype(np.uint8)
    return found


def _shaped(changed: cv2.typing.MatLike, image: Image) -> Image:
    """OpenCV drops a channel axis of length 1; take the original's shape."""
    return np.asarray(changed.reshape(image.shape), np.uint8)
