"""Every figure against scikit-learn or numbers computed by hand, weighted and not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn import metrics

from cxr_edge.metrics import resample
from cxr_edge.metrics.evaluation import CURVE_SPECIFICITY
from cxr_edge.spec import SEED_SPEC, ModelSpec
from cxr_edge.train.evaluation.figures import compute_figures, compute_series
from cxr_edge.train.evaluation.scored import Scored

SPEC = dataclasses.replace(SEED_SPEC, labels=("NORMAL", "PNEUMONIA"), threshold=0.6)
THREE = ModelSpec(
    name="three",
    input=SEED_SPEC.input,
    labels=("a", "b", "c"),
    activation="softmax",
    positive_label=None,
    threshold=None,
    threshold_choice="none",
)


def drawn(count: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """Truth, and P(PNEUMONIA) with many ties."""
    random = np.random.default_rng(1)
    truth = random.random(count) < 0.4
    scores = (1 / (1 + np.exp(-random.normal(2.0 * truth - 1, 1.5)))).round(2)
    return truth, scores


def scored_two(truth: np.ndarray, scores: np.ndarray) -> Scored:
    return Scored.from_scores(scores[:, None], truth.astype(np.intp), SPEC)


def test_the_figures_of_all_images_and_of_samples_are_scikit_learns() -> None:
    truth, scores = drawn()
    scored = scored_two(truth, scores)
    resamples = resample([str(i // 2) for i in range(len(truth))], count=20)
    found = compute_figures(scored, SPEC, resamples).samples
    assert all(values.shape == (21,) for values in found.values())
    for row, chosen in enumerate(resamples.indices()):
        t, p, d = truth[chosen], scores[chosen], scores[chosen] >= 0.6
        expected = {
            "accuracy": metrics.accuracy_score(t, d),
            "auc": metrics.roc_auc_score(t, p),
            "sensitivity": metrics.recall_score(t, d),
            "specificity": metrics.recall_score(~t, ~d),
            "precision": metrics.precision_score(t, d),
            "f1": metrics.f1_score(t, d),
            "average precision": metrics.average_precision_score(t, p),
            "brier": metrics.brier_score_loss(t, p),
            "loss": metrics.log_loss(t, p),
        }
        alarms, hits, _ = metrics.roc_curve(t, p, drop_intermediate=False)
        k = int(np.argmax(hits >= 0.95 - 1e-9))  # where it is reached first
        at = np.interp(0.95, hits[k - 1 : k + 1], alarms[k - 1 : k + 1])
        expected[CURVE_SPECIFICITY] = 1 - at
        assert {n: found[n][row] for n in expected} == pytest.approx(expected, abs=1e-6)


def test_the_figures_of_three_labels_are_scikit_learns() -> None:
    random = np.random.default_rng(2)
    labels = random.integers(0, 3, 90)
    logits = random.normal(0, 1, (90, 3)) + np.eye(3)[labels]
    table = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scored = Scored.from_scores(table, labels, THREE)
    samples = compute_figures(scored, THREE, resample(["x"] * 90)).samples
    found = {name: values[0] for name, values in samples.items()}
    decided = table.argmax(axis=1)
    expected = {
        "accuracy": metrics.accuracy_score(labels, decided),
        "auc": metrics.roc_auc_score(labels, table, multi_class="ovr"),
        "brier": np.mean(((table - np.eye(3)[labels]) ** 2).sum(axis=1)),
    }
    for i, name in enumerate("abc"):
        expected[f"auc {name}"] = metrics.roc_auc_score(labels == i, table[:, i])
        expected[f"recall {name}"] = np.mean(decided[labels == i] == i)
    assert {n: found[n] for n in expected} == pytest.approx(expected)
    assert "sensitivity" not in found


def test_specificity_at_a_sensitivity_is_read_between_the_points_of_the_curve() -> None:
    # 10 sick, the surest 9 above all well ones, the last below 3 of 4 of them: the curve rises
    # from (0, .9) to (.75, .9) and then to (.75, 1).
    truth = np.asarray([True] * 9 + [False] * 3 + [True, False])
    scores = np.linspace(0.95, 0.05, 14)
    found = compute_figures(scored_two(truth, scores), SPEC, resample(["x"] * 14)).samples
    assert found[CURVE_SPECIFICITY][0] == pytest.approx(0.25)
    tied = scores.copy()
    tied[9:13] = 0.3  # three well and a sick one alike: a slope from (0, .9) to (.75, 1)
    found = compute_figures(scored_two(truth, tied), SPEC, resample(["x"] * 14)).samples
    assert found[CURVE_SPECIFICITY][0] == pytest.approx(1 - 0.375)


def test_a_sample_without_a_label_has_no_area_and_does_not_disturb_the_others() -> None:
    truth = np.asarray([True, False])
    scores = np.asarray([0.8, 0.3])
    found = compute_figures(scored_two(truth, scores), SPEC, resample(["a", "b"], count=40)).samples
    for name in ("auc", "average precision", CURVE_SPECIFICITY):
        assert found[name][0] == 1
        assert np.isnan(found[name]).any() and not np.isnan(found[name]).all()


def test_each_series_has_its_own_accuracy_over_its_own_patients() -> None:
    truth = np.array([True, True, True, False, False, False, False])
    scores = np.array([0.9, 0.2, 0.7, 0.1, 0.1, 0.8, 0.1])
    series = ["v", "v", "v", "n", "n", "n", ""]
    resamples = resample(["1", "1", "2", "3", "4", "5", "6"], count=200)
    figures = compute_series(scored_two(truth, scores), series, resamples)
    assert list(figures) == ["(none)", "n", "v"]
    assert figures["(none)"].images == 1
    assert compute_series(scored_two(truth, scores), [""] * 7, resamples) == {}
    assert (figures["v"].images, figures["v"].patients) == (3, 2)
    assert figures["v"].accuracy.value == pytest.approx(2 / 3)
    assert figures["n"].accuracy.value == pytest.approx(2 / 3)
    assert figures["v"].accuracy.low == pytest.approx(0.5)  # patient 1 alone
    assert figures["n"].accuracy.low < 0.5
