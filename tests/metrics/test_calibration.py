"""Bins at their edges, the calibration error by hand and by scikit-learn's curve."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from cxr_edge.metrics import (
    BINS,
    Interval,
    bin_index,
    calibration_error,
    calibration_error_floor,
    reliability_bins,
    resample,
    share_intervals,
)


@pytest.mark.parametrize("tenth", range(11))
def test_a_tenth_opens_its_bin_and_the_number_below_it_closes_the_one_before(tenth: int) -> None:
    edge = float(f"0.{tenth}") if tenth < 10 else 1.0
    around = np.asarray([np.nextafter(edge, 0), edge, np.nextafter(edge, 1)])
    expected = [max(tenth - 1, 0), min(tenth, BINS - 1), min(tenth, BINS - 1)]
    assert bin_index(around).tolist() == (expected if tenth else [0, 0, 0])


def test_bins_of_equal_counts_hold_as_many_images() -> None:
    scores = np.random.default_rng(0).beta(5, 1, 200)
    counts = np.bincount(bin_index(scores, equal_counts=True), minlength=BINS)
    assert counts.tolist() == [20] * BINS
    assert np.bincount(bin_index(scores), minlength=BINS)[-1] > 60


@pytest.mark.parametrize("seed", range(4))
def test_bins_and_their_error_are_those_of_scikit_learns_curve(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.beta(0.6, 0.6, 80)
    truth = random.random(80) < scores**2
    bins = reliability_bins(truth, scores)
    filled = bins.counts > 0
    shares, means = calibration_curve(truth, scores, n_bins=BINS)
    np.testing.assert_allclose(bins.shares[filled], shares)
    np.testing.assert_allclose(bins.scores[filled], means)
    expected = np.sum(bins.counts[filled] * np.abs(shares - means)) / 80
    assert calibration_error(truth, scores, bin_index(scores))[0] == pytest.approx(expected)


def test_the_error_in_bins_of_equal_counts_is_that_of_scikit_learns_quantile_bins() -> None:
    random = np.random.default_rng(5)
    scores = random.beta(4, 1, 100)
    truth = random.random(100) < scores**2
    shares, means = calibration_curve(truth, scores, n_bins=BINS, strategy="quantile")
    error = calibration_error(truth, scores, bin_index(scores, equal_counts=True))[0]
    assert error == pytest.approx(np.abs(shares - means).mean())


def test_the_calibration_error_is_the_one_computed_by_hand() -> None:
    scores = np.asarray([0.05, 0.05, 0.95, 0.95, 0.95, 0.95, 1.0])
    truth = np.asarray([True, False, True, True, False, False, True])
    bins = bin_index(scores)
    assert bins.tolist() == [0, 0, 9, 9, 9, 9, 9]
    expected = (abs(2 * 0.05 - 1) + abs(4 * 0.95 + 1.0 - 3)) / 7
    assert calibration_error(truth, scores, bins)[0] == pytest.approx(expected)
    weights = np.asarray([[0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0]])
    expected = (2 * 0.05 + 0.05) / 3
    assert calibration_error(truth, scores, bins, weights)[0] == pytest.approx(expected)


def test_a_calibrated_model_shows_the_error_floor_and_an_overconfident_one_more() -> None:
    random = np.random.default_rng(3)
    scores = random.random(300)
    floor = calibration_error_floor(scores)
    truths = random.random((200, 300)) < scores
    shown = [calibration_error(t, scores, bin_index(scores))[0] for t in truths]
    assert floor == pytest.approx(np.mean(shown), abs=0.002) and floor > 0.03
    surer = np.clip(1.6 * (scores - 0.5) + 0.5, 0, 1)
    more = [calibration_error(t, surer, bin_index(surer))[0] for t in truths]
    assert np.mean(more) > 2 * calibration_error_floor(surer)


def test_the_reliability_diagram_holds_counts_means_and_shares() -> None:
    scores = np.asarray([0.01, 0.03, 0.55, 0.57, 0.95])
    truth = np.asarray([False, False, True, False, True])
    bins = reliability_bins(truth, scores)
    assert bins.counts.tolist() == [2, 0, 0, 0, 0, 2, 0, 0, 0, 1]
    assert bins.scores[[0, 5, 9]] == pytest.approx([0.02, 0.56, 0.95])
    assert bins.shares[[0, 5, 9]].tolist() == [0, 0.5, 1]
    assert np.isnan(bins.shares[1]) and np.isnan(bins.scores[1])
    shares = share_intervals(truth, bin_index(scores), resample([*"aabcd"]))
    assert [index for index, share in enumerate(shares) if share] == [0, 5, 9]
    assert shares[5] == Interval(0.5, 0, 1)
    # Two images of one patient who is well, one of another who is not: that says little.
    assert (shares[0].value, shares[0].low) == (0, 0)
    assert shares[0].high == pytest.approx(0.975)
    assert (shares[9].value, shares[9].high) == (1, 1)
    assert shares[9].low == pytest.approx(0.025)
