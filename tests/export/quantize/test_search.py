"""The search: which recipes are tried, when it stops, and which of them is taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from cxr_edge.bundle.embedded import Embedded
from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.errors import EngineError, ParityError
from cxr_edge.export.artifacts import ArtifactKind, QuantizedConversion
from cxr_edge.export.graph.graph import Graph, Input, Linear, Node, linear_name
from cxr_edge.export.quantize import search
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.quantize.equalize import Pair
from cxr_edge.export.quantize.quantizer import CalibratedNetwork
from cxr_edge.export.quantize.ranges import ActivationStatistics
from cxr_edge.export.quantize.recipe import STRENGTHS, QuantizationRecipe
from cxr_edge.export.quantize.search import Search, SearchFailed, SearchResult, SelectionImages
from cxr_edge.preprocess import normalize
from cxr_edge.reporting import Silent
from cxr_edge.spec import SEED_SPEC, InputSpec

# An image is its score: the original answers each pixel's value, the fakes something near it.
SPEC = dataclasses.replace(SEED_SPEC, input=InputSpec(height=1, width=1))
MARK = b", embedded"
Answer = Callable[[QuantizationRecipe, np.ndarray], object]
"""What a file made by a recipe answers to the original's scores, or adds to them."""


def linear(name: str, source: int) -> Node:
    operation = Linear("dense", None, np.zeros((1, 1)), np.zeros(1), padded=False)
    return Node(name, operation, (source,), 1)


def chain(layers: int) -> Graph:
    """Linear layers in a row: a, b, c and so on."""
    nodes = [linear(chr(ord("a") + i), i) for i in range(layers)]
    return Graph((Node("image", Input((1, 1, 1)), (), 1), *nodes))


B, C = "b-p2", "c-p3"
PAIRS = (Pair(1, (), 1, 2), Pair(2, (), 2, 3))
FIRST = 1 + len(STRENGTHS)
"""Recipes of the first stage."""
SECOND, THIRD, FOURTH = 2 + 1, 3, 2 * 2
"""Recipes of the others: two more ranges and no bias correction; layers; two layers up and down."""


class Bench:
    """Runs searches over fake files and keeps what was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[QuantizationRecipe] = []
        self.opened: list[str] = []
        self._monkeypatch = monkeypatch

    def run(
        self,
        answer: Answer,
        *,
        scores: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        golden: tuple[int, ...] = (25, 230),
        budget: Budget | None = None,
        pairs: tuple[Pair, ...] = PAIRS,
        thorough: bool = False,
        may_leave_layers: bool = True,
        graph: Graph | None = None,
        floats: tuple[str, ...] = (),
        strengths: tuple[float, ...] = STRENGTHS,
    ) -> SearchResult:
        bench = self

        class Fake:
            def __init__(self, recipe: QuantizationRecipe) -> None:
                self._recipe = recipe

            def run(self, batch: np.ndarray) -> np.ndarray:
                scores = batch.reshape(-1, 1)
                return np.asarray(scores + np.asarray(answer(self._recipe, scores)), np.float32)

        def open_engine(name: str, data: bytes, spec: object) -> Fake:
            bench.opened.append(name)
            number = data.removesuffix(MARK)
            assert number != data, "the file is tried as it will be written"
            return Fake(bench.made[int(number)])

        class FakeQuantizer:
            def __init__(self, network: CalibratedNetwork) -> None:
                pass

            def build(self, recipe: QuantizationRecipe) -> bytes:
                bench.made.append(recipe)
                return b"%d" % (len(bench.made) - 1)

        @dataclasses.dataclass(frozen=True)
        class Conversion(QuantizedConversion):
            def first_recipe(self, graph: Graph) -> QuantizationRecipe:
                return QuantizationRecipe(
                    {}, self.ranges[0], bias_correction=True, float_layers=floats
                )

        def embed(data: bytes, format: str, embedded: Embedded) -> bytes:
            assert (format, embedded.spec) == ("onnx", SPEC)
            return data + MARK

        self._monkeypatch.setattr(search, "open_engine", open_engine)
        self._monkeypatch.setattr(search, "embed", embed)
        pixels = np.array(golden, np.uint8).reshape(-1, 1, 1, 1)
        given = spread() if scores is None else scores
        images = SelectionImages(
            "drawn inputs",
            given.reshape(-1, 1, 1, 1),
            given,
            labels,
            GoldenSet(pixels, normalize(pixels, SPEC.input).reshape(-1, 1)),
        )
        conversion = Conversion(
            FakeQuantizer,
            "static",
            ranges=("minmax", "percentile", "entropy"),
            may_leave_layers=may_leave_layers,
        )
        graph = graph or chain(3)
        batch = np.zeros((1, 1, 1, 1), np.float32)
        return Search(
            ArtifactKind("onnx-int8", "onnx", "int8-static", conversion),
            CalibratedNetwork(graph, batch, ActivationStatistics({}, {}), pairs),
            images,
            Embedded("5" * 64, SPEC),
            engine="onnxruntime",
            budget=budget or Budget(),
            strengths=strengths,
            thorough=thorough,
            reporter=Silent(),
        ).run()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def spread() -> np.ndarray:
    """200 scores, none within 0.1 of the threshold: one may change its decision."""
    halves = (np.linspace(0.1, 0.4, 100), np.linspace(0.6, 0.9, 100))
    return np.concatenate(halves).astype(np.float32)[:, np.newaxis]


def strength(recipe: QuantizationRecipe) -> float:
    """The one strength of a recipe's equalization; far from all where it has none."""
    return float(np.mean(list((recipe.equalization or {B: -1.0}).values())))


def moved(by: float) -> Answer:
    return lambda recipe, scores: by


def best_at(wanted: float, holds: Callable[[QuantizationRecipe], bool]) -> Answer:
    """Recipes that hold move scores by 0.01, others beyond the budget, least at a strength."""

    def answer(recipe: QuantizationRecipe, scores: np.ndarray) -> float:
        return 0.01 if holds(recipe) else 0.06 + 0.01 * abs(strength(recipe) - wanted)

    return answer


def test_the_first_stage_tries_the_network_as_it_is_and_every_strength(bench: Bench) -> None:
    result = bench.run(moved(0.01))
    tried = [trial.recipe.equalization for trial in result.trials]
    assert tried == [None, *({B: a, C: a} for a in STRENGTHS)]
    assert bench.opened == ["onnxruntime"] * FIRST
    assert {(t.recipe.ranges, t.recipe.bias_correction) for t in result.trials} == {
        ("minmax", True)
    }


def test_the_first_stage_tries_the_strengths_it_is_given(bench: Bench) -> None:
    result = bench.run(moved(0.01), strengths=(0.3,))
    assert [trial.recipe.equalization for trial in result.trials] == [None, {B: 0.3, C: 0.3}]


def test_a_network_without_pairs_is_tried_as_it_is_and_no_other_way(bench: Bench) -> None:
    result = bench.run(moved(0.01), pairs=())
    assert [trial.recipe.equalization for trial in result.trials] == [None]


def test_the_search_stops_after_the_first_stage_when_one_recipe_holds(bench: Bench) -> None:
    result = bench.run(best_at(0.5, lambda recipe: strength(recipe) == 0.75))
    assert len(result.trials) == FIRST
    assert result.recipe.equalization == {B: 0.75, C: 0.75}
    assert [bool(trial.excess) for trial in result.trials] == [True] * 4 + [False, True]


def test_the_file_found_is_the_one_that_was_tried_metadata_included(bench: Bench) -> None:
    result = bench.run(best_at(0.5, lambda recipe: strength(recipe) == 0.75))
    assert result.data == b"4" + MARK
    assert result.trials[4].bytes == len(result.data)
    assert bench.made[4] == result.recipe


def test_the_second_stage_varies_ranges_and_biases_of_the_best(bench: Bench) -> None:
    result = bench.run(best_at(0.5, lambda recipe: recipe.ranges == "entropy"))
    assert len(result.trials) == FIRST + SECOND
    best = QuantizationRecipe({B: 0.5, C: 0.5}, "minmax", bias_correction=True, float_layers=())
    assert [trial.recipe for trial in result.trials[FIRST:]] == [
        dataclasses.replace(best, ranges="percentile"),
        dataclasses.replace(best, ranges="entropy"),
        dataclasses.replace(best, bias_correction=False),
    ]
    assert result.recipe.ranges == "entropy"


def test_the_second_stage_may_find_that_biases_are_better_left_alone(bench: Bench) -> None:
    result = bench.run(best_at(0.5, lambda recipe: not recipe.bias_correction))
    assert len(result.trials) == FIRST + SECOND
    assert not result.recipe.bias_correction


def test_the_third_stage_leaves_each_layer_alone_in_float(bench: Bench) -> None:
    result = bench.run(best_at(0.5, lambda recipe: B in recipe.float_layers))
    assert len(result.trials) == FIRST + SECOND + THIRD
    best = QuantizationRecipe({B: 0.5, C: 0.5}, "minmax", bias_correction=True, float_layers=())
    assert [trial.recipe for trial in result.trials[-THIRD:]] == [
        dataclasses.replace(best, float_layers=(layer,)) for layer in ("a-p1", B, C)
    ]
    assert result.recipe.float_layers == (B,)


def test_the_third_stage_adds_a_second_layer_to_the_best_first_one(bench: Bench) -> None:
    gains = {frozenset({"d-p4"}): 0.055, frozenset({"a-p1"}): 0.057}

    def answer(recipe: QuantizationRecipe, scores: np.ndarray) -> float:
        floats = frozenset(recipe.float_layers)
        if floats == {"d-p4", "a-p1"}:
            return 0.01
        return gains.get(floats, 0.06 + 0.01 * abs(strength(recipe) - 0.5))

    result = bench.run(answer, graph=chain(4))
    assert result.recipe.float_layers == ("d-p4", "a-p1")
    assert len(result.trials) == FIRST + SECOND + 4 + 1


def test_layers_are_added_in_the_order_of_their_gains_up_to_half_of_them(bench: Bench) -> None:
    gains = {"a-p1": 1, "b-p2": 5, "c-p3": 0, "d-p4": 4, "e-p5": 2, "f-p6": 3}

    def answer(recipe: QuantizationRecipe, scores: np.ndarray) -> float:
        return 0.1 - 0.001 * sum(gains[layer] for layer in recipe.float_layers)

    with pytest.raises(ParityError):
        bench.run(answer, graph=chain(6), pairs=())
    together = [r.float_layers for r in bench.made if len(r.float_layers) > 1]
    assert together == [("b-p2", "d-p4"), ("b-p2", "d-p4", "f-p6")]


def test_layers_of_a_deep_network_are_probed_in_24_groups_at_most(bench: Bench) -> None:
    with pytest.raises(ParityError):
        bench.run(lambda r, s: 0.1 - 1e-4 * len(r.float_layers), graph=chain(50), pairs=())
    floats = [recipe.float_layers for recipe in bench.made if recipe.float_layers]
    groups = [group for group in floats if len(group) <= 3]
    assert 12 <= len(groups) <= 24
    assert [layer for group in groups for layer in group] == [
        linear_name(node.name, i) for i, node in enumerate(chain(50).nodes) if i
    ]
    assert max(map(len, floats)) <= 25  # half of them stay integer


def test_layers_that_start_in_float_stay_there_and_are_not_probed(bench: Bench) -> None:
    result = bench.run(best_at(0.5, lambda recipe: C in recipe.float_layers), floats=("a-p1",))
    tried = [trial.recipe.float_layers for trial in result.trials[FIRST + SECOND :]]
    assert tried == [("a-p1", B), ("a-p1", C)]
    assert {trial.recipe.float_layers for trial in result.trials[: FIRST + SECOND]} == {("a-p1",)}


def test_the_last_integer_layer_is_not_given_up(bench: Bench) -> None:
    with pytest.raises(ParityError, match=f"none of {FIRST + SECOND + FOURTH} recipes"):
        bench.run(best_at(0.5, lambda recipe: False), floats=("a-p1", B))
    assert {recipe.float_layers for recipe in bench.made} == {("a-p1", B)}


def test_the_fourth_stage_varies_equalization_before_the_most_sensitive_layers_first(
    bench: Bench,
) -> None:
    gains = {B: 0.001, C: 0.002}
    wanted = {B: 0.75, C: 0.5}

    def answer(recipe: QuantizationRecipe, scores: np.ndarray) -> float:
        if recipe.equalization == wanted:
            return 0.01
        gain = sum(gains.get(layer, 0.0) for layer in recipe.float_layers)
        return 0.06 + 0.01 * abs(strength(recipe) - 0.5) - gain

    result = bench.run(answer)
    assert len(result.trials) == FIRST + SECOND + THIRD + FOURTH
    last = [trial.recipe for trial in result.trials[-FOURTH:]]
    assert [recipe.equalization for recipe in last] == [
        {B: 0.5, C: 0.25},
        {B: 0.5, C: 0.75},
        {B: 0.25, C: 0.5},
        {B: 0.75, C: 0.5},
    ]
    assert {recipe.float_layers for recipe in last} == {(C,)}  # what gained most is kept
    assert result.recipe.equalization == wanted


def test_the_fourth_stage_keeps_what_it_gained_at_one_layer_for_the_next(bench: Bench) -> None:
    path = {(0.5, 0.5): 0.06, (0.25, 0.5): 0.055, (0.25, 0.75): 0.01}

    def answer(recipe: QuantizationRecipe, scores: np.ndarray) -> float:
        return path.get(tuple((recipe.equalization or {}).values()), 0.09)

    result = bench.run(answer)
    assert result.recipe.equalization == {B: 0.25, C: 0.75}


def test_the_fourth_stage_varies_eight_layers_at_most(bench: Bench) -> None:
    pairs = tuple(Pair(i, (), i, i + 1) for i in range(1, 12))
    with pytest.raises(ParityError):
        bench.run(
            best_at(0.5, lambda recipe: False),
            graph=chain(12),
            pairs=pairs,
            may_leave_layers=False,
        )
    last = [recipe.equalization for recipe in bench.made[FIRST + SECOND :]]
    varied = [key for each in last if each for key, value in each.items() if value != 0.5]
    assert varied == [f"{name}-p{i}" for i, name in enumerate("bcdefghi", 2) for _ in range(2)]


def test_layers_stay_integer_where_the_converter_cannot_leave_them(bench: Bench) -> None:
    with pytest.raises(ParityError, match=f"none of {FIRST + SECOND + FOURTH} recipes"):
        bench.run(best_at(0.5, lambda recipe: False), may_leave_layers=False)
    assert not any(recipe.float_layers for recipe in bench.made)


def test_a_thorough_search_goes_through_every_stage_though_a_recipe_holds(bench: Bench) -> None:
    def answer(recipe: QuantizationRecipe, scores: np.ndarray) -> float:
        gain = 0.005 if B in recipe.float_layers else 0.0
        return 0.01 + 0.001 * abs(strength(recipe) - 0.5) - gain

    result = bench.run(answer, thorough=True)
    assert len(result.trials) == FIRST + SECOND + THIRD + FOURTH
    assert any(t.recipe.float_layers == (B,) for t in result.trials)
    assert result.recipe.float_layers == ()  # it gains, but an integer layer is smaller and faster
    assert not any(t.excess for t in result.trials)


def test_a_thorough_search_equalizes_by_layer_before_it_leaves_layers_in_float(
    bench: Bench,
) -> None:
    def holds(recipe: QuantizationRecipe) -> bool:
        return bool(recipe.float_layers) or (recipe.equalization or {}).get(C) == 0.75

    quick = bench.run(best_at(0.5, holds), strengths=(0.0, 0.5))
    assert quick.recipe.float_layers
    thorough = bench.run(best_at(0.5, holds), strengths=(0.0, 0.5), thorough=True)
    assert thorough.recipe.float_layers == () and thorough.recipe.equalization == {B: 0.5, C: 0.75}


def test_of_recipes_that_hold_the_smallest_mean_difference_wins(bench: Bench) -> None:
    means = dict(zip([None, *STRENGTHS], [0.03, 0.02, 0.01, 0.002, 0.02, 0.03], strict=True))

    def answer(recipe: QuantizationRecipe, scores: np.ndarray) -> float:
        return means[strength(recipe) if recipe.equalization else None]

    result = bench.run(answer)
    assert result.recipe.equalization == {B: 0.5, C: 0.5}


def test_a_smaller_mean_wins_though_its_largest_difference_is_larger(bench: Bench) -> None:
    def answer(recipe: QuantizationRecipe, scores: np.ndarray) -> object:
        at_one_image = np.where(scores == scores[0], 0.04, 0.0)
        return at_one_image if recipe.equalization is None else 0.01

    assert bench.run(answer).recipe.equalization is None


def test_a_recipe_beyond_the_budget_never_wins_however_small_its_mean(bench: Bench) -> None:
    def answer(recipe: QuantizationRecipe, scores: np.ndarray) -> object:
        if strength(recipe) == 1.0:  # the last one tried
            return 0.04
        return np.where(scores == scores[0], 0.2, 0.0)

    result = bench.run(answer)
    assert result.recipe.equalization == {B: 1.0, C: 1.0}
    taken, other = result.trials[-1], result.trials[0]
    assert taken.parity is not None and other.parity is not None
    assert taken.parity.mean_abs_delta > 10 * other.parity.mean_abs_delta
    assert other.excess == "max |Δscore| 0.2, allowed 0.05"


def test_a_recipe_beyond_the_budget_does_not_displace_one_that_holds(bench: Bench) -> None:
    def answer(recipe: QuantizationRecipe, scores: np.ndarray) -> object:
        if recipe.equalization is None:  # the first one tried
            return 0.04
        return np.where(scores == scores[0], 0.2, 0.0)

    assert bench.run(answer).recipe.equalization is None


def test_a_file_that_answers_nan_is_recorded_and_never_taken(bench: Bench) -> None:
    def answer(recipe: QuantizationRecipe, scores: np.ndarray) -> float:
        return np.nan if recipe.equalization is None else 0.01

    result = bench.run(answer)
    trial = result.trials[0]
    assert len(result.trials) == FIRST
    assert (trial.parity, trial.auc_drop, trial.p50_ms) == (None, None, None)
    assert "no probability" in trial.excess and trial.bytes == len(b"0" + MARK)
    assert result.recipe.equalization == {B: 0.0, C: 0.0}


def test_a_file_that_answers_nan_is_worse_than_one_that_exceeds_the_budget(bench: Bench) -> None:
    def answer(recipe: QuantizationRecipe, scores: np.ndarray) -> object:
        at_one_image = np.where(scores == scores[0], 0.3, 0.0)
        return at_one_image if recipe.equalization == {B: 0.25, C: 0.25} else np.nan

    with pytest.raises(SearchFailed, match=r"max \|Δscore\| 0\.3") as caught:
        bench.run(answer)
    assert caught.value.best.recipe.equalization == {B: 0.25, C: 0.25}


def test_nan_on_golden_inputs_alone_is_recorded_and_never_taken(bench: Bench) -> None:
    def answer(recipe: QuantizationRecipe, scores: np.ndarray) -> object:
        on_golden = len(scores) == 2
        return np.nan if on_golden and recipe.equalization is None else 0.01

    result = bench.run(answer)
    assert result.trials[0].parity is None and result.recipe.equalization is not None


def test_where_every_file_answers_nan_nothing_is_written(bench: Bench) -> None:
    with pytest.raises(ParityError, match="no probability"):
        bench.run(moved(np.nan))


def test_a_changed_decision_on_a_golden_input_exceeds_any_budget(bench: Bench) -> None:
    generous = Budget(max_flips=100, max_delta_p=1.0, max_auc_drop=1.0)
    near = (125, 230)  # 125 / 255 = 0.4902 becomes 0.51; no image to choose by is that near

    def answer(recipe: QuantizationRecipe, scores: np.ndarray) -> float:
        return 0.02 if strength(recipe) < 0.5 else 0.001 + 0.001 * strength(recipe)

    result = bench.run(answer, golden=near, budget=generous)
    assert [trial.excess for trial in result.trials[:4]] == [
        *["1 decisions changed, allowed 0, on golden inputs"] * 3,
        "",
    ]
    assert all(trial.parity and trial.parity.flips == 0 for trial in result.trials)
    assert result.recipe.equalization == {B: 0.5, C: 0.5}


def test_decisions_on_the_images_to_choose_by_may_change_within_the_budget(bench: Bench) -> None:
    scores = spread()
    scores[0] = 0.49

    result = bench.run(moved(0.02), scores=scores)
    assert result.trials[0].parity is not None and result.trials[0].parity.flips == 1
    assert not result.trials[0].excess
    with pytest.raises(ParityError, match="1 decisions changed, allowed 0"):
        bench.run(moved(0.02), scores=scores, budget=Budget(max_flips=0))


def test_a_fall_of_the_auc_exceeds_the_budget_where_labels_are_known(bench: Bench) -> None:
    scores = np.array([[0.1], [0.2], [0.21], [0.8], [0.9]], np.float32)
    labels = np.array([0, 0, 1, 1, 1])  # PNEUMONIA below 0.205, in their scores' order

    def answer(recipe: QuantizationRecipe, scores: np.ndarray) -> object:
        # Two images of the same decision change places; no decision changes.
        swapped = np.where(scores == np.float32(0.2), 0.02, 0.0)
        return swapped if recipe.equalization is None else 0.01

    result = bench.run(answer, scores=scores, labels=labels)
    assert result.trials[0].auc_drop == pytest.approx(1 / 6)
    assert result.trials[0].excess == "AUC fell by 0.17, allowed 0.005"
    assert result.trials[1].auc_drop == 0.0 and result.recipe.equalization is not None
    unlabelled = bench.run(answer, scores=scores)
    assert unlabelled.trials[0].auc_drop is None and unlabelled.recipe.equalization is None


def test_each_trial_that_answered_was_timed(bench: Bench) -> None:
    result = bench.run(moved(0.01))
    assert all(trial.p50_ms is not None and 0 < trial.p50_ms < 1e3 for trial in result.trials)


def test_where_nothing_holds_the_error_names_the_best_in_one_line(bench: Bench) -> None:
    with pytest.raises(SearchFailed) as caught:
        bench.run(best_at(0.25, lambda recipe: False))
    message = str(caught.value)
    assert caught.value.exit_code == 6
    assert message.startswith("onnx-int8: none of ")
    assert "on 200 drawn inputs; the best: max |Δscore| 0.06, allowed 0.05" in message
    assert "; give more images (--validation)" in message
    assert len(message.splitlines()) == 1 and len(message) <= 300


def test_a_failed_search_keeps_its_trials_and_the_best_of_them(bench: Bench) -> None:
    with pytest.raises(SearchFailed) as caught:
        bench.run(best_at(0.25, lambda recipe: False))
    trials, best = caught.value.trials, caught.value.best
    assert [trial.recipe for trial in trials] == bench.made
    assert best in trials and best.recipe.equalization == {B: 0.25, C: 0.25}
    assert best.parity is not None and best.parity.max_abs_delta == pytest.approx(0.06)


def test_the_line_of_a_failed_search_is_cut_where_an_engine_says_too_much(bench: Bench) -> None:
    def answer(recipe: QuantizationRecipe, scores: np.ndarray) -> float:
        raise EngineError("onnxruntime cannot run the file: " + "so it says " * 50)

    with pytest.raises(SearchFailed) as caught:
        bench.run(answer)
    message = str(caught.value)
    assert len(message) == 300 and "…; give more images" in message


@pytest.mark.parametrize("pairs", [PAIRS, PAIRS[:1]], ids=["two pairs", "one pair"])
def test_no_recipe_is_tried_twice(bench: Bench, pairs: tuple[Pair, ...]) -> None:
    """Neither where float layers gain nothing, nor where there is one strength to vary."""
    with pytest.raises(ParityError):
        bench.run(best_at(0.5, lambda recipe: False), pairs=pairs)
    assert [recipe for n, recipe in enumerate(bench.made) if recipe in bench.made[:n]] == []
