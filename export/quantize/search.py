"""Search for a quantization recipe within a budget, on images that ranges were not measured on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from cxr_edge.bundle.embedded import Embedded
from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.bundle.parity import compare
from cxr_edge.bundle.proofs import Parity
from cxr_edge.data.folders import Labels
from cxr_edge.decision import Scores
from cxr_edge.engines import Engine, open_engine
from cxr_edge.errors import EngineError, ParityError
from cxr_edge.export.artifacts import ArtifactKind, QuantizedConversion
from cxr_edge.export.convert.metadata import embed
from cxr_edge.export.decisions import auc_drop
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.quantize.quantizer import CalibratedNetwork
from cxr_edge.export.quantize.recipe import (
    STRENGTHS,
    QuantizationRecipe,
    float_groups,
    linear_keys,
    refine,
    shortened,
    with_strength,
)
from cxr_edge.export.quantize.trials import TABLE_HEAD, Trial, median_ms, trial_row
from cxr_edge.preprocess import Batch, normalize
from cxr_edge.reporting import Reporter
from cxr_edge.spec import ModelSpec

_MOST_PROBES, _MOST_REFINED = 24, 8
_MOST_TRIALS = 48
_LONGEST_MESSAGE = 300


@dataclass(frozen=True, slots=True, eq=False)
class SelectionImages:
    """Images to choose a recipe by, with the original model's scores."""

    source: str
    """Where they come from, for messages and the report."""
    batch: Batch
    """(N, height, width, channels) float32."""
    scores: Scores
    """(N, spec.outputs), the original's."""
    labels: Labels | None
    """(N,) the truth; None: unknown."""
    golden: GoldenSet | None
    """Golden inputs; no decision on them may change, whatever the budget. None: the images are a
    user's, and drawn inputs do not overrule them."""


class SearchFailed(ParityError):  # noqa: N818 - an outcome with its trials
    """No recipe holds the budget. The message is one line of at most 300 characters."""

    def __init__(self, message: str, trials: tuple[Trial, ...], best: Trial) -> None:
        super().__init__(message)
        self.trials = trials
        """Every recipe that was tried, in order."""
        self.best = best
        """The one that changed the scores least."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The outcome of a search."""

    data: bytes
    """The file, with its metadata."""
    trials: tuple[Trial, ...]
    """Every recipe that was tried, in order."""
    taken: int
    """Index of the trial that made the file."""

    @property
    def recipe(self) -> QuantizationRecipe:
        """The recipe that was taken."""
        return self.trials[self.taken].recipe


class Search:
    """Tries recipes in stages; stops after the first stage in which one holds the budget.

    1. Every strength of equalization, the same before all layers.
    2. The best of them with other range methods, and without bias correction.
    3. The best with groups of layers in float32 that depthwise networks need.
    4. The best with layers in float32: each alone, then the layers that gain most together, up to
       half of them.
    5. The best with weaker and stronger equalization before single layers.

    Of the recipes that hold the budget, the one with the fewest float32 layers wins, since those
    are slow and large; then the one with the smallest mean difference, because flips and maxima
    depend on few images. No search tries more than 48 recipes unless it is thorough: then all
    stages are gone through, and the last also before the fourth, while no layer is slow yet.
    """

    def __init__(
        self,
        kind: ArtifactKind,
        network: CalibratedNetwork,
        images: SelectionImages,
        embedded: Embedded,
        *,
        engine: str,
        budget: Budget,
        strengths: tuple[float, ...] = STRENGTHS,
        thorough: bool = False,
        reporter: Reporter,
    ) -> None:
        """Prepare a search.

        Args:
            kind: a quantized kind.
            network: what is quantized.
            images: to compare each file with the original model on.
            embedded: the spec and the original's hash, written into each file.
            engine: runs the files.
            budget: how much a file may change.
            strengths: of equalization, 0..1, for the first stage.
            thorough: whether to go through all stages.
            reporter: shows progress.

        Raises:
            ExportError: the network has no layer that this kind quantizes.
        """
        conversion = kind.conversion
        assert isinstance(conversion, QuantizedConversion)  # noqa: S101 - as documented
        self._kind, self._conversion, self._network = kind, conversion, network
        self._images, self._embedded, self._engine = images, embedded, engine
        self._budget, self._strengths, self._thorough = budget, strengths, thorough
        self._reporter = reporter
        self._quantizer = conversion.quantizer(network)
        self._first = conversion.first_recipe(network.graph)
        self._trials: list[Trial] = []
        self._best_data = b""
        self._gains: list[tuple[float, tuple[str, ...]]] = []

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every recipe that was tried so far, in order."""
        return tuple(self._trials)

    def run(self) -> SearchResult:
        """Search.

        Raises:
            SearchFailed: no recipe holds the budget.
            ExportError: a converter failed.
        """
        by_layer = ("equalization by layer", self._equalized_by_layer)
        for title, recipes in (
            ("equalization", self._equalized),
            ("ranges and biases", self._other_ranges),
            ("groups of layers in float", self._with_float_groups),
            *((by_layer,) if self._thorough else ()),
            ("layers in float", self._with_float_layers),
            by_layer,
        ):
            with self._reporter.bar(f"{self._kind.name}: {title}") as advance:
                for number, recipe in enumerate(recipes()):
                    if self._trial_of(recipe) is None:
                        self._try(recipe)
                    advance(number + 1, number + 2)
                    if self._is_at_limit():
                        break
                advance(1, 1)
            if self._is_done() or self._is_at_limit():
                break
        best = self._best()
        if best.excess:
            raise SearchFailed(self._failure(best), tuple(self._trials), best)
        return SearchResult(self._best_data, tuple(self._trials), self._trials.index(best))

    def _failure(self, best: Trial) -> str:
        """What no recipe achieved, in one line."""
        before = (
            f"{self._kind.name}: none of {len(self._trials)} recipes holds the budget on "
            f"{len(self._images.batch)} {self._images.source}; the best: "
        )
        after = (
            "; give more images (--validation) or allow more (--max-flips, "
            "--max-delta-p, --max-auc-drop)"
        )
        room = _LONGEST_MESSAGE - len(before) - len(after)
        return before + shortened(best.excess, room) + after

    def _equalized(self) -> Iterator[QuantizationRecipe]:
        yield dataclasses.replace(self._first, equalization=None)
        pairs = self._network.pairs
        for strength in self._strengths if pairs else ():
            yield with_strength(self._first, self._network.graph, pairs, strength)

    def _other_ranges(self) -> Iterator[QuantizationRecipe]:
        best = self._best().recipe
        for ranges in self._conversion.ranges[1:]:
            yield dataclasses.replace(best, ranges=ranges)
        yield dataclasses.replace(best, bias_correction=not best.bias_correction)

    def _with_float_groups(self) -> Iterator[QuantizationRecipe]:
        """Each group in float32, from the cheapest on, until a recipe holds."""
        if not self._conversion.may_leave_layers:
            return
        best = self._best().recipe
        for group in float_groups(self._network.graph):
            layers = tuple(key for key in group if key not in best.float_layers)
            if layers:
                yield _with_float(best, layers)
            if self._is_done():
                return

    def _with_float_layers(self) -> Iterator[QuantizationRecipe]:
        """Each layer alone in float32, to measure what it gains; then the best of them together."""
        if not self._conversion.may_leave_layers:
            return
        best = self._best().recipe
        layers = [k for k in linear_keys(self._network.graph) if k not in best.float_layers]
        size = -(-len(layers) // _MOST_PROBES)
        groups = [tuple(layers[i : i + size]) for i in range(0, len(layers), size)]
        if len(groups) < 2:
            return
        for group in groups:
            yield _with_float(best, group)
        trials = [self._trial_of(_with_float(best, group)) for group in groups]
        means = [t.parity.mean_abs_delta if t and t.parity else 1.0 for t in trials]
        self._gains = sorted(zip(means, groups, strict=True))
        together: tuple[str, ...] = self._gains[0][1]
        for _, group in self._gains[1 : len(groups) // 2]:
            if self._is_done():
                return
            together += group
            yield _with_float(best, together)

    def _equalized_by_layer(self) -> Iterator[QuantizationRecipe]:
        """Other strengths before the layers that gain most in float32, or before the first."""
        sensitive = [key for _, group in self._gains for key in group]
        layers = sensitive or list(self._best().recipe.equalization or {})
        for layer in layers[:_MOST_REFINED]:
            yield from refine(self._best().recipe, layer)

    def _trial_of(self, recipe: QuantizationRecipe) -> Trial | None:
        return next((trial for trial in self._trials if trial.recipe == recipe), None)

    def _best(self) -> Trial:
        return min(self._trials, key=lambda trial: trial.rank)

    def _is_done(self) -> bool:
        return not self._thorough and not self._best().excess

    def _is_at_limit(self) -> bool:
        return not self._thorough and len(self._trials) >= _MOST_TRIALS

    def _try(self, recipe: QuantizationRecipe) -> None:
        data = embed(self._quantizer.build(recipe), self._kind.format, self._embedded)
        trial = self._measure(recipe, data)
        self._reporter.say(
            trial_row(trial) if self._trials else f"{TABLE_HEAD}\n{trial_row(trial)}"
        )
        self._trials.append(trial)
        if self._best() is trial:
            self._best_data = data

    def _measure(self, recipe: QuantizationRecipe, data: bytes) -> Trial:
        images, spec = self._images, self._embedded.spec
        try:
            engine = open_engine(self._engine, data, spec)
            scores = engine.run(images.batch)
            parity = compare(images.scores, scores, spec)
            on_golden = _compare_golden(images.golden, engine, spec)
        except EngineError as err:
            return Trial(recipe, None, None, len(data), None, str(err))
        drop = auc_drop(images.scores, scores, images.labels, spec)
        excess = self._budget.excess(parity, drop)
        if on_golden and not excess:
            beyond = self._budget.on_golden().excess(on_golden, None)
            excess = f"{beyond}, on golden inputs" if beyond else ""
        return Trial(recipe, parity, drop, len(data), median_ms(engine, images.batch[:1]), excess)


def _compare_golden(golden: GoldenSet | None, engine: Engine, spec: ModelSpec) -> Parity | None:
    if golden is None:
        return None
    return compare(golden.scores, engine.run(normalize(golden.pixels, spec.input)), spec)


def _with_float(recipe: QuantizationRecipe, layers: tuple[str, ...]) -> QuantizationRecipe:
    return dataclasses.replace(recipe, float_layers=(*recipe.float_layers, *layers))
