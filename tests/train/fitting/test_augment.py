"""The robust recipe's augmentation stays within its ranges and varies the acquisition."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cxr_edge.data.phantom import draw_phantom
from cxr_edge.preprocess import Image
from cxr_edge.train.fitting.augment import augment
from cxr_edge.train.recipe import ROBUST
from cxr_edge.train.settings import Acquisition, Augmentation

STILL = Acquisition(
    probability=0.0,
    corner=0.25,
    drift=0.0,
    gamma=0.0,
    contrast=0.0,
    brightness=0.0,
    black=0.0,
    blur=0.3,
    sharpen=0.2,
    resample=0.9,
    noise=0.0,
    quality=95,
)


def picture() -> Image:
    return draw_phantom(np.random.default_rng(3), height=150, width=150)[..., np.newaxis]


def plane() -> Image:
    """A grey level that grows to the right and jumps downwards: places can be read from it."""
    across, down = np.meshgrid(np.arange(100), np.arange(100))
    return (across + (down >= 50) * 128).astype(np.uint8)[..., np.newaxis]


def test_crops_keep_the_share_of_the_area_that_is_asked_for() -> None:
    crop = Augmentation(crop_area=0.5, crop_stretch=1.0)
    widths = []
    for seed in range(200):
        changed = augment(plane(), crop, np.random.default_rng(seed)).astype(int)
        row = changed[2 if changed[2, 0] < 128 else -3, :, 0] % 128
        assert row.min() >= 0 and row.max() <= 99
        widths.append((row.max() - row.min() + 1) / 100)
    assert min(widths) >= np.sqrt(0.5) - 0.02
    assert max(widths) <= 1.0
    assert np.mean(np.square(widths)) - 0.75 < 0.03


def test_every_kind_of_change_happens_and_the_same_draws_give_the_same_picture() -> None:
    image = picture()
    donor = 255 - image
    changed, again = (
        [augment(image, ROBUST.augmentation, np.random.default_rng(s), donor) for s in range(60)]
        for _ in range(2)
    )
    for one, two in zip(changed, again, strict=True):
        assert one.shape == image.shape and one.dtype == np.uint8
        np.testing.assert_array_equal(one, two)
    means = np.array([one.mean() for one in changed])
    assert means.std() > 10  # brightness no longer tells pictures apart
    fine = np.array([np.abs(np.diff(one.astype(float), axis=1)).mean() for one in changed])
    assert fine.max() / fine.min() > 3  # nor does sharpness


def test_half_of_the_images_keep_their_sharpness() -> None:
    image = picture()
    degrading = dataclasses.replace(STILL, blur=3.0, sharpen=3.0, resample=0.3)
    kept = sum(
        np.array_equal(
            augment(image, Augmentation(acquisition=degrading), np.random.default_rng(seed)), image
        )
        for seed in range(400)
    )
    assert 0.42 < kept / 400 < 0.58


def test_an_erased_corner_is_in_a_corner_and_of_the_size_asked_for() -> None:
    erase = Augmentation(acquisition=dataclasses.replace(STILL, probability=1.0))
    ramp = np.repeat(np.linspace(0, 255, 100)[:, np.newaxis], 100, axis=1)
    ramp = ramp.astype(np.uint8)[..., np.newaxis]
    corners = set()
    for seed in range(60):
        changed = augment(ramp, erase, np.random.default_rng(seed)).astype(int)
        erased = np.argwhere(np.abs(changed - ramp)[..., 0] > 40)  # more than encoding changes
        if len(erased):
            (top, left), (bottom, right) = erased.min(axis=0), erased.max(axis=0)
            assert bottom < 26 or top > 73
            assert right < 26 or left > 73
            corners.add((bool(top > 73), bool(left > 73)))
    assert len(corners) == 4


def test_as_many_images_as_asked_for_take_their_donors_exposure() -> None:
    image = picture()
    donor = (image // 2 + 100).astype(np.uint8)
    swap = Augmentation(acquisition=dataclasses.replace(STILL, exposure=0.4))
    means = [augment(image, swap, np.random.default_rng(seed), donor).mean() for seed in range(300)]
    moved = np.abs(np.array(means) - image.mean()) > 5
    assert 0.3 < moved.mean() < 0.5
    assert np.abs(np.array(means)[~moved] - image.mean()).max() < 1
    assert min(means) > image.mean() - 1 and max(means) < donor.mean() + 2
    with pytest.raises(ValueError, match="image of another label"):
        augment(image, swap, np.random.default_rng(1))


def test_every_kind_of_noise_that_has_a_range_occurs_and_no_other() -> None:
    grey = np.full((60, 60, 1), 100, np.uint8)
    seen = set()
    for seed in range(80):
        ranges = dataclasses.replace(STILL, probability=1.0, black=0.0, speckle=0.2, salt=0.1)
        still = dataclasses.replace(ranges, corner=0.05)
        changed = augment(grey, Augmentation(acquisition=still), np.random.default_rng(seed))
        extreme = np.isin(changed, (0, 1, 2, 253, 254, 255)).mean()
        seen.add("salt" if extreme > 0.002 else "speckle" if changed.std() > 2 else "little")
    assert seen == {"salt", "speckle", "little"}
