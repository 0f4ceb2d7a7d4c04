"""The bootstrap over patients: what it draws, how wide it is, how often it holds the truth."""

from __future__ import annotations

import time

import numpy as np
import pytest

from cxr_edge.metrics import Interval, exact_at_ends, interval, paired_difference, resample


def all_weights(patients: list[str], **options: object) -> np.ndarray:
    return np.concatenate(list(resample(patients, **options).weights()))  # type: ignore[arg-type]


def test_indices_and_weights_are_the_same_samples_all_images_first() -> None:
    patients = ["a", "b", "a", "c", "b", "a"]
    resamples = resample(patients, count=50)
    weights = np.concatenate(list(resamples.weights()))
    assert resamples.patients == 3 and weights.shape == (51, 6)
    assert weights[0].tolist() == [1] * 6
    for row, chosen in zip(weights, resamples.indices(), strict=True):
        np.testing.assert_array_equal(np.bincount(chosen, minlength=6), row)


def test_patients_are_drawn_whole_and_as_many_as_there_are() -> None:
    patients = ["a", "b", "a", "c", "b", "a"]
    weights = all_weights(patients)
    for group in ([0, 2, 5], [1, 4]):
        assert (weights[:, group] == weights[:, group[:1]]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert len(np.unique(weights, axis=0)) == 10  # every multiset of three


def test_strata_keep_each_labels_patients() -> None:
    patients = [str(i) for i in range(12)]
    strata = np.asarray([0] * 9 + [1] * 3)
    weights = all_weights(patients, strata=strata)
    assert (weights[:, :9].sum(axis=1) == 9).all()
    assert (weights[:, 9:].sum(axis=1) == 3).all()
    assert not (all_weights(patients)[:, :9].sum(axis=1) == 9).all()


def test_a_large_folder_is_weighed_in_blocks_that_add_up() -> None:
    resamples = resample([str(i) for i in range(30_000)], count=100)
    blocks = list(resamples.weights())
    assert max(block.nbytes for block in blocks) < 20e6
    assert sum(map(len, blocks)) == 101
    assert all((block.sum(axis=1) == 30_000).all() for block in blocks)


def test_an_interval_is_the_percentiles_of_the_defined_samples() -> None:
    samples = np.concatenate([[0.5], np.linspace(0, 1, 101), [np.nan]])
    of_defined = interval(samples)
    assert of_defined is not None
    assert (of_defined.value, of_defined.low, of_defined.high) == pytest.approx((0.5, 0.025, 0.975))
    assert interval(np.asarray([np.nan, 1.0])) is None
    assert interval(np.asarray([0.3, np.nan])) == Interval(0.3, 0.3, 0.3)


def test_the_interval_holds_the_truth_about_95_times_in_100_where_patients_cluster() -> None:
    random = np.random.default_rng(4)
    held, width, naive = 0, [], []
    for _ in range(200):
        chance = random.beta(4, 1, 80)  # of a right answer, each patient's own; .8 on average
        sizes = random.integers(1, 8, 80)
        right = (random.random(sizes.sum()) < np.repeat(chance, sizes)).astype(float)
        patients = [str(i) for i in np.repeat(np.arange(80), sizes)]
        for names, widths in ((patients, width), ([str(i) for i in range(len(right))], naive)):
            weights = all_weights(names, count=200)
            found = interval(weights @ right / weights.sum(axis=1))
            assert found is not None
            widths.append(found.high - found.low)
            held += names is patients and found.low <= 0.8 <= found.high
    assert 0.90 <= held / 200 <= 0.985
    assert np.mean(width) > 1.2 * np.mean(naive)


def test_a_share_of_all_or_none_is_not_certain() -> None:
    sure = exact_at_ends(Interval(1.0, 1.0, 1.0), 20)
    assert (sure.value, sure.high) == (1, 1)
    assert sure.low == pytest.approx(0.8316, abs=1e-4)  # Clopper-Pearson, 20 of 20
    none = exact_at_ends(Interval(0.0, 0.0, 0.0), 20)
    assert (none.low, none.high) == (0, pytest.approx(1 - 0.8316, abs=1e-4))
    usual = Interval(0.9, 0.8, 1.0)
    assert exact_at_ends(usual, 20) is usual


def test_a_paired_difference_is_taken_sample_by_sample() -> None:
    first = np.linspace(0, 1, 101)
    found = paired_difference(first, first + 0.1)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert paired_difference(np.asarray([np.nan, 1.0]), np.asarray([0.5, 1.0])) is None
    with_gap = paired_difference(np.asarray([0.5, np.nan, 0.5]), np.asarray([0.7, 0.6, 0.9]))
    assert with_gap is not None
    assert (with_gap.value, with_gap.low, with_gap.high) == pytest.approx((0.2, 0.4, 0.4))


def test_six_hundred_images_are_drawn_at_once() -> None:
    started = time.process_time()
    all_weights([str(i // 2) for i in range(600)])
    assert time.process_time() - started < 1
