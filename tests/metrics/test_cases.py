"""What truth, scores and weights may be, and what is said of anything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cxr_edge.metrics import (
    average_precision,
    bin_index,
    calibration_error,
    precision_recall_curve,
    rank_counts,
    reliability_bins,
    roc_area,
    roc_curve,
)

TRUTH = np.asarray([True, False, True, True, False, False])
SCORES = np.asarray([0.75, 0.25, 0.5, 0.25, 0.5, 0.125])  # exact in float32 too


def error(truth: Any, scores: Any) -> Any:
    return calibration_error(truth, scores, np.zeros(len(SCORES), np.intp))


FIGURES: list[Callable[[Any, Any], Any]] = [
    roc_area,
    average_precision,
    error,
    lambda truth, scores: roc_curve(truth, scores).true_positive_rate,
    lambda truth, scores: precision_recall_curve(truth, scores).precision,
    lambda truth, scores: reliability_bins(truth, scores).shares,
]


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32])
def test_truth_may_be_numbers_and_scores_of_any_precision(figure, kind):
    expected = figure(TRUTH, SCORES)
    assert np.array_equal(figure(TRUTH.astype(kind), SCORES.astype(np.float32)), expected, True)
    assert np.array_equal(figure(TRUTH.tolist(), SCORES.tolist()), expected, equal_nan=True)


def test_scores_may_be_whole_numbers():
    assert roc_area(TRUTH.astype(np.uint8), (8 * SCORES).astype(np.uint8)) == roc_area(
        TRUTH, SCORES
    )


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize(
    ("truth", "scores", "words"),
    [
        (TRUTH, np.where(TRUTH, SCORES, np.nan), "3 of 6 scores are NaN"),
        (TRUTH, SCORES[:5], "6 truths for 5 scores"),
        ([], [], "at least 1"),
        (TRUTH * 2, SCORES, "other values than 0 and 1"),
        (TRUTH[:, np.newaxis], SCORES, "expected"),
    ],
)
def test_anything_else_is_refused_with_a_plain_message(figure, truth, scores, words):
    with pytest.raises(ValueError, match=words):
        figure(truth, scores)


@pytest.mark.parametrize("scores", [[], [np.nan, 0.5]])
@pytest.mark.parametrize("equal_counts", [False, True])
def test_bins_need_scores(scores, equal_counts):
    with pytest.raises(ValueError, match=r"scores (have the shape|are NaN)|of 2 scores"):
        bin_index(scores, equal_counts=equal_counts)


def test_a_sample_without_a_case_is_nan_and_warns_of_nothing():
    weights = np.asarray([[0.0] * 6, [1.0] * 6])
    errors = calibration_error(TRUTH, SCORES, bin_index(SCORES), weights)
    assert np.isnan(errors[0]) and np.isfinite(errors[1])
    counts = rank_counts(TRUTH, SCORES, weights)
    for values in (counts.roc_area(), counts.average_precision(), counts.specificity_at(0.95)):
        assert np.isnan(values[0]) and np.isfinite(values[1])


def test_weights_of_other_cases_are_refused():
    with pytest.raises(ValueError, match=r"expected \(samples, 6\)"):
        rank_counts(TRUTH, SCORES, np.ones((3, 5)))
