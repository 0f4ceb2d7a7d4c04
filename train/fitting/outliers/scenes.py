"""Outliers with no image of the domain in them."""

from __future__ import annotations

import cv2
import numpy as np

from cxr_edge.train.fitting.outliers.grounds import background, noise
from cxr_edge.train.fitting.outliers.kinds import Grey, Random


def scene(image: Grey, other: Grey, random: Random) -> Grey:
    """Things in front of each other, lit from one side: the statistics of a photograph."""
    grounds = [background(image.shape, other, random) for _ in range(3)]
    picture = grounds[0].astype(np.float32)
    rows, columns = image.shape
    for _ in range(int(random.integers(1, 40))):
        size = min(image.shape) * 0.5 * random.uniform(0.02, 1) ** 1.5
        centre = (int(random.integers(columns)), int(random.integers(rows)))
        axes = (max(int(size), 1), max(int(size * random.uniform(0.2, 1)), 1))
        mask = np.zeros(image.shape, np.uint8)
        angle = random.uniform(0, 360)
        if random.random() < 0.5:
            cv2.ellipse(mask, centre, axes, angle, 0, 360, 1, -1)
        else:
            box = cv2.boxPoints((centre, axes, angle)).astype(np.int32)
            cv2.fillPoly(mask, [box], 1)
        inside = mask > 0
        surface = grounds[random.integers(3)][inside]
        picture[inside] = surface * random.uniform(0.3, 1.7) + random.uniform(-60, 60)
    return np.asarray(picture.clip(0, 255), np.uint8)


def texture(image: Grey, other: Grey, random: Random) -> Grey:
    """Noise of one or several scales, stripes or squares."""
    shape = image.shape
    choice = int(random.integers(3))
    if choice == 0:
        return np.asarray(noise(shape, random).clip(0, 255), np.uint8)
    if choice == 1:
        octaves = np.sum([noise(shape, random) for _ in range(int(random.integers(2, 5)))], axis=0)
        low, high = float(octaves.min()), float(octaves.max())
        return np.asarray((octaves - low) / max(high - low, 1e-6) * 255, np.uint8)
    rows, columns = np.indices(shape, dtype=np.float32)
    angle = random.uniform(0, np.pi)
    across = rows * np.sin(angle) + columns * np.cos(angle)
    along = rows * np.cos(angle) - columns * np.sin(angle)
    period = random.uniform(3, 150)
    waves = np.sin(across * 2 * np.pi / period)
    if random.random() < 0.5:
        waves = waves * np.sin(along * 2 * np.pi / random.uniform(3, 150))
    if random.random() < 0.5:
        waves = np.sign(waves)
    return np.asarray((waves * random.uniform(20, 127) + 128).clip(0, 255), np.uint8)
