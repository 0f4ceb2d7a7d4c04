"""Curves and areas against scikit-learn, on drawn scores with and without ties."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn import metrics

from cxr_edge.metrics import (
    average_precision,
    precision_recall_curve,
    rank_counts,
    resample,
    roc_area,
    roc_curve,
)

DIGITS = [1, 2, 12]  # of the scores: many ties, some, none


def drawn(seed: int, digits: int, count: int = 120) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.random(count) < 0.4
    scores = 1 / (1 + np.exp(-random.normal(2.0 * truth - 1, 1.5)))
    return truth, scores.round(digits)


@pytest.mark.parametrize("digits", DIGITS)
@pytest.mark.parametrize("seed", range(5))
def test_area_and_average_precision_are_those_of_scikit_learn(seed: int, digits: int) -> None:
    truth, scores = drawn(seed, digits)
    assert roc_area(truth, scores) == pytest.approx(metrics.roc_auc_score(truth, scores))
    expected = metrics.average_precision_score(truth, scores)
    assert average_precision(truth, scores) == pytest.approx(expected)


@pytest.mark.parametrize("digits", DIGITS)
def test_the_roc_curve_is_that_of_scikit_learn(digits: int) -> None:
    truth, scores = drawn(7, digits)
    curve = roc_curve(truth, scores)
    expected = metrics.roc_curve(truth, scores, drop_intermediate=False)
    points = (curve.false_positive_rate, curve.true_positive_rate, curve.thresholds)
    for values, their_values in zip(points, expected, strict=True):
        np.testing.assert_allclose(values, their_values)
    enclosed = np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
    assert enclosed == pytest.approx(roc_area(truth, scores))


@pytest.mark.parametrize("digits", DIGITS)
def test_the_precision_recall_curve_is_that_of_scikit_learn(digits: int) -> None:
    truth, scores = drawn(8, digits)
    curve = precision_recall_curve(truth, scores)
    precision, recall, thresholds = metrics.precision_recall_curve(truth, scores)
    np.testing.assert_allclose(curve.precision, precision[-2::-1])
    np.testing.assert_allclose(curve.recall, recall[-2::-1])
    np.testing.assert_allclose(curve.thresholds, thresholds[::-1])


@pytest.mark.parametrize("digits", DIGITS)
def test_the_area_of_a_weighted_sample_is_that_of_its_images(digits: int) -> None:
    truth, scores = drawn(9, digits)
    resamples = resample([str(i // 3) for i in range(len(truth))], count=25)
    weights = np.concatenate(list(resamples.weights()))
    areas = roc_area(truth, scores, weights)
    expected = [metrics.roc_auc_score(truth[i], scores[i]) for i in resamples.indices()]
    np.testing.assert_allclose(areas, expected)


def test_the_area_by_hand() -> None:
    truth = np.asarray([True, True, False, False])
    assert roc_area(truth, np.asarray([0.9, 0.8, 0.2, 0.1])) == 1
    assert roc_area(truth, np.asarray([0.1, 0.2, 0.8, 0.9])) == 0
    assert roc_area(truth, np.asarray([0.5, 0.5, 0.5, 0.5])) == 0.5
    assert roc_area(truth, np.asarray([0.5, 0.9, 0.5, 0.1])) == 3.5 / 4  # one tie of four pairs


@pytest.mark.parametrize("only", [True, False])
def test_one_kind_of_case_has_no_area_and_no_curve(only: bool) -> None:
    truth, scores = np.full(3, only), np.asarray([0.1, 0.5, 0.5])
    assert np.isnan(roc_area(truth, scores))
    assert np.isnan(rank_counts(truth, scores).specificity_at(0.95)[0])
    with pytest.raises(ValueError, match="positive and negative"):
        roc_curve(truth, scores)
    if not only:
        assert np.isnan(average_precision(truth, scores))
        with pytest.raises(ValueError, match="needs positive"):
            precision_recall_curve(truth, scores)


def test_nothing_but_numpy_is_imported() -> None:
    code = (
        "import sys, cxr_edge.metrics as m; m.roc_area; "
        "print(sorted({'scipy', 'sklearn', 'cv2', 'onnxruntime', 'pandas'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
