"""Parity on the level of decisions: which changed, and what that costs where truth is known."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from cxr_edge.decision import decide, decision_margins, probabilities
from cxr_edge.errors import EngineError
from cxr_edge.export import decisions
from cxr_edge.export.decisions import Flip, auc, auc_drop, compare_decisions
from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec

# The sigmoid is P(NORMAL) and PNEUMONIA, labels[0], is the positive one.
SPEC = dataclasses.replace(SEED_SPEC, threshold=0.4)
SOFTMAX_3 = ModelSpec(
    name="three",
    input=InputSpec(height=8, width=8),
    labels=("a", "b", "c"),
    activation="softmax",
    positive_label=None,
    threshold=None,
    threshold_choice="none",
)


RESAMPLES = 100
"""A tenth of the bootstrap samples, to be quick."""


def column(*scores: float) -> np.ndarray:
    return np.array(scores, np.float32)[:, np.newaxis]


def drawn(count: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, an original model that is often right, and an export that differs from it."""
    random = np.random.default_rng(5)
    labels = random.integers(0, 2, count)
    original = 1 / (1 + np.exp(-random.normal(2.0 * labels - 1, 1.2)))
    exported = np.clip(original + random.normal(0, noise, count), 0, 1)
    return labels, column(*original), column(*exported)


def drawn_3(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Likewise for three labels."""
    random = np.random.default_rng(6)
    labels = random.integers(0, 3, count)
    logits = random.normal(0, 1, (count, 3)) + np.eye(3)[labels]
    changed = logits + random.normal(0, 0.5, (count, 3))
    original, exported = (
        np.exp(each) / np.exp(each).sum(axis=1, keepdims=True) for each in (logits, changed)
    )
    return labels, original.astype(np.float32), exported.astype(np.float32)


def test_a_changed_decision_is_listed_with_its_file_scores_and_margin() -> None:
    # Threshold 0.4 on P(PNEUMONIA) = 1 - sigmoid: the second and the last cross it.
    original, exported = column(0.1, 0.55, 0.9, 0.65), column(0.15, 0.7, 0.95, 0.5)
    result = compare_decisions(original, exported, SPEC, names=("w", "x", "y", "z"))
    assert [flip.name for flip in result.flips] == ["x", "z"]
    first, last = result.flips
    assert dataclasses.astuple(first)[1:] == pytest.approx((0.45, 0.3, 0.05), abs=1e-6)
    assert dataclasses.astuple(last)[1:] == pytest.approx((0.35, 0.5, 0.05), abs=1e-6)
    assert result.parity.flips == 2 and result.parity.inputs == 4
    assert result.labelled is None


def test_an_input_without_a_file_is_called_by_its_number() -> None:
    result = compare_decisions(column(0.1, 0.9), column(0.1, 0.2), SPEC)
    assert [flip.name for flip in result.flips] == ["input 1"]


def test_a_model_compared_with_itself_changes_nothing() -> None:
    scores = column(0.1, 0.4, 0.9, 0.9)
    result = compare_decisions(scores, scores, SPEC)
    assert result.flips == () and result.parity.max_abs_delta == 0.0


def test_the_99th_percentile_of_the_differences_is_numpys() -> None:
    _, original, exported = drawn(300, 0.05)
    found = compare_decisions(original, exported, SPEC).parity
    delta = np.abs(original.astype(np.float64) - exported)
    assert found.p99_abs_delta == np.quantile(delta, 0.99)
    assert found.mean_abs_delta < found.p99_abs_delta < found.max_abs_delta


def test_distinct_scores_count_the_exported_files_answers() -> None:
    result = compare_decisions(column(0.1, 0.2, 0.3, 0.4), column(0.1, 0.1, 0.3, 0.3), SPEC)
    assert result.distinct_scores == 2


def test_distinct_scores_of_three_labels_are_whole_answers() -> None:
    answers = np.array([[0.5, 0.3, 0.2], [0.5, 0.2, 0.3], [0.5, 0.3, 0.2]], np.float32)
    assert compare_decisions(answers, answers, SOFTMAX_3).distinct_scores == 2


@pytest.mark.parametrize("broken", [0, 1], ids=["original", "exported"])
def test_an_answer_that_is_not_a_number_is_an_engine_error(broken: int) -> None:
    pair = [column(0.1, 0.9), column(0.1, 0.9)]
    pair[broken][1] = np.nan
    with pytest.raises(EngineError, match="no probability"):
        compare_decisions(*pair, SPEC)


def test_the_auc_of_two_labels_is_that_of_the_positive_one() -> None:
    labels, scores, _ = drawn(100, 0.0)
    table = probabilities(scores, SPEC)
    expected = roc_auc_score(labels == 0, 1 - scores.astype(np.float64)[:, 0])
    assert auc(table, labels, SPEC) == pytest.approx(expected)
    assert expected > 0.7  # the sigmoid rises with label 1: the wrong column would give < 0.3


def test_the_auc_is_the_same_when_the_other_label_is_positive() -> None:
    labels, scores, _ = drawn(100, 0.0)
    other = dataclasses.replace(SPEC, positive_label="NORMAL")
    found = auc(probabilities(scores, other), labels, other)
    assert found == pytest.approx(roc_auc_score(labels == 1, scores[:, 0]))


def test_the_auc_of_three_labels_is_the_mean_of_one_against_the_rest() -> None:
    labels, scores, _ = drawn_3(90)
    table = probabilities(scores, SOFTMAX_3)
    sums = table.sum(axis=1, keepdims=True)
    expected = roc_auc_score(labels, table / sums, multi_class="ovr", average="macro")
    assert auc(table, labels, SOFTMAX_3) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("only", [0, 1])
def test_where_one_label_occurs_there_is_no_auc(only: int) -> None:
    scores = column(0.1, 0.6, 0.9)
    assert auc(probabilities(scores, SPEC), np.full(3, only), SPEC) is None


def test_where_one_of_three_labels_is_missing_there_is_no_auc() -> None:
    labels, scores, _ = drawn_3(30)
    two = labels < 2
    assert auc(probabilities(scores[two], SOFTMAX_3), labels[two], SOFTMAX_3) is None


def test_the_change_of_the_auc_is_the_difference_of_scikit_learns() -> None:
    labels, original, exported = drawn(150, 0.2)
    found = compare_decisions(original, exported, SPEC, labels=labels, resamples=RESAMPLES).labelled
    assert found is not None and found.auc is not None
    areas = [roc_auc_score(labels == 0, 1 - s.astype(np.float64)) for s in (original, exported)]
    assert [found.auc.original, found.auc.exported] == pytest.approx(areas)
    assert found.auc.difference == pytest.approx(areas[1] - areas[0])
    assert found.auc.difference != 0


def test_recall_is_the_share_of_each_label_that_is_found() -> None:
    labels, original, exported = drawn(150, 0.2)
    found = compare_decisions(original, exported, SPEC, labels=labels, resamples=RESAMPLES).labelled
    assert found is not None and list(found.recall) == ["PNEUMONIA", "NORMAL"]
    for model, attribute in ((original, "original"), (exported, "exported")):
        positive = 1 - model[:, 0].astype(np.float64) >= 0.4
        sensitivity = np.mean(positive[labels == 0])
        specificity = np.mean(~positive[labels == 1])
        assert getattr(found.recall["PNEUMONIA"], attribute) == sensitivity
        assert getattr(found.recall["NORMAL"], attribute) == specificity
        assert sensitivity != specificity


def test_mcnemars_p_is_the_exact_binomial_of_the_discordant_images() -> None:
    # Label 1 throughout but once: the export loses six of them and gains one.
    original = column(*[0.9] * 6, 0.1, 0.9, 0.1)
    exported = column(*[0.1] * 6, 0.9, 0.9, 0.1)
    labels = np.array([1] * 8 + [0])
    found = compare_decisions(original, exported, SPEC, labels=labels, resamples=RESAMPLES).labelled
    assert found is not None
    assert (found.only_original_right, found.only_exported_right) == (6, 1)
    assert found.mcnemar_p == pytest.approx(binomtest(1, 7, 0.5).pvalue) == pytest.approx(0.125)


def test_where_no_image_is_discordant_mcnemars_p_is_one() -> None:
    scores = column(0.1, 0.9)
    found = compare_decisions(
        scores, scores, SPEC, labels=np.array([0, 1]), resamples=RESAMPLES
    ).labelled
    assert found is not None and found.mcnemar_p == 1.0


def test_images_of_one_label_have_no_auc_but_a_recall() -> None:
    found = compare_decisions(
        column(0.1, 0.2, 0.9),
        column(0.1, 0.9, 0.9),
        SPEC,
        labels=np.zeros(3, np.intp),
        resamples=RESAMPLES,
    ).labelled
    assert found is not None and found.auc is None
    assert list(found.recall) == ["PNEUMONIA"]
    assert found.recall["PNEUMONIA"].original == pytest.approx(2 / 3)
    assert found.recall["PNEUMONIA"].exported == pytest.approx(1 / 3)


def test_three_labels_are_compared_by_the_largest_probability() -> None:
    labels, original, exported = drawn_3(60)
    names = tuple(f"{number}.png" for number in range(60))
    result = compare_decisions(
        original, exported, SOFTMAX_3, names=names, labels=labels, resamples=RESAMPLES
    )
    changed = np.flatnonzero(original.argmax(axis=1) != exported.argmax(axis=1))
    assert len(changed) > 3
    assert [flip.name for flip in result.flips] == [names[i] for i in changed]
    ordered = np.sort(original.astype(np.float64), axis=1)
    first = changed[0]
    assert result.flips[0] == Flip(
        names[first],
        float(original[first].max()),
        float(exported[first].max()),
        (ordered[first, 2] - ordered[first, 1]) / 2,
    )
    assert result.labelled is not None
    right = original.argmax(axis=1) == labels
    assert {name: change.original for name, change in result.labelled.recall.items()} == {
        name: np.mean(right[labels == index]) for index, name in enumerate("abc")
    }


def test_the_interval_of_a_clear_change_holds_it_and_leaves_out_zero() -> None:
    labels = np.arange(200) % 2
    original = column(*np.where(labels == 1, 0.9, 0.1))
    wrong = np.arange(200) % 10 == 0  # every fifth of label 0 is answered as the other
    exported = column(*np.where(wrong, 0.95, original[:, 0]))
    found = compare_decisions(original, exported, SPEC, labels=labels, resamples=RESAMPLES).labelled
    assert found is not None and found.auc is not None
    for change in (found.auc, found.recall["PNEUMONIA"]):
        assert change.low < change.difference < change.high < 0
    assert found.recall["PNEUMONIA"].difference == pytest.approx(-0.2)
    unchanged = found.recall["NORMAL"]
    assert (unchanged.low, unchanged.difference, unchanged.high) == (0, 0, 0)


def test_the_bootstrap_draws_patients_so_that_copies_of_an_image_add_no_certainty() -> None:
    labels, original, exported = drawn(40, 0.3)
    four = [np.repeat(each, 4, axis=0) for each in (original, exported, labels)]
    names = [f"{patient}_{image}.png" for patient in range(40) for image in range(4)]

    def change(*, by_patient: bool) -> tuple[int, decisions.Change]:
        def group_of(file: Path) -> str:
            return file.name.split("_")[0] if by_patient else file.name

        found = compare_decisions(
            four[0],
            four[1],
            SPEC,
            names=names,
            labels=four[2],
            group_of=group_of,
            resamples=RESAMPLES,
        ).labelled
        assert found is not None and found.auc is not None
        return found.patients, found.auc

    patients, merged = change(by_patient=True)
    images, apart = change(by_patient=False)
    assert (patients, images) == (40, 160)
    assert merged.difference == apart.difference
    # Four copies count as four patients where groups are ignored: half the width.
    assert merged.high - merged.low > 1.5 * (apart.high - apart.low) > 0
    single = compare_decisions(
        original, exported, SPEC, labels=labels, resamples=RESAMPLES
    ).labelled
    assert single is not None and single.auc is not None
    assert (merged.low, merged.high) == pytest.approx((single.auc.low, single.auc.high))


def test_the_margin_of_two_labels_is_the_distance_from_the_threshold() -> None:
    table = probabilities(column(0.1, 0.6, 0.75, 1.0), SPEC)  # P(PNEUMONIA) .9 .4 .25 0
    np.testing.assert_allclose(decision_margins(table, SPEC), [0.5, 0.0, 0.15, 0.4], atol=1e-6)


def test_the_margin_of_three_labels_is_half_the_lead_of_the_largest() -> None:
    scores = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.4, 0.4, 0.2]], np.float32)
    table = probabilities(scores, SOFTMAX_3)
    margins = decision_margins(table, SOFTMAX_3)
    np.testing.assert_allclose(margins, [0.1, 0.25, 0.0], atol=1e-6)
    # A change by less than the margin in each score leaves the decision, a bit more changes it.
    for step, kept in ((0.099, True), (0.101, False)):
        moved = table[:1] + np.array([[-step, step, 0.0]])
        assert bool(decide(moved, SOFTMAX_3)[0] == 0) is kept


def test_scores_that_collapse_to_one_on_each_side_lose_what_the_ties_hide() -> None:
    """No decision changes and each score moves a little; which image is worse is lost."""
    labels = np.array([0, 1] * 20)  # PNEUMONIA is the positive one
    order = np.linspace(0.36, 0.44, 40)
    original = column(*(1 - np.where(labels == 0, order + 0.1, order)))
    above = original[:, 0] <= 1 - SPEC.threshold
    collapsed = column(*np.where(above, original[above].mean(), original[~above].mean()))
    assert (decide(probabilities(collapsed, SPEC), SPEC) == np.where(above, 0, 1)).all()
    expected = [roc_auc_score(labels == 0, 1 - scores[:, 0]) for scores in (original, collapsed)]
    drop = auc_drop(original, collapsed, labels, SPEC)
    assert drop == pytest.approx(expected[0] - expected[1]) and drop > 0.1
    everything_tied = np.full_like(original, 0.5)
    assert auc_drop(original, everything_tied, labels, SPEC) == pytest.approx(expected[0] - 0.5)
