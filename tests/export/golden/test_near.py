"""Inputs near a change of decision: pairs on either side of it, of whatever the model allows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.decision import Scores, decide, decision_margins, probabilities
from cxr_edge.export.golden.near import DISTANCES, draw_near, some_of_each
from cxr_edge.preprocess import Pixels
from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec

SIGMOID = dataclasses.replace(SEED_SPEC, input=InputSpec(height=16, width=16), threshold=0.3)
SOFTMAX = dataclasses.replace(
    SIGMOID,
    labels=("a", "b", "c"),
    activation="softmax",
    positive_label=None,
    threshold=None,
    threshold_choice="none",
)
WANTED = 2 * sum(DISTANCES.values())


def levels(pixels: Pixels) -> np.ndarray:
    """(N,) mean of each picture, 0..1."""
    return pixels.reshape(len(pixels), -1).mean(axis=1) / 255


def smooth(pixels: Pixels) -> Scores:
    return np.float32(1 / (1 + np.exp(-12 * (levels(pixels) - 0.5))))[:, np.newaxis]


def jump(pixels: Pixels) -> Scores:
    return np.float32(np.where(levels(pixels) > 0.5, 0.99, 0.01))[:, np.newaxis]


def three(pixels: Pixels) -> Scores:
    """Dark is a, grey is b, bright is c."""
    values = levels(pixels)
    logits = np.stack([-20 * np.abs(values - place) for place in (0.2, 0.5, 0.8)], axis=1)
    exponents = np.exp(logits)
    return np.float32(exponents / exponents.sum(axis=1, keepdims=True))


def golden_of(score: Callable[[Pixels], Scores], low: int = 20, high: int = 235) -> GoldenSet:
    random = np.random.default_rng(5)
    means = np.linspace(low, high, 24)[:, np.newaxis, np.newaxis, np.newaxis]
    pixels = np.uint8(np.clip(means + random.normal(0, 20, (24, 16, 16, 1)), 0, 255))
    return GoldenSet(pixels, score(pixels))


@pytest.mark.parametrize(("spec", "score"), [(SIGMOID, smooth), (SOFTMAX, three)])
def test_pairs_lie_on_either_side_of_a_decision_and_close_to_each_other(
    spec: ModelSpec, score: Callable[[Pixels], Scores]
) -> None:
    near = draw_near(golden_of(score), score, spec)
    assert near and near.pixels.dtype == np.uint8
    assert near.pixels.shape == (WANTED, *spec.input_shape)
    assert np.array_equal(near.scores, score(near.pixels))
    table = probabilities(near.scores, spec)
    decisions, margins = decide(table, spec).reshape(-1, 2), decision_margins(table, spec)
    assert (decisions[:, 0] != decisions[:, 1]).all()
    if spec is SOFTMAX:
        assert {frozenset(pair) for pair in decisions.tolist()} == {
            frozenset({0, 1}),
            frozenset({1, 2}),
        }
    first = 2 * next(iter(DISTANCES.values()))
    assert margins[:first].max() <= 0.018 and margins.min() >= 0.006
    assert margins[first:].min() >= 0.0175 and margins.max() <= 0.0525
    apart = np.abs(near.pixels[::2].astype(int) - near.pixels[1::2])
    assert apart.max() <= 32  # grey levels


def test_the_same_inputs_are_drawn_every_time() -> None:
    drawn = [draw_near(golden_of(smooth), smooth, SIGMOID) for _ in range(2)]
    assert drawn[0] and drawn[1] and np.array_equal(drawn[0].pixels, drawn[1].pixels)


@pytest.mark.parametrize(
    ("score", "low"), [(jump, 20), (smooth, 170)], ids=["it jumps", "it decides all alike"]
)
def test_a_model_without_such_inputs_gets_none(score: Callable[[Pixels], Scores], low: int) -> None:
    assert draw_near(golden_of(score, low), score, SIGMOID) is None


def test_inputs_that_may_not_be_used_are_left_out_with_their_pairs() -> None:
    asked: list[int] = []

    def only_some(pixels: Pixels) -> np.ndarray:
        asked.append(len(pixels))
        return np.arange(len(pixels)) != 1

    near = draw_near(golden_of(smooth), smooth, SIGMOID, only_some)
    assert near and len(near.scores) % 2 == 0 and sum(asked) >= len(near.scores)
    everything = draw_near(golden_of(smooth), smooth, SIGMOID)
    assert everything
    assert everything.pixels[0].tobytes() not in {image.tobytes() for image in near.pixels}
    assert draw_near(golden_of(smooth), smooth, SIGMOID, lambda p: np.zeros(len(p), bool)) is None


def test_more_pairs_may_be_asked_for() -> None:
    images = some_of_each(golden_of(smooth), SIGMOID)
    near = draw_near(images, smooth, SIGMOID, times=3)
    assert near and len(near.scores) == 3 * WANTED
    assert len({image.tobytes() for image in near.pixels}) > 2 * WANTED


def test_few_inputs_are_scored() -> None:
    counts: list[int] = []

    def counted(pixels: Pixels) -> Scores:
        counts.append(len(pixels))
        return smooth(pixels)

    draw_near(golden_of(smooth), counted, SIGMOID)
    assert sum(counts) <= 150 and len(counts) <= 10
