"""One export at work: each file made of the lowered network, and proven."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxr_edge.bundle.embedded import Embedded
from cxr_edge.bundle.manifest import Quantization
from cxr_edge.errors import ExportError, ParityError
from cxr_edge.export.artifacts import KINDS, ArtifactKind, Converted, Explained, Quantized
from cxr_edge.export.convert.metadata import embed
from cxr_edge.export.convert.onnx import export_onnx
from cxr_edge.export.gate import EngineProof, prove_artifact, prove_heatmaps, proving_engines
from cxr_edge.export.graph.gradient import differentiate
from cxr_edge.export.graph.graph import Affine, unusual_layers
from cxr_edge.export.graph.heatmap import find_tail
from cxr_edge.export.graph.lowering import lower
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.export.images import Images
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.quantize.quantizer import Quantizer
from cxr_edge.export.quantize.recipe import QuantizationRecipe
from cxr_edge.export.quantize.search import Method, Search, Trial, trial_table
from cxr_edge.export.report import ArtifactReport, Speed
from cxr_edge.export.request import ExportRequest, OriginalModel
from cxr_edge.files import sha256
from cxr_edge.preprocess import normalize
from cxr_edge.reporting import Reporter

# Read layer by layer and called again, the reference differs by 5e-7: sums in another order.
_SAME_NETWORK = 5e-5


@dataclass(frozen=True, slots=True)
class Made:
    """A file that was made and proven."""

    kind: ArtifactKind
    """Which kind."""
    data: bytes
    """The file."""
    budget: Budget
    """How far it may differ."""
    quantization: Quantization | None
    """How it was quantized."""
    trials: tuple[Trial, ...]
    """Recipes tried."""
    taken: int | None
    """Which was taken."""
    proofs: tuple[EngineProof, ...]
    """What it was shown to do."""

    def report(self, speed: Speed) -> ArtifactReport:
        """Its part of the report."""
        why = "converted without a choice to make"
        if self.taken is not None:
            held = sum(not trial.excess for trial in self.trials)
            why = (
                f"of the {held} recipes within the budget the one with the fewest layers in "
                "float32, then the smallest mean difference"
            )
        return ArtifactReport(
            self.kind.name,
            len(self.data),
            self.budget,
            self.trials,
            self.taken,
            why,
            self.proofs,
            speed,
        )


class ArtifactBuilder:
    """Lowers the original once, and makes files of it."""

    def __init__(
        self,
        model: Any,
        original: OriginalModel,
        request: ExportRequest,
        images: Images,
        reporter: Reporter,
    ) -> None:
        self._model, self._spec, self._request = model, original.spec, request
        self._images, self._reporter = images, reporter
        self._embedded = Embedded(sha256(original.data), original.spec)
        graph = read_graph(model)
        self._graph = lower(graph)
        before, after = (
            sum(isinstance(n.operation, Affine) for n in g.nodes) for g in (graph, self._graph)
        )
        self.lowered_says = (
            f"{len(graph.nodes)} operations became {len(self._graph.nodes)}; "
            f"{before} affine maps became {after}"
        )
        """What the rewrite did."""

    def possible(self, kinds: tuple[ArtifactKind, ...]) -> tuple[ArtifactKind, ...]:
        """The kinds that this network allows, each once.

        Raises:
            ExportError: one that was asked for by name is impossible.
        """
        found = []
        for kind in kinds:
            if isinstance(kind.how, Explained):
                try:
                    find_tail(self._graph, self._spec)
                except ExportError as err:
                    if kind.name in self._request.named:
                        raise ExportError(f"{kind.name}: {err}") from err
                    self._reporter.say(f"no heat map: {err}")
                    kind = KINDS[kind.how.otherwise]
            if isinstance(kind.how, Quantized):
                try:
                    kind.how.start(self._graph)
                except ExportError as err:
                    if kind.name in self._request.named:
                        raise ExportError(f"{kind.name}: {err}") from err
                    self._reporter.say(f"left out: {kind.name}: {err}")
                    continue
            found.append(kind)
        return tuple(dict.fromkeys(found))

    def make(self, kind: ArtifactKind) -> Made:
        """Make a file and prove it.

        Raises:
            ParityError: it does not answer like the original, or no recipe holds the budget.
            ExportError: a converter fails.
        """
        how = kind.how
        if isinstance(how, Quantized):
            return self._search(kind, how)
        self._reporter.say(f"converting to {kind.name}")
        try:
            data = self._embed(kind, self._convert(how))
        except ExportError as err:
            suspects = ", ".join(unusual_layers(self._graph))
            if not suspects:
                raise
            raise ExportError(f"{err}; its unusual layers are {suspects}") from err
        quantization = None
        if isinstance(how, Converted) and how.weight_bits < 32:
            quantization = Quantization("weights", how.weight_bits, None, {}, False, (), None)
        budget = how.budget or self._request.budget
        proofs = self._prove(data, kind, budget)
        if isinstance(how, Explained):
            proofs = self._prove_heatmaps(data, kind, proofs)
        return Made(kind, data, budget, quantization, (), None, proofs)

    def stock_onnx(self) -> bytes:
        """The original network converted as it is, to compare speed with."""
        return export_onnx(self._model)

    def _embed(self, kind: ArtifactKind, data: bytes) -> bytes:
        return embed(data, kind.format, self._embedded)

    def _prove(self, data: bytes, kind: ArtifactKind, budget: Budget) -> tuple[EngineProof, ...]:
        return prove_artifact(
            data, kind, budget, self._images.evidence, self._embedded, self._request.group_of
        )

    def _convert(self, how: Converted | Explained) -> bytes:
        if isinstance(how, Explained):
            return how.convert(self._graph, self._spec)
        return how.convert(self._graph)

    def _prove_heatmaps(
        self, data: bytes, kind: ArtifactKind, proofs: tuple[EngineProof, ...]
    ) -> tuple[EngineProof, ...]:
        """Prove the maps, against a network that is shown to be the original by its scores."""
        golden = self._images.evidence[0]
        scores, maps = differentiate(self._model, golden.samples.pixels, self._spec)
        apart = float(np.abs(scores - golden.scores).max())
        if not apart <= _SAME_NETWORK:
            raise ParityError(
                f"{kind.name}: the network that was differentiated answers {apart:.2g} unlike the "
                "original; nothing was written"
            )
        return prove_heatmaps(data, kind, proofs, golden.samples, maps, self._spec)

    def _search(self, kind: ArtifactKind, how: Quantized) -> Made:
        quantizer, choice = self._quantizer, self._images.choice
        method = Method(
            make=lambda recipe: how.convert(quantizer, recipe),
            embed=lambda data: self._embed(kind, data),
            format=kind.format,
            engine=proving_engines(kind.name, kind.format)[0],
            start=how.start(self._graph),
            ranges=how.ranges[1:],
            may_leave_layers=how.may_leave_layers,
        )
        budget, spec = self._request.budget, self._spec
        found = Search(
            kind.name,
            method,
            self._graph,
            choice,
            budget,
            spec,
            pairs=quantizer.pairs,
            thorough=self._request.thorough,
            reporter=self._reporter,
        ).run()
        taken = [trial.recipe for trial in found.trials].index(found.recipe)
        proofs = self._prove(found.data, kind, budget)
        quantization = self._describe(how, found.recipe)
        made = Made(kind, found.data, budget, quantization, found.trials, taken, proofs)
        table = "\n".join(trial_table(found.trials, taken))
        images = len(choice.batch)
        self._reporter.say(f"{kind.name}, tried on {images} {choice.source}\n{table}")
        return made

    def _describe(self, how: Quantized, recipe: QuantizationRecipe) -> Quantization:
        return Quantization(
            how.arithmetic,
            how.weight_bits,
            recipe.ranges or ("minmax" if how.arithmetic == "static" else None),
            recipe.equalization or {},
            recipe.bias_correction,
            recipe.float_layers,
            self._images.calibration_record(),
        )

    @functools.cached_property
    def _quantizer(self) -> Quantizer:
        samples, _ = self._images.calibration
        return Quantizer(self._graph, normalize(samples.pixels, self._spec.input))
