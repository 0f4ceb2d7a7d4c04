"""Outliers by grey levels and sharpness."""

from __future__ import annotations

import math

import cv2
import numpy as np

from cxr_edge.train.fitting import photometry
from cxr_edge.train.fitting.outliers.kinds import Grey, Random


def negate(image: Grey, _: Grey, random: Random) -> Grey:
    """The negative."""
    return 255 - image


def fold_levels(image: Grey, _: Grey, random: Random) -> Grey:
    """Grey levels that rise and fall again, as the brightness of false colours does."""
    knots = np.linspace(0, 255, int(random.integers(4, 8)))
    levels = np.interp(np.arange(256), knots, random.uniform(0, 255, len(knots)))
    return levels.astype(np.uint8)[image]


def cut_levels(image: Grey, _: Grey, random: Random) -> Grey:
    """Two or three grey levels, or edges only."""
    if random.random() < 0.5:
        steps = np.quantile(image, np.sort(random.uniform(0.1, 0.9, random.integers(1, 3))))
        return (np.digitize(image, np.unique(steps)) * 120).clip(0, 255).astype(np.uint8)
    edges = cv2.Laplacian(image, cv2.CV_32F, ksize=3)
    edges = np.abs(edges) if random.random() < 0.5 else edges / 2 + 128
    return np.asarray(edges.clip(0, 255), np.uint8)


def smear(image: Grey, _: Grey, random: Random) -> Grey:
    """Blurred, or moved while the picture was taken."""
    sigma = math.exp(random.uniform(math.log(2.1), math.log(9))) * min(image.shape) / 150
    if random.random() < 0.8:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
    length = max(round(5 * sigma), 3)
    kernel = np.zeros((length, length), np.float32)
    end = (round(random.uniform(0, length - 1)), length - 1)
    cv2.line(kernel, (length - 1 - end[0], 0), end, 1.0, 1)
    if random.random() < 0.5:
        kernel = kernel.T.copy()
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def coarsen(image: Grey, _: Grey, random: Random) -> Grey:
    """An icon enlarged, by blocks or smoothly, or a JPEG of the worst quality."""
    if random.random() < 0.25:
        return photometry.encode_again(image, int(random.integers(1, 8)))
    rows, columns = image.shape
    share = random.uniform(0.06, 0.27)
    size = (max(round(columns * share), 2), max(round(rows * share), 2))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    method = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC)[random.integers(3)]
    return np.asarray(cv2.resize(small, (columns, rows), interpolation=method), np.uint8)


def drown(image: Grey, _: Grey, random: Random) -> Grey:
    """Noise that hides the picture, or stripes over all of it, such as moire."""
    if random.random() < 0.4:
        noise = random.standard_normal(image.shape, np.float32) * random.uniform(40, 150)
    else:
        rows, columns = np.indices(image.shape, dtype=np.float32)
        angle, period = random.uniform(0, np.pi), random.uniform(2.2, 20)
        waves = np.sin((rows * np.sin(angle) + columns * np.cos(angle)) * 2 * np.pi / period)
        if random.random() < 0.5:
            waves = waves * np.sin((rows * np.cos(angle) - columns * np.sin(angle)) * 6 / period)
        noise = waves * (image * 0.5 + 40) / 90 * random.uniform(12, 80)
    return np.asarray((image + noise).clip(0, 255), np.uint8)
