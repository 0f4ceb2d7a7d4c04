"""Augmentation stays within its ranges, and batches depend only on seed and epoch."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.ndimage

from cxr_edge.spec import InputSpec, ModelSpec
from cxr_edge.train.fitting.augment import augment
from cxr_edge.train.fitting.batches import AugmentedBatches
from cxr_edge.train.fitting.targets import Teacher, soften
from cxr_edge.train.recipe import ROBUST, SEED
from cxr_edge.train.settings import Augmentation, Distillation

NOTHING = Augmentation(rotation_degrees=0, zoom=0, shift=0, horizontal_flip=False)
SPEC = dataclasses.replace(SEED.spec, input=InputSpec(height=20, width=30))
THREE = ModelSpec("three", SPEC.input, ("a", "b", "c"), "softmax", None, None, "")
TWO = dataclasses.replace(SPEC, activation="softmax")
Picture = npt.NDArray[np.uint8]


class Extreme:
    """A source of randomness that always draws one end of the range."""

    def __init__(self, *, high: bool) -> None:
        self._high = high

    def uniform(self, low: float, high: float, size: int | None = None) -> Any:
        end = high if self._high else low
        return end if size is None else np.full(size, end)

    def random(self) -> float:
        return 1.0


def at_extreme(picture: Picture, augmentation: Augmentation, *, high: bool) -> Picture:
    return augment(picture, augmentation, Extreme(high=high))  # type: ignore[arg-type]


def noise(rows: int, columns: int, channels: int = 1) -> Picture:
    return np.random.default_rng(1).integers(0, 256, (rows, columns, channels), np.uint8)


def smooth(rows: int, columns: int) -> Picture:
    """A picture in which a pixel's error of place is a small error of grey."""
    grey = scipy.ndimage.gaussian_filter(noise(rows, columns)[..., 0].astype(float), 3)
    grey = (grey - grey.min()) / (grey.max() - grey.min())
    return (255 * grey).astype(np.uint8)[..., None]


@pytest.mark.parametrize("shape", [(20, 30, 1), (21, 13, 1), (15, 16, 3)])
def test_ranges_of_zero_change_nothing(shape: tuple[int, int, int]) -> None:
    picture = noise(*shape)
    for seed in range(5):
        same = augment(picture, NOTHING, np.random.default_rng(seed))
        assert same.dtype == np.uint8
        np.testing.assert_array_equal(same, picture)


@pytest.mark.parametrize("shape", [(20, 30, 1), (21, 13, 3)])
def test_mirroring_alone_mirrors_half_of_the_images_exactly(shape: tuple[int, int, int]) -> None:
    picture = noise(*shape)
    mirror = dataclasses.replace(NOTHING, horizontal_flip=True)
    mirrored = 0
    for seed in range(200):
        result = augment(picture, mirror, np.random.default_rng(seed))
        if np.array_equal(result, np.flip(picture, axis=1)):
            mirrored += 1
        else:
            np.testing.assert_array_equal(result, picture)
    assert 70 < mirrored < 130


@pytest.mark.parametrize("high", [False, True])
def test_a_shift_by_whole_pixels_is_exact_and_repeats_the_border(high: bool) -> None:
    picture = noise(20, 30)
    shifted = at_extreme(picture, dataclasses.replace(NOTHING, shift=0.1), high=high)
    down, right = (2, 3) if high else (-2, -3)
    rows = np.clip(np.arange(20) + down, 0, 19)
    columns = np.clip(np.arange(30) + right, 0, 29)
    np.testing.assert_array_equal(shifted, picture[np.ix_(rows, columns)])


def test_a_quarter_turn_is_exact_in_either_direction() -> None:
    picture = noise(25, 25)
    quarter = dataclasses.replace(NOTHING, rotation_degrees=90)
    np.testing.assert_array_equal(at_extreme(picture, quarter, high=True), np.rot90(picture))
    np.testing.assert_array_equal(at_extreme(picture, quarter, high=False), np.rot90(picture, -1))


@pytest.mark.parametrize(("high", "degrees"), [(True, 30), (False, -30)])
def test_a_rotation_agrees_with_scipys_about_the_centre(high: bool, degrees: float) -> None:
    picture = smooth(60, 81)
    turned = at_extreme(picture, dataclasses.replace(NOTHING, rotation_degrees=30), high=high)
    expected = scipy.ndimage.rotate(
        picture[..., 0].astype(float), degrees, reshape=False, order=1, mode="nearest"
    )
    difference = np.abs(turned[..., 0] - expected)
    assert difference.max() < 3  # OpenCV may round places to 1/32 of a pixel
    opposite = np.abs(turned[..., 0] - np.flip(expected, axis=1))
    assert opposite.mean() > 20 * difference.mean()


def test_zoom_reaches_and_keeps_its_range_on_each_axis_alone() -> None:
    picture = np.zeros((101, 141, 1), np.uint8)
    picture[30:71, 50:91] = 255
    zoom = dataclasses.replace(NOTHING, zoom=0.2)
    sizes = []
    for seed in range(300):
        light = augment(picture, zoom, np.random.default_rng(seed))[..., 0] / 255
        sizes.append((light[50].sum() / 41, light[:, 70].sum() / 41))
    wide, high = np.transpose(sizes)
    for factors in (wide, high):
        assert 1 / 1.2 - 0.01 < factors.min() < 1 / 1.17
        assert 1 / 0.83 < factors.max() < 1 / 0.8 + 0.01
    assert abs(np.corrcoef(wide, high)[0, 1]) < 0.2


def test_no_augmentation_brings_a_grey_that_was_not_there() -> None:
    picture = np.full((20, 30, 1), 77, np.uint8)
    for seed in range(50):
        changed = augment(picture, SEED.augmentation, np.random.default_rng(seed))
        assert set(np.unique(changed)) == {77}


def numbered(count: int) -> tuple[Picture, npt.NDArray[np.intp]]:
    """Images that show their number as their grey level, which no augmentation changes."""
    levels = np.arange(count, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, 20, 30, 1)), levels % 2 == 1


def batches(count: int = 23, *, seed: int = 4, first_epoch: int = 0) -> AugmentedBatches:
    pixels, labels = numbered(count)
    return AugmentedBatches(
        pixels,
        labels.astype(np.intp),
        SPEC,
        SEED.augmentation,
        batch_size=5,
        seed=seed,
        first_epoch=first_epoch,
    )


def noisy_batches(*, seed: int = 4, first_epoch: int = 0) -> AugmentedBatches:
    pixels = np.random.default_rng(9).integers(0, 256, (7, 20, 30, 1), np.uint8)
    labels = np.arange(7) % 2
    return AugmentedBatches(
        pixels, labels, SPEC, SEED.augmentation, batch_size=4, seed=seed, first_epoch=first_epoch
    )


def shown(source: AugmentedBatches) -> list[int]:
    """Numbers of the images, in the order of an epoch."""
    return [round(image.mean() * 255) for index in range(len(source)) for image in source[index][0]]


def test_every_image_comes_exactly_once_an_epoch_with_its_label() -> None:
    source = batches()
    for _ in range(3):
        assert sorted(shown(source)) == list(range(23))
        for index in range(len(source)):
            images, labels = source[index]
            numbers = np.rint(images.mean(axis=(1, 2, 3)) * 255)
            np.testing.assert_array_equal(labels[:, 0], numbers % 2)
        source.on_epoch_end()


def test_batches_have_the_networks_form_and_the_last_is_smaller() -> None:
    source = batches()
    assert len(source) == 5
    assert [len(source[index][0]) for index in range(5)] == [5, 5, 5, 5, 3]
    images, labels = source[4]
    assert (images.shape, images.dtype) == ((3, 20, 30, 1), np.float32)
    assert (labels.shape, labels.dtype) == ((3, 1), np.float32)
    assert len(batches(20)) == 4


def test_pixels_are_scaled_as_the_spec_says() -> None:
    images = np.concatenate([noisy_batches()[index][0] for index in range(2)])
    assert images.min() >= 0
    assert 0.9 < images.max() <= 1


def test_the_same_seed_and_epoch_give_the_same_batch_whatever_was_asked_before() -> None:
    one, two = noisy_batches(), noisy_batches()
    one[0], one[1], one[0]
    np.testing.assert_array_equal(one[1][0], two[1][0])
    np.testing.assert_array_equal(one[1][1], two[1][1])


def test_another_epoch_or_seed_gives_another_order_and_other_images() -> None:
    first, later, other = batches(), batches(first_epoch=1), batches(seed=5)
    assert len({tuple(shown(source)) for source in (first, later, other)}) == 3
    by_label = [  # whatever the order, the augmented images of an epoch differ too
        np.sort(np.concatenate([source[i][0] for i in range(2)]).sum(axis=(1, 2, 3)))
        for source in (noisy_batches(), noisy_batches(first_epoch=1), noisy_batches(seed=5))
    ]
    assert not np.allclose(by_label[0], by_label[1], atol=0.5)
    assert not np.allclose(by_label[0], by_label[2], atol=0.5)


def test_beginning_at_a_later_epoch_equals_getting_there() -> None:
    walked, jumped = noisy_batches(), noisy_batches(first_epoch=2)
    walked.on_epoch_end()
    walked.on_epoch_end()
    for index in range(2):
        np.testing.assert_array_equal(walked[index][0], jumped[index][0])


def test_balanced_batches_show_each_label_equally_often_and_every_rare_image() -> None:
    pixels, _ = numbered(40)
    labels = (np.arange(40) >= 10).astype(np.intp)
    source = AugmentedBatches(
        pixels, labels, SPEC, SEED.augmentation, batch_size=8, seed=1, balanced=True
    )
    orders = []
    for _ in range(2):
        assert len(source) == 5
        for index in range(5):
            assert source[index][1].mean() == 0.5
        orders.append(shown(source))
        assert {orders[-1].count(number) for number in range(10)} == {2}
        assert all(orders[-1].count(number) <= 1 for number in range(10, 40))
        source.on_epoch_end()
    assert orders[0] != orders[1]


def test_an_image_shown_twice_an_epoch_is_augmented_anew() -> None:
    pixels = np.random.default_rng(9).integers(0, 256, (12, 20, 30, 1), np.uint8)
    labels = (np.arange(12) >= 1).astype(np.intp)
    source = AugmentedBatches(
        pixels, labels, SPEC, SEED.augmentation, batch_size=12, seed=1, balanced=True
    )
    images, targets = source[0]
    alike = images[targets[:, 0] == 0]
    assert len(alike) == 6
    assert len({image.tobytes() for image in alike}) == 6


def taught(teacher: ModelSpec, student: ModelSpec, temperature: float) -> AugmentedBatches:
    """Batches whose teacher's scores follow from an image's mean grey alone."""

    def scores(batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        grey = batch.mean(axis=(1, 2, 3), keepdims=False)[:, np.newaxis].astype(np.float64)
        logits = grey * np.linspace(-9, 9, max(2, teacher.outputs))
        table = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return np.asarray(table[:, -teacher.outputs :], np.float32)

    pixels, labels = numbered(23)
    return AugmentedBatches(
        pixels,
        labels.astype(np.intp),
        student,
        SEED.augmentation,
        batch_size=5,
        seed=4,
        taught=((Teacher("t", "0", teacher, scores),), Distillation(temperature)),
    )


@pytest.mark.parametrize(
    ("teacher", "student"), [(SPEC, SPEC), (TWO, SPEC), (THREE, THREE)], ids=["1", "2", "3"]
)
def test_a_taught_batch_has_the_teachers_scores_of_its_own_augmented_images(
    teacher: ModelSpec, student: ModelSpec
) -> None:
    images, targets = taught(teacher, student, 2.0)[0]
    plain_images, _ = batches()[0]
    np.testing.assert_array_equal(images, plain_images)
    grey = images.mean(axis=(1, 2, 3)).astype(np.float64)[:, np.newaxis]
    # Divided by the temperature, the logits are half as far apart.
    powers = np.exp(grey * np.linspace(-9, 9, max(2, teacher.outputs)) / 2)
    expected = powers / powers.sum(axis=1, keepdims=True)
    assert targets.shape == (5, student.outputs) and targets.dtype == np.float32
    np.testing.assert_allclose(targets, expected[:, -student.outputs :], rtol=1e-5)


def test_softened_scores_of_certainty_stay_scores() -> None:
    sure = np.array([[0.0], [1.0], [0.5]], np.float32)
    np.testing.assert_array_equal(soften(sure, 3.0), sure)
    rows = np.array([[0.0, 0.0, 1.0], [0.2, 0.3, 0.5]], np.float32)
    np.testing.assert_array_equal(soften(rows, 3.0)[0], rows[0])
    np.testing.assert_allclose(soften(rows, 1.0), rows, rtol=1e-6)


def test_three_labels_are_learnt_as_one_of_three() -> None:
    pixels, _ = numbered(6)
    labels = np.array([0, 1, 2, 0, 1, 2], np.intp)
    made = AugmentedBatches(pixels, labels, THREE, SEED.augmentation, batch_size=6, seed=1)
    images, targets = made[0]
    numbers = np.rint(images[:, 0, 0, 0] * 255).astype(int)
    np.testing.assert_array_equal(targets, np.eye(3)[labels[numbers]])


def test_every_teacher_scores_some_batches_and_each_batch_has_one() -> None:
    def teacher(level: float) -> Teacher:
        return Teacher(
            str(level), "0", SPEC, lambda batch: np.full((len(batch), 1), level, np.float32)
        )

    pixels, labels = numbered(40)
    made = AugmentedBatches(
        pixels,
        labels.astype(np.intp),
        SPEC,
        SEED.augmentation,
        batch_size=2,
        seed=4,
        taught=((teacher(0.25), teacher(0.75)), Distillation(1.0)),
    )
    levels = [np.unique(made[index][1]) for index in range(len(made))]
    assert all(len(level) == 1 for level in levels)
    assert {round(float(level[0]), 4) for level in levels} == {0.25, 0.75}
    again = [np.unique(made[index][1]) for index in range(len(made))]
    np.testing.assert_array_equal(levels, again)


def test_the_donor_of_an_exposure_is_of_another_label(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = []

    def record(image: Any, augmentation: Any, random: Any, donor: Any) -> Any:
        pairs.append((int(image[0, 0, 0]), int(donor[0, 0, 0])))
        return image

    monkeypatch.setattr("cxr_edge.train.fitting.batches.augment", record)
    pixels, labels = numbered(12)
    made = AugmentedBatches(
        pixels, labels.astype(np.intp), SPEC, ROBUST.augmentation, batch_size=12, seed=4
    )
    made[0]
    assert len(pairs) == 12
    label_of = {int(image[0, 0, 0]): label for image, label in zip(pixels, labels, strict=True)}
    assert all(label_of[image] != label_of[donor] for image, donor in pairs)
