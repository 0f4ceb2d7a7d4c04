"""Changes that leave an image in the domain, or an outlier outside."""

from __future__ import annotations

import math

import cv2
import numpy as np

from cxr_edge.train.fitting import photometry
from cxr_edge.train.fitting.outliers.kinds import Grey, Random


def expose(image: Grey, random: Random) -> Grey:
    """Change brightness and contrast."""
    image = photometry.change_gamma(image, math.exp(random.uniform(-0.4, 0.4)))
    return np.asarray(
        photometry.change_levels(image, random.uniform(0.65, 1.35), random.uniform(-0.15, 0.15)),
        np.uint8,
    )


def vary(image: Grey, random: Random) -> Grey:
    """Change brightness, sharpness, noise and compression as another machine would."""
    if random.random() < 0.3:
        image = photometry.drift(image, random.uniform(0, 0.25), random.uniform(0, 360))
    if random.random() < 0.7:
        image = expose(image, random)
    if random.random() < 0.3:
        image = photometry.raise_black(image, random.uniform(0, 0.2))
    choice = random.integers(6)
    scale = min(image.shape) / 150
    if choice == 0:
        image = photometry.blur(image, random.uniform(0.3, 1.2) * max(scale, 0.3))
    elif choice == 1:
        image = photometry.sharpen(image, random.uniform(0.2, 1.5))
    elif choice == 2:
        image = photometry.resample(image, random.uniform(0.45, 0.9))
    if random.random() < 0.3:
        image = photometry.add_noise(image, random.uniform(0, 10), random)
    if random.random() < 0.3:
        image = photometry.encode_again(image, int(random.integers(30, 96)))
    return np.asarray(image, np.uint8)


def vary_place(image: Grey, random: Random) -> Grey:
    """Rotate and crop a little, as radiographs of the same kind differ."""
    rows, columns = image.shape
    centre = np.array([(columns - 1) / 2, (rows - 1) / 2])
    angle = math.radians(random.uniform(-8, 8))
    rotate = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    sides = np.sqrt(random.uniform(0.7, 1)) * np.exp(
        np.array([1, -1]) * random.uniform(-0.07, 0.07)
    )
    sides = sides.clip(None, 1)
    linear = rotate @ np.diag(sides)
    shift = random.uniform(-0.5, 0.5, 2) * (1 - sides) * (columns, rows)
    matrix = np.column_stack([linear, centre - linear @ centre + rotate @ shift])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(
            image, matrix, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE
        ),
        np.uint8,
    )
