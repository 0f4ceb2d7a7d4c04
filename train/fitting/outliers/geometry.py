"""Outliers by geometry: parts of an image, turned and squeezed images."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.train.fitting.outliers.grounds import fit_to
from cxr_edge.train.fitting.outliers.kinds import Grey, Random


def crop_band(image: Grey, _: Grey, random: Random) -> Grey:
    """A third to less than a half at one of the four borders, as large as the image."""
    share = random.uniform(0.25, 0.45)
    turned = np.rot90(image, turn := int(random.integers(4)))
    part = turned[: max(round(len(turned) * share), 2)]
    return fit_to(np.ascontiguousarray(np.rot90(part, -turn)), image)


def crop_corner(image: Grey, _: Grey, random: Random) -> Grey:
    """A part of at most a third of the area anywhere."""
    rows, columns = image.shape
    height, width = (max(round(side * random.uniform(0.2, 0.58)), 2) for side in image.shape)
    top, left = random.integers(rows - height + 1), random.integers(columns - width + 1)
    return fit_to(image[top : top + height, left : left + width], image)


def turn(image: Grey, _: Grey, random: Random) -> Grey:
    """Rotated by 25 to 335 degrees; outside is black, white or the border repeated."""
    degrees = random.uniform(25, 335)
    return _warp(image, degrees, random.uniform(0.7, 1.1, 2), random)


def turn_right(image: Grey, _: Grey, random: Random) -> Grey:
    """Turned by 90, 180 or 270 degrees, or upside down and mirrored."""
    choice = int(random.integers(1, 5))
    turned = np.rot90(image, choice) if choice < 4 else image[::-1]
    return fit_to(np.ascontiguousarray(turned), image)


def squeeze(image: Grey, _: Grey, random: Random) -> Grey:
    """Squeezed in one direction, with a plain margin beside."""
    scale = np.ones(2)
    scale[random.integers(2)] = random.uniform(0.25, 0.6)
    return _warp(image, random.uniform(-5, 5), scale, random)


def _warp(image: Grey, degrees: float, scale: npt.NDArray[np.float64], random: Random) -> Grey:
    rows, columns = image.shape
    matrix = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), degrees, 1)
    centre = np.array([(columns - 1) / 2, (rows - 1) / 2])
    linear = matrix[:, :2] @ np.diag(scale)
    matrix = np.column_stack([linear, centre - linear @ centre])
    mode = cv2.BORDER_REPLICATE if random.random() < 0.3 else cv2.BORDER_CONSTANT
    level = float(random.choice([0, 0, 255, int(random.integers(256))]))
    return np.asarray(
        cv2.warpAffine(image, matrix, (columns, rows), borderMode=mode, borderValue=level),
        np.uint8,
    )
