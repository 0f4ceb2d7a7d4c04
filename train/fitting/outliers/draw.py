"""Draws outliers and varied images of the domain, the same ones for the same seed."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from cxr_edge.device.batch import map_in_order
from cxr_edge.device.machine import usable_cpus
from cxr_edge.domain.features import Floats, describe, standardize_one
from cxr_edge.train.fitting.outliers import geometry, levels, places, scenes
from cxr_edge.train.fitting.outliers.kinds import Draw, Grey, Random
from cxr_edge.train.fitting.outliers.variation import expose, vary, vary_place

OUTLIERS: dict[str, tuple[Draw, float]] = {
    "crop of a border": (geometry.crop_band, 5),
    "crop of a small part": (geometry.crop_corner, 2),
    "turned": (geometry.turn, 1),
    "turned by a right angle": (geometry.turn_right, 2),
    "squeezed": (geometry.squeeze, 1),
    "negative": (levels.negate, 1),
    "false levels": (levels.fold_levels, 1),
    "few levels": (levels.cut_levels, 0.5),
    "smeared": (levels.smear, 3),
    "coarse": (levels.coarsen, 1),
    "noise and stripes": (levels.drown, 1),
    "photographed": (places.photograph, 6),
    "on a page": (places.place, 2),
    "covered": (places.cover, 2),
    "in a wrong order": (places.shuffle, 1),
    "scene": (scenes.scene, 1.5),
    "texture": (scenes.texture, 1),
}
"""Each kind: how it is drawn, and its weight."""
_SMOOTH = ("smeared", "coarse")  # sharpened or noisy, they would not be

_A_TASK = 50  # images that a thread draws at a time


def describe_outliers(images: Grey, count: int, seed: int) -> Floats:
    """Draw outliers of every kind and describe them.

    Args:
        images: (N, H, W) of the domain.
        count: outliers to draw.
        seed: of the choice.

    Returns:
        (count, 518) features.
    """
    return _describe_many(functools.partial(draw_outlier, images), count, seed)


def draw_outlier(images: Grey, random: Random) -> Grey:
    """Draw one outlier, (H, W), from images of the domain, (N, H, W)."""
    names = tuple(OUTLIERS)
    weights = np.array([weight for _, weight in OUTLIERS.values()])
    name = names[random.choice(len(names), p=weights / weights.sum())]
    image, other = images[random.integers(len(images), size=2)]
    outlier = OUTLIERS[name][0](image, other, random)
    return expose(outlier, random) if name in _SMOOTH else vary(outlier, random)


def describe_varied(images: Grey, count: int, seed: int) -> Floats:
    """Describe the images and changed copies, of which a half are also rotated and cropped a bit.

    Args:
        images: (N, H, W) of the domain.
        count: of the copies.
        seed: of the changes.

    Returns:
        (N + count, 518) features.
    """
    plain = np.stack([_describe(image) for image in images])
    varied = _describe_many(functools.partial(_draw_varied, images), count, seed)
    return np.concatenate([plain, varied])


def _draw_varied(images: Grey, random: Random) -> Grey:
    image: Grey = images[random.integers(len(images))]
    return vary(vary_place(image, random) if random.random() < 0.5 else image, random)


def _describe_many(draw: Callable[[Random], Grey], count: int, seed: int) -> Floats:
    def describe_some(start: int) -> list[Floats]:
        randoms = (np.random.default_rng([seed, i]) for i in range(start, start + _A_TASK))
        return [_describe(draw(random)) for random in randoms]

    parts = map_in_order(describe_some, range(0, count, _A_TASK), usable_cpus())
    return np.stack([features for part in parts for features in part])[:count]


def _describe(image: Grey) -> Floats:
    pixels = image[..., np.newaxis]
    return describe(standardize_one(pixels)[0], pixels)
