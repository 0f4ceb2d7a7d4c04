"""Several models: what their spread means."""

from __future__ import annotations

import dataclasses
import json

import pytest

from cxr_edge import documents
from cxr_edge.errors import DataError
from cxr_edge.metrics.evaluation_sources import ModelSource, have_one_recipe, spread_meaning
from cxr_edge.spec import SEED_SPEC

ONE = ModelSource("run1", "model.keras", "Keras", SEED_SPEC, "seed v1")
TWO = dataclasses.replace(ONE, name="run2")


def test_runs_of_one_recipe_differ_by_their_seed() -> None:
    assert have_one_recipe([ONE, TWO])
    assert spread_meaning([ONE, TWO]) == "what another seed of the same recipe changes by chance"


@pytest.mark.parametrize(
    ("other", "listing"),
    [
        (dataclasses.replace(TWO, recipe="robust v1"), "seed v1; robust v1"),
        (dataclasses.replace(TWO, recipe=None), "seed v1; unknown, run2"),
        (
            dataclasses.replace(TWO, spec=dataclasses.replace(SEED_SPEC, name="another")),
            "seed v1",
        ),
    ],
)
def test_other_recipes_are_no_luck_of_the_seed(other: ModelSource, listing: str) -> None:
    assert not have_one_recipe([ONE, other])
    meaning = spread_meaning([ONE, other])
    assert meaning.startswith("not chance alone") and meaning.endswith(f"({listing})")


def test_two_models_of_unknown_recipes_are_not_called_one() -> None:
    unknown = dataclasses.replace(ONE, recipe=None)
    assert not have_one_recipe([unknown, unknown])


def test_a_document_older_than_the_recipe_is_read() -> None:
    older = json.loads(documents.dump(ONE))
    del older["recipe"]
    source = documents.parse(
        json.dumps(older).encode(), ModelSource, name="source", error=DataError
    )
    assert source == dataclasses.replace(ONE, recipe=None)
