"""Temperature, threshold and band match their definitions on simulated scores."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cxr_edge.extras import require_keras
from cxr_edge.original.keras_model import keras_scores
from cxr_edge.spec import InputSpec, ModelSpec
from cxr_edge.train.fitting.calibrate import (
    calibrate,
    choose_band,
    choose_threshold,
    fit_softmax_temperature,
    fit_temperature,
)
from cxr_edge.train.fitting.held_out import HeldOut
from cxr_edge.train.fitting.network import build_network
from cxr_edge.train.recipe import ROBUST
from cxr_edge.train.settings import Target

SPEC = dataclasses.replace(ROBUST.spec, input=InputSpec(height=16, width=16))


def answers(count: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from their own probabilities, and logits that overstate them."""
    random = np.random.default_rng(7)
    logits = random.normal(0, 2, count)
    labels = (random.random(count) < 1 / (1 + np.exp(-logits))).astype(np.intp)
    return sharpness * logits, labels


@pytest.mark.parametrize("sharpness", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("offset", [-1.0, 0.0, 2.0])
def test_temperature_and_offset_undo_an_overstatement_and_a_bias(
    sharpness: float, offset: float
) -> None:
    logits, labels = answers(20_000, sharpness)
    shown = logits - sharpness * offset
    fitted = fit_temperature([(shown[np.newaxis], labels)])
    assert fitted == pytest.approx((sharpness, offset), rel=0.05, abs=0.05)


def test_copies_weigh_as_much_as_the_images_however_many_they_are() -> None:
    logits, labels = answers(5_000, 1.0)
    once = fit_temperature([(logits[np.newaxis], labels), (5 * logits[np.newaxis], labels)])
    often = fit_temperature([(logits[np.newaxis], labels), (5 * np.stack([logits] * 8), labels)])
    assert once == pytest.approx(often, rel=1e-3, abs=1e-3)
    assert 1.2 < once[0] < 5


def test_the_threshold_is_the_largest_that_finds_enough_on_the_mean_of_the_groups() -> None:
    random = np.random.default_rng(5)
    truth = random.random(1000) < 0.6
    plain = np.where(truth, random.beta(8, 2, 1000), random.beta(2, 8, 1000))
    copies = np.stack([plain**1.1, plain**1.5, plain**2])
    groups = [(plain[np.newaxis], truth), (copies, truth), (copies[:1, :300], truth[:300])]

    def recall(threshold: float) -> float:
        return float(np.mean([(scores[:, t] >= threshold).mean() for scores, t in groups]))

    threshold = choose_threshold(groups, 0.97)
    assert recall(threshold) >= 0.97
    assert recall(threshold + 2e-4) < 0.97
    assert choose_threshold([(np.full((1, 50), 0.4), truth[:50])], 0.97) == 0.4
    assert choose_threshold(groups, 1.0) <= min(scores[:, t].min() for scores, t in groups)


def test_outside_the_band_the_stated_share_of_each_label_is_wrong() -> None:
    random = np.random.default_rng(6)
    truth = random.random(20_000) < 0.5
    scores = np.where(truth, random.beta(4, 2, 20_000), random.beta(2, 4, 20_000))
    low, high = choose_band([(scores[np.newaxis], truth)], 0.02, 0.5)
    assert low < 0.5 < high
    assert (scores[truth] < low).mean() == pytest.approx(0.02, abs=2e-3)
    assert (scores[~truth] >= high).mean() == pytest.approx(0.02, abs=2e-3)


def test_the_band_always_holds_the_threshold() -> None:
    truth = np.arange(100) % 2 == 1
    scores = np.where(truth, 0.95, 0.05)  # labels that nothing confuses
    low, high = choose_band([(scores[np.newaxis], truth)], 0.01, 0.3)
    assert low <= 0.05 and high >= 0.95
    low, high = choose_band([(np.full((1, 100), 0.3), truth)], 0.01, 0.3)
    assert low <= 0.3 < high
    scores = np.array([[0.4, 0.6, 0.7, 0.1, 0.2, 0.3]])
    low, high = choose_band([(scores, np.arange(6) < 3)], 0.01, 0.5)
    assert low == 0.3 and high == 0.5001
    for value in (0.0, 1.0):
        low, high = choose_band([(np.full((1, 100), value), truth)], 0.01, value)
        assert 0 <= low < high <= 1


@pytest.mark.parametrize("sharpness", [0.25, 1.0, 4.0])
def test_a_softmaxs_temperature_undoes_an_overstatement(sharpness: float) -> None:
    random = np.random.default_rng(8)
    logits = random.normal(0, 2, (20_000, 4))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (random.random((20_000, 1)) > chances.cumsum(axis=1)[:, :3]).sum(axis=1)
    shown = sharpness * logits
    fitted = fit_softmax_temperature([(shown[np.newaxis], labels)])
    assert fitted == pytest.approx(sharpness, rel=0.05)


def test_a_softmax_is_calibrated_without_a_threshold() -> None:
    spec = ModelSpec("three", SPEC.input, ("a", "b", "c"), "softmax", None, None, "")
    require_keras("train").utils.set_random_seed(4)
    network = build_network(spec, width=0.25)
    pixels = np.random.default_rng(2).integers(0, 256, (30, 16, 16, 1), np.uint8)
    labels = np.arange(30) % 3
    before = np.log(keras_scores(network, pixels, spec).astype(np.float64))
    assert (
        calibrate(network, [HeldOut(pixels, labels, ())], spec, Target(recall=0.9, error=0.05))
        == spec
    )
    after = np.log(keras_scores(network, pixels, spec).astype(np.float64))
    before, after = (table - table.mean(axis=1, keepdims=True) for table in (before, after))
    slope = float((before * after).sum() / (before**2).sum())
    np.testing.assert_allclose(after, slope * before, atol=1e-4)
    assert abs(slope - 1) > 0.1


@pytest.mark.parametrize("positive", ["PNEUMONIA", "NORMAL"])
def test_what_is_baked_changes_logits_linearly_and_the_rule_follows(positive: str) -> None:
    spec = dataclasses.replace(SPEC, positive_label=positive)
    require_keras("train").utils.set_random_seed(4)
    network = build_network(spec)
    pixels = np.random.default_rng(2).integers(0, 256, (60, 16, 16, 1), np.uint8)
    labels = np.arange(60) % 2
    before = keras_scores(network, pixels, spec).astype(np.float64)
    chosen = calibrate(network, [HeldOut(pixels, labels, ())], spec, Target(recall=0.9, error=0.05))
    after = keras_scores(network, pixels, spec).astype(np.float64)
    logits = [np.log(scores / (1 - scores))[:, 0] for scores in (before, after)]
    slope, offset = np.polyfit(*logits, 1)
    np.testing.assert_allclose(logits[1], slope * logits[0] + offset, atol=1e-4)
    assert abs(slope - 1) > 0.1
    is_positive = labels == spec.labels.index(positive)
    shown = after[:, 0] if positive == spec.labels[1] else 1 - after[:, 0]
    assert chosen.threshold is not None and chosen.uncertain_band is not None
    assert (shown[is_positive] >= chosen.threshold).mean() >= 0.9
    assert chosen.uncertain_band[0] <= chosen.threshold < chosen.uncertain_band[1]
    assert positive in chosen.threshold_choice
