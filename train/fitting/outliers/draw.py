"""Draws outliers and varied images of the domain, the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cxr_edge.device.batch import map_in_order
from cxr_edge.device.machine import usable_cpus
from cxr_edge.domain.features import Floats, describe, standardize_one
from cxr_edge.train.fitting.outliers import geometry, levels, places, scenes
from cxr_edge.train.fitting.outliers.kinds import Draw, Grey, Random
from cxr_edge.train.fitting.outliers.variation import expose, vary, vary_place

OUTLIERS: dict[str, tuple[Draw, float, int]] = {
    "crop of a border": (geometry.crop_band, 5, 0),
    "crop of a small part": (geometry.crop_corner, 2, 0),
    "turned": (geometry.turn, 1, 0),
    "turned by a right angle": (geometry.turn_right, 2, 0),
    "squeezed": (geometry.squeeze, 1, 0),
    "smeared": (levels.smear, 3, 1),
    "coarse": (levels.coarsen, 1, 1),
    "noise and stripes": (levels.drown, 1, 1),
    "negative": (levels.negate, 1, 1),
    "false levels": (levels.fold_levels, 1, 1),
    "few levels": (levels.cut_levels, 0.5, 1),
    "in a wrong order": (places.shuffle, 1, 2),
    "scene": (scenes.scene, 1.5, 2),
    "texture": (scenes.texture, 1, 2),
    "photographed": (places.photograph, 6, 2),
    "on a page": (places.place, 2, 2),
    "covered": (places.cover, 2, 2),
}
"""Each kind: how it is drawn, its weight, and its group.

The discriminator has an output and a limit for each group. With one for all of them, it found 80 %
of lower thirds; with one for each of three groups, 95 %."""
_SMOOTH = ("smeared", "coarse")  # sharpened or noisy, they would not be

_A_TASK = 50  # images that a thread draws at a time


def describe_outliers(images: Grey, count: int, seed: int) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Draw outliers of every kind and describe them.

    Args:
        images: (N, H, W) of the domain.
        count: outliers to draw.
        seed: of the choice.

    Returns:
        (count, 518) features, and (count,) the group of each.
    """
    weights = np.array([weight for _, weight, _ in OUTLIERS.values()])
    kinds = np.random.default_rng(seed).choice(len(weights), count, p=weights / weights.sum())
    names = [tuple(OUTLIERS)[kind] for kind in kinds]

    def draw(index: int, random: Random) -> Grey:
        return draw_outlier(names[index], images, random)

    groups = np.array([OUTLIERS[name][2] for name in names], np.intp)
    return _describe_many(draw, count, seed), groups


def draw_outlier(name: str, images: Grey, random: Random) -> Grey:
    """Draw an outlier of one kind, (H, W), from images of the domain, (N, H, W)."""
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

    def draw(index: int, random: Random) -> Grey:
        image: Grey = images[random.integers(len(images))]
        return vary(vary_place(image, random) if index % 2 else image, random)

    return np.concatenate([plain, _describe_many(draw, count, seed)])


def _describe_many(draw: Callable[[int, Random], Grey], count: int, seed: int) -> Floats:
    """Draw by index and generator, and describe each on any thread."""

    def describe_some(start: int) -> list[Floats]:
        indices = range(start, min(start + _A_TASK, count))
        return [_describe(draw(index, np.random.default_rng([seed, index]))) for index in indices]

    parts = map_in_order(describe_some, range(0, count, _A_TASK), usable_cpus())
    return np.stack([features for part in parts for features in part])


def _describe(image: Grey) -> Floats:
    pixels = image[..., np.newaxis]
    return describe(standardize_one(pixels)[0], pixels)
