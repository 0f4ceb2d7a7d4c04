"""What may lie around an image, or instead of one."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.train.fitting.outliers.kinds import Grey, Random


def fit_to(image: Grey, like: Grey) -> Grey:
    """Resize an image to the size of another."""
    size = like.shape[::-1]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def background(shape: tuple[int, int], other: Grey, random: Random) -> Grey:
    """A plain level, a gradient, noise of any scale, or a blurred image."""
    choice = random.random()
    if choice < 0.5:
        level = float(
            random.choice([0, 255, int(random.integers(256)), int(random.integers(180, 256))])
        )
        ground = np.full(shape, level, np.float32)
    elif choice < 0.9:
        ground = noise(shape, random)
    else:
        blurred = cv2.GaussianBlur(other, (0, 0), random.uniform(2, 20))
        ground = cv2.resize(blurred, shape[::-1]).astype(np.float32)
    if random.random() < 0.5:
        ground += random.standard_normal(shape, np.float32) * random.uniform(0, 10)
    return np.asarray(ground.clip(0, 255), np.uint8)


def noise(shape: tuple[int, int], random: Random) -> npt.NDArray[np.float32]:
    """Smooth noise between two levels."""
    scale = random.uniform(0.5, 40)
    size = [max(round(side / scale), 2) for side in shape]
    coarse = random.standard_normal(size, np.float32)
    smooth = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    low, high = random.uniform(-40, 295, 2)
    share = (smooth - smooth.min()) / max(float(np.ptp(smooth)), 1e-6)
    return np.asarray(low + share * (high - low), np.float32)
