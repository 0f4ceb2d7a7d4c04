"""Shifts: fixed changes of moderate strength, as another machine might deliver the same image.

Validation images of the same hospital cannot show whether a network relies on what an image shows
or on how it was taken. Their shifted copies can, at least in part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from cxr_edge.preprocess import Image, Pixels
from cxr_edge.train.fitting import photometry

Shift = Callable[[Image, np.random.Generator], Image]
"""From (H, W, C) uint8 to the same shape; random numbers are drawn from the generator."""

SHIFTS: dict[str, Shift] = {
    "blur, sigma 1": lambda image, _: photometry.blur(image, 1.0),
    "sharpened by 1": lambda image, _: photometry.sharpen(image, 1.0),
    "half resolution": lambda image, _: photometry.resample(image, 0.5),
    "gamma 0.7": lambda image, _: photometry.change_gamma(image, 0.7),
    "gamma 1.4": lambda image, _: photometry.change_gamma(image, 1.4),
    "contrast 0.7": lambda image, _: photometry.change_levels(image, 0.7, 0.0),
    "black level .15": lambda image, _: photometry.raise_black(image, 0.15),
    "noise, 8 levels": lambda image, random: photometry.add_noise(image, 8.0, random),
    "JPEG quality 30": lambda image, _: photometry.encode_again(image, 30),
    "drift 20 %": lambda image, random: photometry.drift(image, 0.2, random.uniform(0, 360)),
}
"""Every shift by the name that tables show; strengths are for images of about 150 pixels."""


def shifted(pixels: Pixels) -> Iterator[tuple[str, Pixels]]:
    """Yield each shift's name with all images changed by it; deterministic.

    Args:
        pixels: (N, height, width, channels) uint8, at the network's size.
    """
    for number, (name, change) in enumerate(SHIFTS.items()):
        randoms = (np.random.default_rng([number, index]) for index in range(len(pixels)))
        yield name, np.stack([change(*pair) for pair in zip(pixels, randoms, strict=True)])
