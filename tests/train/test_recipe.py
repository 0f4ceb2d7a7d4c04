"""Recipes say everything, and take a folder's labels where they are not the seed's."""

from __future__ import annotations

import dataclasses
import math

import pytest

from cxr_edge import documents
from cxr_edge.errors import CxrEdgeError, UsageError
from cxr_edge.train.recipe import (
    RECIPES,
    ROBUST,
    SEED,
    TrainingRecipe,
    find_recipe,
    for_labels,
    recipe_name,
    with_epochs,
    with_width,
    without_block,
)
from cxr_edge.train.settings import Cosine


def test_the_robust_recipe_is_the_first_and_names_are_found() -> None:
    assert next(iter(RECIPES)) == "robust"
    assert find_recipe("seed") is SEED and find_recipe("robust") is ROBUST
    with pytest.raises(UsageError, match=r"robst.*robust"):
        find_recipe("robst")


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_recipe_survives_being_written_down(recipe: TrainingRecipe) -> None:
    data = documents.dump(recipe)
    assert documents.parse(data, TrainingRecipe, name="recipe", error=CxrEdgeError) == recipe


@pytest.mark.parametrize("labels", [("NORMAL", "PNEUMONIA"), ("PNEUMONIA", "NORMAL")])
def test_the_specs_own_labels_keep_its_order(labels: tuple[str, str]) -> None:
    assert for_labels(ROBUST, labels, None) == ROBUST
    assert for_labels(SEED, labels, None) == SEED


def test_other_labels_come_from_the_folder_and_the_last_is_positive() -> None:
    spec = for_labels(ROBUST, ("benign", "malignant"), None).spec
    assert spec.labels == ("benign", "malignant")
    assert spec.positive_label == "malignant"
    assert spec.name == "benign or malignant, robust recipe"
    assert for_labels(ROBUST, ("cancer", "healthy"), "cancer").spec.positive_label == "cancer"
    assert for_labels(ROBUST, ("NORMAL", "PNEUMONIA"), "NORMAL").spec.positive_label == "NORMAL"


def test_a_positive_label_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"malignent.*malignant"):
        for_labels(ROBUST, ("benign", "malignant"), "malignent")


def test_three_labels_are_refused() -> None:
    with pytest.raises(
        UsageError, match="needs two labels, the folder has 3: a, b, c; keep two class folders"
    ):
        for_labels(ROBUST, ("a", "b", "c"), None)


def test_a_changed_number_of_epochs_is_in_the_name_and_shortens_the_warm_up() -> None:
    assert with_epochs(ROBUST, 30) == ROBUST and recipe_name(ROBUST) == "robust v2"
    assert recipe_name(with_epochs(SEED, 7)) == "seed v1, 7 epochs"
    once = with_epochs(ROBUST, 1)
    assert recipe_name(once) == "robust v2, 1 epoch"
    assert (once.epochs, once.schedule) == (1, Cosine(warmup_epochs=0))
    with pytest.raises(UsageError, match="epochs is 0, expected at least 1"):
        with_epochs(ROBUST, 0)


def test_a_changed_width_is_in_the_name_and_is_a_share() -> None:
    assert recipe_name(with_width(ROBUST, 0.5)) == "robust v2, width 0.5"
    assert (
        recipe_name(with_epochs(with_width(ROBUST, 0.25), 2)) == "robust v2, width 0.25, 2 epochs"
    )
    assert with_width(ROBUST, 1.0) == ROBUST
    for width in (0.0, -0.5, 1.01, math.nan, math.inf):
        with pytest.raises(UsageError, match="expected a share of the reference"):
            with_width(ROBUST, width)


def test_a_block_that_is_given_back_is_in_the_name() -> None:
    assert recipe_name(without_block(ROBUST)) == "robust v2, no block"
    assert without_block(SEED) == SEED and recipe_name(without_block(SEED)) == "seed v1"


def test_a_positive_label_of_three_is_refused() -> None:
    spec = dataclasses.replace(
        ROBUST.spec,
        labels=("a", "b", "c"),
        activation="softmax",
        positive_label=None,
        threshold=None,
    )
    of_three = dataclasses.replace(ROBUST, spec=spec)
    assert for_labels(of_three, ("a", "b", "c"), None).spec == spec
    with pytest.raises(UsageError, match="--positive is for two labels, the network has 3: a, b"):
        for_labels(of_three, ("a", "b", "c"), "a")
