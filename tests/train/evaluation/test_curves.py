"""What of the curves goes into the document: few points that keep the shape, and every image."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from cxr_edge import documents
from cxr_edge.metrics import BINS, precision_recall_curve, resample, roc_area, roc_curve
from cxr_edge.spec import SEED_SPEC, ModelSpec
from cxr_edge.train.evaluation.curves import (
    TOLERANCE,
    precision_recall_points,
    reliability,
    roc_points,
    score_histogram,
    thin,
)
from cxr_edge.train.evaluation.scored import Scored, binary

SPEC = dataclasses.replace(SEED_SPEC, labels=("NORMAL", "PNEUMONIA"))
THREE = ModelSpec(
    name="three",
    input=SEED_SPEC.input,
    labels=("a", "b", "c"),
    activation="softmax",
    positive_label=None,
    threshold=None,
    threshold_choice="none",
)


def two(count: int) -> Scored:
    random = np.random.default_rng(1)
    labels = (random.random(count) < 0.4).astype(np.intp)
    scores = 1 / (1 + np.exp(-random.normal(4.0 * labels - 2, 1.8)))
    return Scored.from_scores(scores[:, None], labels, SPEC)


def three(count: int) -> Scored:
    random = np.random.default_rng(2)
    labels = random.integers(0, 3, count)
    logits = random.normal(0, 1, (count, 3)) + np.eye(3)[labels]
    table = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Scored.from_scores(table, labels, THREE)


def distances(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """From each of (K, 2) points to the nearest place on a line through (M, 2) points."""
    nearest = np.full(len(points), np.inf)
    for start, end in itertools.pairwise(line):
        along = end - start
        length = max(float(along @ along), 1e-30)
        share = ((points - start) @ along / length).clip(0, 1)
        gap = points - start - share[:, None] * along
        nearest = np.minimum(nearest, np.hypot(*gap.T))
    return nearest


@pytest.mark.parametrize("count", [40, 600, 10_000])
def test_thinned_curves_stay_within_the_tolerance_of_the_whole_ones(count: int) -> None:
    scored = two(count)
    truth, scores = binary(scored, SPEC)
    ((label, roc),) = roc_points(scored, SPEC).items()
    assert label == "PNEUMONIA"
    assert (roc.false_positive_rate[0], roc.true_positive_rate[0]) == (0, 0)
    assert (roc.false_positive_rate[-1], roc.true_positive_rate[-1]) == (1, 1)
    assert roc.thresholds[0] is None and None not in roc.thresholds[1:]
    area = np.trapezoid(roc.true_positive_rate, roc.false_positive_rate)
    assert area == pytest.approx(roc_area(truth, scores), abs=TOLERANCE)
    whole = roc_curve(truth, scores)
    points = np.stack([whole.false_positive_rate, whole.true_positive_rate], axis=1)
    kept = np.stack([roc.false_positive_rate, roc.true_positive_rate], axis=1)
    assert distances(points, kept).max() <= TOLERANCE + 1e-5
    (curve,) = precision_recall_points(scored, SPEC).values()
    whole_pr = precision_recall_curve(truth, scores)
    points = np.stack([whole_pr.recall, whole_pr.precision], axis=1)
    kept = np.stack([curve.recall, curve.precision], axis=1)
    assert distances(points, kept).max() <= TOLERANCE + 1e-5
    assert curve.share == pytest.approx(truth.mean())
    for thinned in (roc.thresholds[1:], curve.thresholds):
        assert list(thinned) == sorted(thinned, reverse=True)  # type: ignore[type-var]


def test_ten_thousand_images_stay_small() -> None:
    scored = two(10_000)
    points = roc_points(scored, SPEC), precision_recall_points(scored, SPEC)
    assert sum(len(documents.dump(each)) for each in points) < 40_000


def test_thinning_keeps_ends_and_corners() -> None:
    x = np.asarray([0, 0, 0, 0.5, 1.0, 1.0])
    y = np.asarray([0, 0.3, 0.9, 0.95, 1.0, 1.0])
    assert thin(x, y).tolist() == [0, 2, 5]
    assert thin(np.asarray([0.5]), np.asarray([1.0])).tolist() == [0]
    loop = np.asarray([0.0, 1.0, 0.0])
    assert thin(loop, np.zeros(3)).tolist() == [0, 1, 2]  # between a point and itself


def test_more_labels_have_a_curve_each_against_the_rest() -> None:
    scored = three(300)
    curves = roc_points(scored, THREE)
    assert list(curves) == list(precision_recall_points(scored, THREE)) == ["a", "b", "c"]
    for index, curve in enumerate(curves.values()):
        area = roc_area(scored.labels == index, scored.table[:, index])
        shown = np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
        assert shown == pytest.approx(area, abs=TOLERANCE)


@pytest.mark.parametrize(("scored", "spec"), [(two(200), SPEC), (three(200), THREE)])
def test_reliability_and_histogram_hold_every_image(scored: Scored, spec: ModelSpec) -> None:
    bins = reliability(scored, spec, resample([str(i // 2) for i in range(200)], count=50))
    assert len(bins) == BINS and sum(each.images for each in bins) == 200
    assert [(each.low, each.high) for each in bins] == [(i / 10, (i + 1) / 10) for i in range(10)]
    for each in bins:
        if each.images:
            assert each.score is not None and each.low <= each.score <= each.high
            assert each.share is not None and 0 <= each.share.low <= each.share.high <= 1
        else:
            assert each.score is None and each.share is None
    histogram = score_histogram(scored, spec)
    assert len(histogram.edges) == 51 and (histogram.edges[0], histogram.edges[-1]) == (0, 1)
    for index, name in enumerate(spec.labels):
        members = scored.labels == index
        assert sum(histogram.by_label[name]) == members.sum()
        assert sum(histogram.wrong[name]) == (members & (scored.decisions != index)).sum()


def test_empty_bins_are_null() -> None:
    scored = Scored.from_scores(np.asarray([[0.1], [0.95], [1.0]]), np.asarray([0, 1, 1]), SPEC)
    bins = reliability(scored, SPEC, resample(["x", "y", "z"]))
    assert [each.images for each in bins] == [0, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert bins[5].share is None and bins[9].score == pytest.approx(0.975)
    assert score_histogram(scored, SPEC).by_label["PNEUMONIA"][-3:] == (1, 0, 1)
