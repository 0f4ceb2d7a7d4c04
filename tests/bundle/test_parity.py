"""Near a change of decision, scores must rise across it as the original's do."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cxr_edge.bundle.golden import GoldenSet, dump_golden, parse_golden
from cxr_edge.bundle.manifest import Manifest
from cxr_edge.bundle.parity import compare_near
from cxr_edge.bundle.reader import Bundle
from cxr_edge.decision import Scores
from cxr_edge.errors import BundleError, EngineError
from cxr_edge.spec import SEED_SPEC

OFFSETS = np.array([-0.012, 0.015, 0.01, -0.008, -0.03, 0.04, 0.035, -0.025])
ORIGINAL = np.float32(0.5 + OFFSETS)[:, np.newaxis]


def answered(offsets: np.ndarray) -> Scores:
    return np.float32(0.5 + offsets)[:, np.newaxis]


def test_the_same_scores_have_a_slope_of_one() -> None:
    parity = compare_near(ORIGINAL, ORIGINAL, SEED_SPEC)
    assert (parity.inputs, parity.max_abs_delta) == (8, 0)
    assert parity.slope_close == pytest.approx(1) and parity.slope == pytest.approx(1)
    assert parity.excess(0.0) == ""


def test_mirrored_constant_and_shifted_scores() -> None:
    close = np.abs(OFFSETS) < 0.02
    mirrored = compare_near(ORIGINAL, answered(np.where(close, -OFFSETS, OFFSETS)), SEED_SPEC)
    assert mirrored.slope_close == pytest.approx(-1, abs=1e-4) and mirrored.slope is not None
    assert "by -1.00 of the original's change, allowed from 0.2" in mirrored.excess(0.05)
    constant = compare_near(ORIGINAL, answered(np.where(close, 0, OFFSETS)), SEED_SPEC)
    assert constant.slope_close == pytest.approx(0, abs=1e-4) and constant.excess(0.05)
    wide = compare_near(ORIGINAL, answered(np.where(close, OFFSETS, 0)), SEED_SPEC)
    assert wide.slope_close == pytest.approx(1) and "from 0.5" in wide.excess(0.05)
    # Every decision of one side changes, and nothing is wrong with that within the tolerance.
    shifted = compare_near(ORIGINAL, answered(OFFSETS + 0.041), SEED_SPEC)
    assert shifted.slope_close == pytest.approx(1, abs=1e-4) and shifted.excess(0.05) == ""
    assert "max |Δscore| 0.041, allowed 0.04" in shifted.excess(0.04)


def test_one_pair_in_reverse_is_the_rounding_of_integers() -> None:
    offsets = OFFSETS.copy()
    offsets[[0, 1]] = 0.001, -0.001
    offsets[[2, 3]] = 0.012, -0.009
    parity = compare_near(ORIGINAL, answered(offsets), SEED_SPEC)
    assert parity.slope_close and 0.2 < parity.slope_close < 0.6 and parity.excess(0.05) == ""


def test_more_than_two_labels_are_compared_by_the_two_of_the_pair() -> None:
    spec = dataclasses.replace(
        SEED_SPEC,
        labels=("a", "b", "c"),
        activation="softmax",
        positive_label=None,
        threshold=None,
        threshold_choice="none",
    )
    original = np.float32([[0.1, 0.46, 0.44], [0.1, 0.44, 0.46]])
    assert compare_near(original, original, spec).slope_close == pytest.approx(1)
    mirrored = compare_near(original, original[:, [0, 2, 1]], spec)
    assert mirrored.slope_close == pytest.approx(-1) and mirrored.slope is None


def test_scores_that_are_no_number_are_refused() -> None:
    with pytest.raises(EngineError, match="no probability"):
        compare_near(ORIGINAL, ORIGINAL * np.float32(np.nan), SEED_SPEC)


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    """Two inputs of the reference's size."""
    reference = Bundle.open().manifest
    return dataclasses.replace(reference, golden=dataclasses.replace(reference.golden, inputs=2))


def golden(manifest: Manifest, *near: float, rows: int | None = None) -> GoldenSet:
    shape = manifest.spec.input_shape
    scores = np.float32(near)[:, np.newaxis]
    return GoldenSet(
        np.zeros((2, *shape), np.uint8),
        np.float32([[0.1], [0.9]]),
        GoldenSet(np.ones((len(near) if rows is None else rows, *shape), np.uint8), scores),
    )


def test_inputs_near_a_decision_are_read_back(manifest: Manifest) -> None:
    spec = manifest.spec
    assert spec.threshold and spec.positive_label == spec.labels[1]  # the sigmoid is P(positive)
    below, above = spec.threshold - 0.01, spec.threshold + 0.01
    given = golden(manifest, below, above, above, below)
    data = dump_golden(given)
    assert dump_golden(given) == data
    held = parse_golden(data, manifest)
    assert held.near and given.near
    assert np.array_equal(held.near.pixels, given.near.pixels)
    assert np.array_equal(held.near.scores, given.near.scores)
    without = dataclasses.replace(given, near=None)
    assert parse_golden(dump_golden(without), manifest).near is None
    for bad in (
        golden(manifest, below, below),
        golden(manifest, below, above, below),
        golden(manifest, below, above, rows=4),
        golden(manifest),
        golden(manifest, np.nan, above),
    ):
        with pytest.raises(BundleError, match="golden"):
            parse_golden(dump_golden(bad), manifest)
