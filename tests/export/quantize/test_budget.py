"""The budget: how many decisions, how much of a score and how much AUC may be lost."""

from __future__ import annotations

import math

import pytest

from cxr_edge.bundle.proofs import Parity
from cxr_edge.errors import UsageError
from cxr_edge.export.quantize.budget import Budget


def parity(*, inputs: int = 200, flips: int = 0, delta: float = 0.0) -> Parity:
    return Parity(
        inputs=inputs, max_abs_delta=delta, mean_abs_delta=0.0, p99_abs_delta=0.0, flips=flips
    )


@pytest.mark.parametrize(
    ("images", "allowed"), [(0, 1), (1, 1), (199, 1), (200, 1), (399, 1), (400, 2), (624, 3)]
)
def test_one_decision_in_200_may_change_rounded_down_but_at_least_one(
    images: int, allowed: int
) -> None:
    assert Budget().flips(images) == allowed


def test_a_number_of_decisions_that_was_given_holds_whatever_the_number_of_images() -> None:
    budget = Budget(max_flips=4)
    assert [budget.flips(images) for images in (1, 200, 10_000)] == [4, 4, 4]
    assert Budget(max_flips=0).flips(10_000) == 0


def test_on_golden_inputs_no_decision_may_change_and_the_rest_is_as_it_was() -> None:
    budget = Budget(max_flips=7, max_delta_p=0.02, max_auc_drop=0.001)
    assert budget.on_golden() == Budget(max_flips=0, max_delta_p=0.02, max_auc_drop=0.001)
    assert [Budget().on_golden().flips(images) for images in (1, 32, 10_000)] == [0, 0, 0]
    found = Budget().on_golden().excess(parity(inputs=32, flips=1), None)
    assert found == "1 decisions changed, allowed 0"


def test_what_is_just_allowed_exceeds_nothing() -> None:
    assert Budget().excess(parity(flips=1, delta=0.05), 0.005) == ""


def test_a_decision_too_many_is_named_with_what_is_allowed() -> None:
    assert Budget().excess(parity(flips=2), 0.0) == "2 decisions changed, allowed 1"
    assert Budget().excess(parity(inputs=8, flips=2), None) == "2 decisions changed, allowed 1"
    assert Budget().excess(parity(inputs=599, flips=3), None) == "3 decisions changed, allowed 2"
    assert Budget().excess(parity(inputs=600, flips=3), None) == ""
    none = Budget(max_flips=0).excess(parity(flips=1), None)
    assert none == "1 decisions changed, allowed 0"


def test_a_score_that_moved_too_far_is_named() -> None:
    found = Budget(max_delta_p=0.01).excess(parity(delta=0.0123), None)
    assert found == "max |Δscore| 0.012, allowed 0.01"


def test_an_auc_that_fell_too_far_is_named_and_one_that_rose_is_not() -> None:
    assert Budget().excess(parity(), 0.02) == "AUC fell by 0.02, allowed 0.005"
    assert Budget().excess(parity(), -0.02) == ""


def test_where_labels_are_unknown_no_auc_is_missed() -> None:
    assert Budget(max_auc_drop=0.0).excess(parity(), None) == ""


def test_everything_that_exceeds_is_named_at_once() -> None:
    found = Budget(max_flips=0).excess(parity(flips=3, delta=0.5), 0.25)
    assert found == (
        "3 decisions changed, allowed 0; max |Δscore| 0.5, allowed 0.05; "
        "AUC fell by 0.25, allowed 0.005"
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_flips": -1}, "--max-flips is -1"),
        ({"max_delta_p": -0.001}, r"--max-delta-p is -0\.001"),
        ({"max_delta_p": 1.001}, r"--max-delta-p is 1\.001"),
        ({"max_delta_p": math.nan}, "--max-delta-p is nan"),
        ({"max_auc_drop": -0.001}, r"--max-auc-drop is -0\.001"),
        ({"max_auc_drop": math.inf}, "--max-auc-drop is inf"),
    ],
    ids=str,
)
def test_a_number_that_is_no_limit_is_refused_as_a_wrong_call(
    wrong: dict[str, float], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Budget(**wrong)
    assert caught.value.exit_code == 2


def test_the_ends_of_the_range_are_limits() -> None:
    none, every = Parity(10, 0.0, 0.0, 0.0, 0), Parity(10, 1.0, 1.0, 1.0, 0)
    assert not Budget(max_flips=0, max_delta_p=0, max_auc_drop=0).excess(none, 0.0)
    assert not Budget(max_flips=0, max_delta_p=1, max_auc_drop=1).excess(every, 1.0)
