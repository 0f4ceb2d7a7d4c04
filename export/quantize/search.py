"""Accuracy-budgeted quantization: try recipes on images that were not calibrated on."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.bundle.manifest import Parity
from cxr_edge.bundle.parity import compare
from cxr_edge.data.folders import Labels
from cxr_edge.decision import Scores, probabilities
from cxr_edge.engines import Engine, Format, open_engine
from cxr_edge.errors import EngineError, ParityError
from cxr_edge.export.decisions import auc
from cxr_edge.export.graph.graph import Graph
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.quantize.equalize import Pair
from cxr_edge.export.quantize.onnx_int8 import Ranges
from cxr_edge.export.quantize.recipe import (
    STRENGTHS,
    QuantizationRecipe,
    linear_keys,
    refine,
    with_strength,
)
from cxr_edge.preprocess import Batch, normalize
from cxr_edge.reporting import Reporter
from cxr_edge.spec import ModelSpec

_TIMED_RUNS = 20
_MOST_PROBES, _MOST_REFINED = 24, 8


@dataclass(frozen=True, slots=True)
class Choice:
    """Images that a recipe is chosen by, with the original model's answers."""

    source: str
    """What they are."""
    batch: Batch
    """(N, height, width, channels) float32."""
    scores: Scores
    """(N, spec.outputs), the original's."""
    labels: Labels | None
    """(N,) the truth; None: unknown."""
    golden: GoldenSet
    """Inputs on which no decision may change, whatever the budget."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A recipe that was tried."""

    recipe: QuantizationRecipe
    """Which."""
    parity: Parity | None
    """Its differences on the images to choose by; None: the file answered no probabilities."""
    auc_drop: float | None
    """Loss of area under the ROC curve; None: labels are unknown."""
    bytes: int
    """Size of the file."""
    p50_ms: float | None
    """Median time of one inference on this machine, one thread, not interleaved."""
    excess: str
    """What exceeds the budget; empty: it holds."""


@dataclass(frozen=True, slots=True)
class Method:
    """One way to quantize: what the search may vary."""

    make: Callable[[QuantizationRecipe], bytes]
    """From a recipe to a file."""
    embed: Callable[[bytes], bytes]
    """Adds the metadata."""
    format: Format
    """The kind of file."""
    engine: str
    """The engine that it is tried on."""
    start: QuantizationRecipe
    """What is tried first, at every strength of equalization."""
    ranges: tuple[Ranges, ...]
    """Other ways to take ranges."""
    may_leave_layers: bool
    """Whether single layers can be left in float32."""


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome of a search."""

    data: bytes
    """The file."""
    recipe: QuantizationRecipe
    """How it was made."""
    trials: tuple[Trial, ...]
    """Everything that was tried, in order."""


class Search:
    """Tries recipes in stages and stops at the first stage where one holds the budget.

    1. Every strength of equalization, the same before all layers.
    2. The best of them with ranges taken otherwise, and without bias correction.
    3. The best with layers in float32: each alone, then those together that gain most, up to half.
    4. The best with weaker and stronger equalization before single layers.

    Among those that hold, fewer layers in float32 win, since those are slow and large; then the
    smallest mean difference: changed decisions and maxima hang on few images, the mean does not.
    """

    def __init__(
        self,
        name: str,
        method: Method,
        graph: Graph,
        choice: Choice,
        budget: Budget,
        spec: ModelSpec,
        *,
        pairs: tuple[Pair, ...],
        thorough: bool,
        reporter: Reporter,
    ) -> None:
        self._name, self._method, self._graph, self._pairs = name, method, graph, pairs
        self._choice, self._budget, self._spec = choice, budget, spec
        self._thorough, self._reporter = thorough, reporter
        self._trials: list[Trial] = []
        self._best: Trial | None = None
        self._best_data = b""
        self._gains: list[tuple[float, tuple[str, ...]]] = []

    def run(self) -> Found:
        """Search.

        Raises:
            ParityError: no recipe holds the budget.
            ExportError: a converter fails.
        """
        for label, stage in (
            ("equalization", self._strengths),
            ("ranges and biases", self._ranges),
            ("layers in float", self._float_layers),
            ("equalization by layer", self._by_layer),
        ):
            candidates = stage()
            with self._reporter.bar(f"{self._name}: {label}") as advance:
                for number, recipe in enumerate(candidates):
                    if self._trial_of(recipe) is None:
                        self._try(recipe)
                    advance(number + 1, number + 2)
                advance(1, 1)
            if self._best and not self._best.excess and not self._thorough:
                break
        best = self._best
        if best is None or best.excess:
            self._reporter.say("\n".join(trial_table(self._trials, None)))
            reason = best.excess if best else "no file answered probabilities"
            raise ParityError(
                f"{self._name}: none of {len(self._trials)} recipes holds the budget on "
                f"{len(self._choice.batch)} {self._choice.source}; the best, {best and best.recipe}"
                f": {reason}; nothing was written; choose by other images (--validation), or allow "
                "more (--max-flips, --max-delta-p, --max-auc-drop)"
            )
        return Found(self._best_data, best.recipe, tuple(self._trials))

    def _strengths(self) -> Iterator[QuantizationRecipe]:
        yield dataclasses.replace(self._method.start, equalization=None)
        if self._pairs:
            for strength in STRENGTHS:
                yield with_strength(self._method.start, self._graph, self._pairs, strength)

    def _ranges(self) -> Iterator[QuantizationRecipe]:
        best = self._leader()
        for ranges in self._method.ranges:
            yield dataclasses.replace(best, ranges=ranges)
        yield dataclasses.replace(best, bias_correction=not best.bias_correction)

    def _float_layers(self) -> Iterator[QuantizationRecipe]:
        """Each layer alone in float32, to see what it gains; then the best of them together."""
        if not self._method.may_leave_layers:
            return
        leader = self._leader()
        left = [key for key in linear_keys(self._graph) if key not in leader.float_layers]
        size = -(-len(left) // _MOST_PROBES)
        groups = [tuple(left[i : i + size]) for i in range(0, len(left), size)]
        if len(groups) < 2:
            return
        for group in groups:
            yield _with_float(leader, group)
        tried = [self._trial_of(_with_float(leader, group)) for group in groups]
        means = [t.parity.mean_abs_delta if t and t.parity else 1.0 for t in tried]
        self._gains = sorted(zip(means, groups, strict=True))
        chosen: tuple[str, ...] = self._gains[0][1]
        for _, group in self._gains[1 : len(groups) // 2]:
            if self._best and not self._best.excess and not self._thorough:
                return
            chosen += group
            yield _with_float(leader, chosen)

    def _by_layer(self) -> Iterator[QuantizationRecipe]:
        """Other strengths before the layers that gain most in float32, or before the first."""
        sensitive = [key for _, group in self._gains for key in group]
        for layer in (sensitive or list(self._leader().equalization or {}))[:_MOST_REFINED]:
            yield from refine(self._leader(), layer)

    def _trial_of(self, recipe: QuantizationRecipe) -> Trial | None:
        return next((trial for trial in self._trials if trial.recipe == recipe), None)

    def _leader(self) -> QuantizationRecipe:
        return self._best.recipe if self._best else self._method.start

    def _try(self, recipe: QuantizationRecipe) -> None:
        data = self._method.embed(self._method.make(recipe))
        trial = self._measure(recipe, data)
        self._trials.append(trial)
        if self._best is None or _rank(trial) < _rank(self._best):
            self._best, self._best_data = trial, data

    def _measure(self, recipe: QuantizationRecipe, data: bytes) -> Trial:
        choice, spec = self._choice, self._spec
        try:
            engine = open_engine(self._method.engine, data, spec)
            scores = engine.run(choice.batch)
            parity = compare(choice.scores, scores, spec)
            golden = normalize(choice.golden.pixels, spec.input)
            on_golden = compare(choice.golden.scores, engine.run(golden), spec)
        except EngineError as err:
            return Trial(recipe, None, None, len(data), None, str(err))
        drop = auc_drop(choice.scores, scores, choice.labels, spec)
        excess = self._budget.excess(parity, drop)
        if not excess and (beyond := self._budget.on_golden().excess(on_golden, None)):
            excess = f"{beyond}, on golden inputs"
        return Trial(recipe, parity, drop, len(data), median_ms(engine, choice.batch[:1]), excess)


def trial_table(trials: Sequence[Trial], taken: int | None) -> list[str]:
    """The recipes tried for one file, a line each; ``*`` marks the one that was taken."""
    head = f"  {'flips':>5}  {'max |d|':>8}  {'mean |d|':>8}  {'dAUC':>8}  {'kB':>6}  {'p50 ms':>6}"
    lines = [f"{head}  recipe"]
    for number, trial in enumerate(trials):
        mark = "*" if number == taken else " "
        over = f"  [{trial.excess}]" if trial.excess else ""
        if trial.parity is None:
            lines.append(f"{mark} {trial.recipe}{over}")
            continue
        drop = "" if trial.auc_drop is None else f"{-trial.auc_drop:+.5f}"
        lines.append(
            f"{mark} {trial.parity.flips:5}  {trial.parity.max_abs_delta:8.4f}  "
            f"{trial.parity.mean_abs_delta:8.5f}  {drop:>8}  {trial.bytes / 1e3:6.0f}  "
            f"{trial.p50_ms:6.2f}  {trial.recipe}{over}"
        )
    return lines


def _with_float(recipe: QuantizationRecipe, layers: tuple[str, ...]) -> QuantizationRecipe:
    return dataclasses.replace(recipe, float_layers=(*recipe.float_layers, *layers))


def auc_drop(
    original: Scores, exported: Scores, labels: Labels | None, spec: ModelSpec
) -> float | None:
    """Loss of area under the ROC curve; None where labels are unknown or too few."""
    if labels is None:
        return None
    before = auc(probabilities(original, spec), labels, spec)
    after = auc(probabilities(exported, spec), labels, spec)
    return None if before is None or after is None else before - after


def median_ms(engine: Engine, batch: Batch) -> float:
    """Median time of one inference, milliseconds."""
    times = []
    for _ in range(_TIMED_RUNS):
        start = time.perf_counter()
        engine.run(batch)
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3


def _rank(trial: Trial) -> tuple[bool, int, float]:
    """What holds the budget comes first, then fewer float layers, then the smaller difference."""
    mean = trial.parity.mean_abs_delta if trial.parity else 1.0
    return (bool(trial.excess), 0 if trial.excess else len(trial.recipe.float_layers), mean)
