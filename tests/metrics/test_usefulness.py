"""Judging whether a model is of any use."""

import numpy as np
import pytest

from cxr_edge.metrics.usefulness import why_useless

NAMES = ("cat", "dog")


def judge(confusion: list[list[int]], auc: float | None) -> str | None:
    labels, decisions = [], []
    for label, row in enumerate(confusion):
        for decision, count in enumerate(row):
            labels += [label] * count
            decisions += [decision] * count
    return why_useless(np.array(labels), np.array(decisions), auc, names=NAMES)


def test_one_label_for_everything_is_useless_whatever_the_auc() -> None:
    assert judge([[0, 30], [0, 70]], 0.9) == "the model decides dog for all 100 images"


def test_an_auc_near_chance_is_useless() -> None:
    reason = judge([[40, 10], [30, 20]], 0.55)
    assert reason is not None
    assert "AUC is 0.550" in reason


def test_fewer_right_decisions_than_the_commonest_label_would_make_is_useless() -> None:
    reason = judge([[20, 10], [30, 40]], 0.65)
    assert reason == (
        "the model is right on 60 of 100 images; always saying dog would be right on 70"
    )


@pytest.mark.parametrize("confusion", ([[90, 10], [5, 95]], [[500, 400], [1, 99]]))
def test_a_model_that_separates_the_labels_is_of_use(confusion: list[list[int]]) -> None:
    """The second is less accurate than the commonest label by a threshold for sensitivity."""
    assert judge(confusion, 0.97) is None


def test_images_of_one_label_say_nothing() -> None:
    assert judge([[0, 0], [0, 9]], None) is None


def test_the_sentence_is_short_for_any_label() -> None:
    labels = np.array([0, 1])
    reason = why_useless(labels, np.zeros(2, np.intp), 0.5, names=("x" * 500, "y"))
    assert reason is not None
    assert len(reason) <= 200
