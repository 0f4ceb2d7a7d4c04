"""The table of trials: what a row says, and that it fits 100 columns."""

from __future__ import annotations

import dataclasses

import pytest

from cxr_edge.bundle.proofs import Parity
from cxr_edge.export.quantize.recipe import QuantizationRecipe
from cxr_edge.export.quantize.trials import TABLE_HEAD, Trial, trial_row

RECIPE = QuantizationRecipe({"dense-p3": 0.5}, "minmax", True, ("first-p1",))
HOLDS = Trial(RECIPE, Parity(200, 0.04321, 0.00123, 0.03, flips=1), 0.001, 563_000, 0.42, "")
EXCEEDS = dataclasses.replace(HOLDS, excess="max |Δscore| 0.2, allowed 0.05")
MANY = tuple(f"block_{i}_depthwise-p{i}" for i in range(120))


def test_a_row_has_figures_and_the_recipe() -> None:
    figures, recipe = trial_row(HOLDS).split("  equalized")
    assert figures.split() == ["1", "0.0432", "0.00123", "-0.0010", "563", "0.42"]
    assert recipe == " 0.5; minmax; bias corrected; float: 1"


def test_a_mark_that_the_head_explains_tells_what_exceeds_the_budget() -> None:
    assert (trial_row(EXCEEDS)[0], trial_row(HOLDS)[0]) == ("x", " ")
    assert TABLE_HEAD.startswith("x: ")


def test_no_change_has_no_minus() -> None:
    assert "+0.0000" in trial_row(dataclasses.replace(HOLDS, auc_drop=1e-6))


def test_a_file_without_figures_says_why() -> None:
    failed = dataclasses.replace(HOLDS, parity=None, p50_ms=None, excess="its score is nan")
    assert trial_row(failed).startswith("x equalized 0.5; minmax; bias corrected; float: ")
    assert trial_row(failed).endswith(": its score is nan")


@pytest.mark.parametrize("strengths", [None, {k: i / 119 for i, k in enumerate(MANY)}])
@pytest.mark.parametrize("excess", ["", "onnxruntime cannot run it: " + "reason " * 50])
@pytest.mark.parametrize("parity", [None, HOLDS.parity])
def test_no_row_is_wider_than_100_columns(
    strengths: dict[str, float] | None, excess: str, parity: Parity | None
) -> None:
    recipe = QuantizationRecipe(strengths, "percentile", True, MANY)
    trial = dataclasses.replace(HOLDS, recipe=recipe, excess=excess, parity=parity)
    row = trial_row(trial)
    assert len(row) <= 100 and len(row.splitlines()) == 1
    assert parity is None or "float: 120" in row
