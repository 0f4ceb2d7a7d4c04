"""Decisions: what the numbers of a network mean, and which numbers are no answer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cxr_edge.decision import decide, positive_scores, probabilities, uncertain
from cxr_edge.errors import EngineError
from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec

SOFTMAX_2 = dataclasses.replace(SEED_SPEC, activation="softmax")
SOFTMAX_3 = ModelSpec(
    name="three",
    input=InputSpec(height=8, width=8),
    labels=("a", "b", "c"),
    activation="softmax",
    positive_label=None,
    threshold=None,
    threshold_choice="none",
)


def table(*rows: object, spec: ModelSpec = SEED_SPEC) -> np.ndarray:
    return probabilities(np.array(rows, np.float32).reshape(len(rows), -1), spec)


def labels(*rows: object, spec: ModelSpec = SEED_SPEC) -> list[str]:
    return [spec.labels[index] for index in decide(table(*rows, spec=spec), spec)]


def test_a_sigmoid_is_the_probability_of_the_second_label() -> None:
    np.testing.assert_allclose(table(0.25, 1.0), [[0.75, 0.25], [0.0, 1.0]])


def test_a_softmax_is_read_in_the_order_of_the_labels() -> None:
    np.testing.assert_allclose(table([0.25, 0.75], spec=SOFTMAX_2), [[0.25, 0.75]])
    assert labels([0.25, 0.75], [0.75, 0.25], spec=SOFTMAX_2) == ["NORMAL", "PNEUMONIA"]


def test_the_score_is_the_probability_of_the_positive_label_wherever_it_stands() -> None:
    first = positive_scores(table(0.25), SEED_SPEC)
    second_spec = dataclasses.replace(SEED_SPEC, positive_label="NORMAL")
    second = positive_scores(table(0.25, spec=second_spec), second_spec)
    assert (first[0], second[0]) == (0.75, 0.25)


def test_the_score_of_three_labels_is_the_largest_probability() -> None:
    assert positive_scores(table([0.25, 0.5, 0.25], spec=SOFTMAX_3), SOFTMAX_3)[0] == 0.5


def test_a_score_equal_to_the_threshold_is_positive_and_one_below_is_not() -> None:
    below = np.nextafter(np.float32(0.5), np.float32(1))  # of P(NORMAL)
    assert labels(0.5, below) == ["PNEUMONIA", "NORMAL"]
    spec = dataclasses.replace(SEED_SPEC, positive_label="NORMAL")
    assert labels(0.5, np.nextafter(np.float32(0.5), np.float32(0)), spec=spec) == [
        "NORMAL",
        "PNEUMONIA",
    ]


def test_the_threshold_is_that_of_the_spec() -> None:
    strict = dataclasses.replace(SEED_SPEC, threshold=0.75)
    assert labels(0.25, 0.375, spec=strict) == ["PNEUMONIA", "NORMAL"]


def test_a_threshold_at_either_end_decides_as_it_says() -> None:
    assert labels(0.0, 1.0, spec=dataclasses.replace(SEED_SPEC, threshold=0.0)) == ["PNEUMONIA"] * 2
    assert labels(0.0, 1e-3, spec=dataclasses.replace(SEED_SPEC, threshold=1.0)) == [
        "PNEUMONIA",
        "NORMAL",
    ]


def test_among_three_labels_the_most_probable_is_chosen() -> None:
    rows = [0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.375, 0.25, 0.375], [0.125, 0.25, 0.625]
    assert labels(*rows, spec=SOFTMAX_3) == ["a", "b", "a", "c"]


def test_rounding_just_outside_0_to_1_is_pulled_inside() -> None:
    np.testing.assert_array_equal(table(-5e-6, 1 + 5e-6), [[1.0, 0.0], [0.0, 1.0]])


@pytest.mark.parametrize("answer", [np.nan, np.inf, -np.inf, -2e-5, 1 + 2e-5, 1e30])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_number_that_is_no_probability_refuses_the_whole_answer(
    answer: float, place: int
) -> None:
    row = [0.5, 0.5, 0.5]
    row[place] = answer
    with pytest.raises(EngineError, match="no probability"):
        table(*row)


def test_a_softmax_with_nan_is_refused() -> None:
    with pytest.raises(EngineError, match="no probability"):
        table([0.5, 0.5, 0.0], [np.nan, 0.5, 0.5], spec=SOFTMAX_3)


@pytest.mark.parametrize("row", [[0.5, 0.5, 0.5], [0.0, 0.0, 0.0], [0.3, 0.3, 0.38]])
def test_a_softmax_that_does_not_sum_to_1_is_refused(row: list[float]) -> None:
    with pytest.raises(EngineError, match="sum to 1"):
        table([1.0, 0.0, 0.0], row, spec=SOFTMAX_3)


def test_a_softmax_as_coarse_as_a_quantized_one_is_accepted() -> None:
    assert labels([85 / 256, 85 / 256, 85 / 256 + 1 / 256], spec=SOFTMAX_3) == ["c"]


@pytest.mark.parametrize("shape", [(), (3,), (3, 2), (0, 2), (3, 1, 1)])
def test_an_answer_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(EngineError, match=r"expected \(N, 1\)"):
        probabilities(np.full(shape, 0.5, np.float32), SEED_SPEC)


def test_the_band_of_uncertainty_includes_its_lower_end_and_not_its_upper() -> None:
    spec = dataclasses.replace(SEED_SPEC, positive_label="NORMAL", uncertain_band=(0.25, 0.75))
    scores = np.array([[0.0], [0.2499], [0.25], [0.5], [0.7499], [0.75], [1.0]], np.float32)
    flags = uncertain(probabilities(scores, spec), spec)
    assert flags.tolist() == [False, False, True, True, True, False, False]


def test_the_band_is_one_of_the_positive_score() -> None:
    spec = dataclasses.replace(SEED_SPEC, uncertain_band=(0.75, 1.0))
    assert uncertain(table(0.25, 0.75, spec=spec), spec).tolist() == [True, False]


@pytest.mark.parametrize("spec", [SEED_SPEC, SOFTMAX_3], ids=["two labels", "three labels"])
def test_without_a_band_nothing_is_uncertain(spec: ModelSpec) -> None:
    row = 0.5 if spec.outputs == 1 else [0.25, 0.25, 0.5]
    assert uncertain(table(row, row, spec=spec), spec).tolist() == [False, False]
