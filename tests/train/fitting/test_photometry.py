"""Each photometric change has the stated effect and amount."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from cxr_edge.data.phantom import draw_phantom
from cxr_edge.preprocess import Image
from cxr_edge.train.evaluation.shifts import SHIFTS, shifted
from cxr_edge.train.fitting import photometry


def picture() -> Image:
    return draw_phantom(np.random.default_rng(3), height=120, width=150)[..., np.newaxis]


def flat(level: int) -> Image:
    return np.full((40, 50, 1), level, np.uint8)


def detail(image: Image) -> float:
    """Energy of the finest structures."""
    return float(cv2.Laplacian(image.astype(np.float32), cv2.CV_32F).std())


@pytest.mark.parametrize(
    "neutral",
    [
        lambda image: photometry.change_gamma(image, 1.0),
        lambda image: photometry.change_levels(image, 1.0, 0.0),
        lambda image: photometry.raise_black(image, 0.0),
        lambda image: photometry.sharpen(image, 0.0),
        lambda image: photometry.resample(image, 1.0),
        lambda image: photometry.add_noise(image, 0.0, np.random.default_rng(1)),
        lambda image: photometry.drift(image, 0.0, 30.0),
    ],
)
def test_the_neutral_setting_changes_nothing(neutral: Callable[[Image], Image]) -> None:
    np.testing.assert_array_equal(neutral(picture()), picture())


@pytest.mark.parametrize(
    ("changed", "level"),
    [
        (photometry.change_gamma(flat(64), 2.0), 255 * (64 / 255) ** 2),
        (photometry.change_gamma(flat(64), 0.5), 255 * (64 / 255) ** 0.5),
        (photometry.change_levels(flat(200), 0.5, 0.0), 127.5 + 72.5 / 2),
        (photometry.change_levels(flat(200), 1.0, -0.1), 174.5),
        (photometry.change_levels(flat(200), 3.0, 0.0), 255),
        (photometry.raise_black(flat(0), 0.2), 51),
        (photometry.raise_black(flat(255), 0.2), 255),
    ],
)
def test_grey_levels_follow_the_formula(changed: Image, level: float) -> None:
    assert np.unique(changed).size == 1
    assert abs(float(changed.mean()) - level) <= 0.5


def test_blur_resampling_and_sharpening_change_detail_the_way_they_should() -> None:
    image = picture()
    assert detail(photometry.blur(image, 1.0)) < 0.6 * detail(image)
    assert detail(photometry.resample(image, 0.5)) < 0.8 * detail(image)
    assert detail(photometry.sharpen(image, 1.0)) > 1.5 * detail(image)


def test_noise_has_the_deviation_asked_for() -> None:
    noisy = photometry.add_noise(flat(128), 8.0, np.random.default_rng(1))
    assert abs(noisy.astype(float).std() - 8.0) < 0.4


@pytest.mark.parametrize(
    ("degrees", "brighter", "darker"),
    [(0, np.s_[:, -1], np.s_[:, 0]), (90, np.s_[-1], np.s_[0]), (180, np.s_[:, 0], np.s_[:, -1])],
)
def test_drift_runs_along_its_direction(degrees: float, brighter: object, darker: object) -> None:
    changed = photometry.drift(flat(100), 0.3, degrees)
    assert set(np.unique(changed[brighter])) == {130}  # type: ignore[index]
    assert set(np.unique(changed[darker])) == {70}  # type: ignore[index]


def test_a_lower_quality_is_further_from_the_picture() -> None:
    image = picture()
    errors = [
        np.abs(photometry.encode_again(image, quality).astype(float) - image).mean()
        for quality in (95, 60, 20)
    ]
    assert 0 < errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("channels", [1, 3])
def test_every_shift_changes_the_images_the_same_way_twice(channels: int) -> None:
    pixels = np.repeat(np.stack([picture(), picture()[::-1]]), channels, axis=3)
    twice = list(shifted(pixels)), list(shifted(pixels))
    assert [name for name, _ in twice[0]] == list(SHIFTS)
    for (name, images), (_, again) in zip(*twice, strict=True):
        assert images.shape == pixels.shape and images.dtype == np.uint8, name
        assert np.abs(images.astype(float) - pixels).mean() > 0.3, name
        np.testing.assert_array_equal(images, again)


def test_speckle_grows_with_brightness_and_quanta_with_its_root() -> None:
    random = np.random.default_rng(2)
    for level in (50, 200):
        speckled = photometry.add_speckle(flat(level), 0.1, random).astype(float)
        assert speckled.std() == pytest.approx(0.1 * level, rel=0.1)
        counted = photometry.count_quanta(flat(level), 400, random).astype(float)
        assert counted.mean() == pytest.approx(level, rel=0.02)
        assert counted.std() == pytest.approx(255 / 400 * np.sqrt(level / 255 * 400), rel=0.1)


def test_salt_and_pepper_change_the_stated_share_half_each() -> None:
    changed = photometry.add_salt_and_pepper(flat(90), 0.2, np.random.default_rng(3))
    assert (changed == 0).mean() == pytest.approx(0.1, abs=0.03)
    assert (changed == 255).mean() == pytest.approx(0.1, abs=0.03)
    assert ((changed == 0) | (changed == 90) | (changed == 255)).all()


def test_a_taken_histogram_is_the_donors_and_the_order_of_levels_stays() -> None:
    image, donor = picture(), photometry.change_gamma(picture()[:60], 2.5)
    taken = photometry.take_histogram(image, donor, 1.0)
    for share in (10, 50, 90):
        assert np.percentile(taken, share) == pytest.approx(np.percentile(donor, share), abs=3)
    darker, brighter = image[:-1].astype(int) < image[1:], taken[:-1] <= taken[1:]
    assert brighter[darker].all()
    np.testing.assert_array_equal(photometry.take_histogram(image, donor, 0.0), image)


def test_only_amplitudes_of_the_lowest_frequencies_are_taken() -> None:
    random = np.random.default_rng(4)
    image = random.integers(90, 160, (50, 40, 1)).astype(np.uint8)
    donor = np.clip(image.astype(int) + np.linspace(-40, 40, 40)[:, np.newaxis], 0, 255)
    taken = photometry.take_low_frequencies(image, donor.astype(np.uint8), 2)
    own, other, new = (np.fft.rfft2(x[..., 0].astype(float)) for x in (image, donor, taken))
    np.testing.assert_allclose(np.abs(new[0, 1:3]), np.abs(other[0, 1:3]), rtol=0.1, atol=60)
    high = np.abs(new[5:20, 5:15] - own[5:20, 5:15]).mean() / np.abs(own[5:20, 5:15]).mean()
    assert high < 0.05
