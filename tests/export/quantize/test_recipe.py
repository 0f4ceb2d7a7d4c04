"""Recipes: which layers stay in float32, which neighbours are tried, how they read."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import pytest

from cxr_edge.export.graph.graph import Affine, Graph, Input, Linear, Node
from cxr_edge.export.quantize.equalize import Pair
from cxr_edge.export.quantize.recipe import (
    STRENGTHS,
    QuantizationRecipe,
    float_ends,
    float_groups,
    layer_key,
    linear_keys,
    refine,
    with_strength,
)

PLAIN = QuantizationRecipe({"conv-p1": 0.5, "dense-p3": 0.25}, "minmax", True, ())


def graph_of(layers: int, channels: int = 1) -> Graph:
    """Convolutions with a shift between the first and the second."""
    nodes = [Node("image", Input((4, 4, channels)), (), channels)]
    for number in range(layers):
        if number == 1:
            shift = Affine(np.ones(channels), np.ones(channels))
            nodes.append(Node("shift", shift, (len(nodes) - 1,), channels))
        kernel = np.ones((1, 1, channels, channels))
        step = Linear("conv", None, kernel, np.zeros(channels), False)
        nodes.append(Node(f"layer{number}", step, (len(nodes) - 1,), channels))
    return Graph(tuple(nodes))


def test_layers_are_called_by_name_and_position() -> None:
    graph = graph_of(3)
    assert linear_keys(graph) == ("layer0-p1", "layer1-p3", "layer2-p4")
    assert layer_key(graph, 2) == "shift-p2"


@pytest.mark.parametrize(
    ("layers", "first", "last", "expected"),
    [
        (5, True, True, ("layer0-p1", "layer4-p6")),
        (5, True, False, ("layer0-p1",)),
        (5, False, True, ("layer4-p6",)),
        (5, False, False, ()),
        (3, True, True, ("layer0-p1", "layer2-p4")),
        (3, True, False, ("layer0-p1",)),
        (2, True, True, ("layer1-p3",)),
        (2, False, True, ("layer1-p3",)),
        (1, True, True, ()),
        (1, False, True, ()),
        (0, True, True, ()),
    ],
)
def test_the_ends_stay_float_as_long_as_others_remain(
    layers: int, first: bool, last: bool, expected: tuple[str, ...]
) -> None:
    assert float_ends(graph_of(layers), first=first, last=last) == expected


def test_a_first_dense_layer_is_quantized_whatever_the_image_holds() -> None:
    assert float_ends(chain("dense", "dense", "dense"), first=True, last=True) == ("dense-p3",)


def chain(*kinds: Literal["conv", "depthwise", "dense"]) -> Graph:
    nodes = [Node("image", Input((4, 4, 1)), (), 1)]
    for number, kind in enumerate(kinds, 1):
        step = Linear(kind, None, np.ones((1, 1)), np.zeros(1), padded=False)
        nodes.append(Node(kind, step, (number - 1,), 1))
    return Graph(tuple(nodes))


def test_a_depthwise_network_has_groups_from_its_first_eighth_to_its_depthwise_layers() -> None:
    graph = chain("conv", *(("depthwise", "conv", "conv") * 5))
    keys = linear_keys(graph)
    *firsts, depthwise = float_groups(graph)
    assert depthwise == tuple(key for key in keys if key.startswith("depthwise"))
    assert firsts == [keys[:count] for count in (2, 4, 6, 8, 10, 12)]


@pytest.mark.parametrize("kinds", [(), ("conv",), ("conv", "dense"), ("conv",) * 60])
def test_a_network_without_depthwise_layers_has_no_groups(kinds: tuple[Any, ...]) -> None:
    assert float_groups(chain(*kinds)) == ()


def test_no_group_takes_every_layer() -> None:
    assert float_groups(chain("depthwise")) == ()
    assert float_groups(chain("depthwise", "depthwise")) == (("depthwise-p1",),)


def test_a_recipe_of_many_layers_reads_as_one_line_of_at_most_100_characters() -> None:
    layers = tuple(f"block_{i}_depthwise-p{i}" for i in range(52))
    strengths = {key: i / 51 for i, key in enumerate(layers)}
    recipe = QuantizationRecipe(strengths, "percentile", True, layers)
    assert len(str(recipe)) <= 100
    assert "equalized 0 to 1; percentile" in str(recipe) and "float: 52 layers" in str(recipe)
    named = QuantizationRecipe(None, "minmax", False, layers[:2])
    assert str(named).endswith("float: block_0_depthwise-p0, block_1_depthwise-p1")


@pytest.mark.parametrize(("channels", "left_out"), [(1, True), (3, True), (4, True), (5, False)])
def test_only_a_first_layer_of_few_channels_stays_float(channels: int, left_out: bool) -> None:
    graph = graph_of(4, channels)
    assert float_ends(graph, first=True, last=False) == (("layer0-p1",) if left_out else ())
    assert float_ends(graph, first=True, last=True)[-1] == "layer3-p5"


def test_refining_tries_the_next_weaker_and_stronger_equalization() -> None:
    assert list(refine(PLAIN, "conv-p1")) == [
        dataclasses.replace(PLAIN, equalization={"conv-p1": 0.25, "dense-p3": 0.25}),
        dataclasses.replace(PLAIN, equalization={"conv-p1": 0.75, "dense-p3": 0.25}),
    ]
    assert PLAIN.equalization == {"conv-p1": 0.5, "dense-p3": 0.25}


@pytest.mark.parametrize(("strength", "tried"), [(0.0, [0.25]), (0.25, [0.0, 0.5]), (1.0, [0.75])])
def test_refining_stays_between_nothing_and_all(strength: float, tried: list[float]) -> None:
    recipe = dataclasses.replace(PLAIN, equalization={"conv-p1": strength})
    assert [r.equalization for r in refine(recipe, "conv-p1")] == [{"conv-p1": a} for a in tried]
    assert {*tried} <= {*STRENGTHS}


@pytest.mark.parametrize("equalization", [None, {}, {"conv-p1": 0.5}])
def test_a_layer_that_is_not_equalized_has_nothing_to_refine(
    equalization: dict[str, float] | None,
) -> None:
    recipe = dataclasses.replace(PLAIN, equalization=equalization)
    assert list(refine(recipe, "dense-p3")) == []


@pytest.mark.parametrize("strength", STRENGTHS)
def test_one_strength_goes_to_every_pair_by_its_second_layer(strength: float) -> None:
    recipe = QuantizationRecipe(None, "entropy", False, ("layer2-p4",))
    pairs = (Pair(1, (2,), 2, 3), Pair(3, (), 3, 4))
    changed = with_strength(recipe, graph_of(3), pairs, strength)
    assert changed == QuantizationRecipe(
        {"layer1-p3": strength, "layer2-p4": strength}, "entropy", False, ("layer2-p4",)
    )
    assert with_strength(recipe, graph_of(3), (), strength).equalization == {}
    assert recipe.equalization is None


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (PLAIN, "equalized 0.5/0.25; minmax; bias corrected"),
        (QuantizationRecipe(None, None, False, ()), "not equalized; bias as it was"),
        (
            QuantizationRecipe({}, "entropy", True, ()),
            "nothing to equalize; entropy; bias corrected",
        ),
        (
            QuantizationRecipe({"a": 1.0, "b": 1.0}, "percentile", False, ("a", "b")),
            "equalized 1; percentile; bias as it was; float: a, b",
        ),
        (
            QuantizationRecipe({"a": 0.0}, None, True, ("c",)),
            "equalized 0; bias corrected; float: c",
        ),
        (
            QuantizationRecipe({"a": 0.75, "b": 0.0, "c": 0.75}, None, True, ()),
            "equalized 0.75/0/0.75; bias corrected",
        ),
    ],
)
def test_a_recipe_reads_as_one_line(recipe: QuantizationRecipe, says: str) -> None:
    assert str(recipe) == says
