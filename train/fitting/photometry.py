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


def add_speckle(image: Image, deviation: float, random: np.random.Generator) -> Image:
    """Multiply each pixel by a Gaussian of mean 1 and standard deviation ``deviation``."""
    noise = random.standard_normal(image.shape, np.float32)
    return _to_bytes(image * (1 + deviation * noise))


def count_quanta(image: Image, quanta: float, random: np.random.Generator) -> Image:
    """Draw each pixel from a Poisson distribution; white is ``quanta`` of them on average."""
    return _to_bytes(random.poisson(image * (quanta / 255)) * (255 / quanta))


def add_salt_and_pepper(image: Image, share: float, random: np.random.Generator) -> Image:
    """Make ``share`` of the pixels black or white, each half of them."""
    draw = random.random(image.shape[:2], np.float32)
    changed = image.copy()
    changed[draw < share / 2] = 0
    changed[draw > 1 - share / 2] = 255
    return changed


def take_histogram(image: Image, donor: Image, share: float) -> Image:
    """Move grey levels towards those that give an image the histogram of another.

    Args:
        image: (H, W, C) uint8.
        donor: of any size, uint8.
        share: 0: unchanged; 1: all the way.
    """
    own, other = (
        np.bincount(picture.ravel(), minlength=256).cumsum() for picture in (image, donor)
    )
    matched = np.interp(own / own[-1], other / other[-1], np.arange(256.0))
    return _look_up(image, share * matched + (1 - share) * np.arange(256.0))


def take_low_frequencies(image: Image, donor: Image, radius: int) -> Image:
    """Give an image the amplitudes of another's lowest frequencies; the phases stay.

    Yang, Soatto 2020, arXiv:2004.05498.

    Args:
        image: (H, W, C) uint8.
        donor: of the same shape.
        radius: highest frequency that is changed, cycles over a side.
    """
    own, other = (
        np.fft.rfft2(picture.astype(np.float32), axes=(0, 1)) for picture in (image, donor)
    )
    rows = np.r_[0 : radius + 1, -radius:0]
    block = np.ix_(rows, np.arange(radius + 1))
    own[block] *= np.abs(other[block]) / np.maximum(np.abs(own[block]), 1e-6)
    return _to_bytes(np.fft.irfft2(own, s=image.shape[:2], axes=(0, 1)))


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
