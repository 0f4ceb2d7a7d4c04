"""Builds the files of one export from the lowered network, and checks each against the original."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxr_edge.bundle.embedded import Embedded
from cxr_edge.bundle.manifest import Quantization
from cxr_edge.errors import ExportError, ParityError
from cxr_edge.export.artifacts import (
    KINDS,
    ArtifactKind,
    FloatConversion,
    HeatmapConversion,
    QuantizedConversion,
)
from cxr_edge.export.convert.metadata import embed
from cxr_edge.export.convert.onnx import export_onnx
from cxr_edge.export.gate import EngineProof, prove_artifact, prove_heatmaps, proving_engines
from cxr_edge.export.graph.gradient import differentiate
from cxr_edge.export.graph.graph import Affine
from cxr_edge.export.graph.heatmap import find_tail
from cxr_edge.export.graph.lowering import lower
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.export.images import ExportImages
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.quantize.quantizer import CalibratedNetwork, calibrate
from cxr_edge.export.quantize.recipe import QuantizationRecipe
from cxr_edge.export.quantize.search import Search
from cxr_edge.export.quantize.trials import Trial, trial_table
from cxr_edge.export.report import ArtifactReport, Speed
from cxr_edge.export.request import ExportRequest, OriginalModel
from cxr_edge.files import sha256
from cxr_edge.preprocess import normalize
from cxr_edge.reporting import Reporter

# Called layer by layer, the reference differs by 5e-7: its sums are in another order.
_SAME_NETWORK = 5e-5


@dataclass(frozen=True, slots=True)
class BuiltArtifact:
    """A file that passed the gate."""

    kind: ArtifactKind
    data: bytes
    budget: Budget
    """How far it may differ from the original."""
    proofs: tuple[EngineProof, ...]
    """Its parity on each engine."""
    quantization: Quantization | None = None
    """How it was quantized; None: it was not."""
    trials: tuple[Trial, ...] = ()
    """Recipes that were tried; empty: nothing was searched."""
    taken: int | None = None
    """Index of the trial that made it; None: nothing was searched."""

    def report(self, speed: Speed) -> ArtifactReport:
        """Its part of the export report."""
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
    """Lowers the original network once and builds every kind of file from it."""

    def __init__(
        self,
        model: Any,
        original: OriginalModel,
        request: ExportRequest,
        images: ExportImages,
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
        self.lowering_summary = (
            f"{len(graph.nodes)} operations became {len(self._graph.nodes)}; "
            f"{before} affine maps became {after}"
        )
        """What lowering did, for the report."""

    def supported(self, kinds: tuple[ArtifactKind, ...]) -> tuple[ArtifactKind, ...]:
        """The kinds that this network allows, or their replacements, each once.

        Raises:
            ExportError: a kind that was asked for by name is not possible.
        """
        supported = []
        for kind in kinds:
            try:
                if isinstance(kind.conversion, HeatmapConversion):
                    find_tail(self._graph, self._spec)
                elif isinstance(kind.conversion, QuantizedConversion):
                    kind.conversion.first_recipe(self._graph)
            except ExportError as err:
                if kind.name in self._request.named:
                    raise ExportError(f"{kind.name}: {err}") from err
                if isinstance(kind.conversion, HeatmapConversion):
                    self._reporter.say(f"no heat map: {err}")
                    supported.append(KINDS[kind.conversion.fallback])
                else:
                    self._reporter.say(f"left out: {kind.name}: {err}")
            else:
                supported.append(kind)
        return tuple(dict.fromkeys(supported))

    def build(self, kind: ArtifactKind) -> BuiltArtifact:
        """Build a file and check it.

        Raises:
            ParityError: it differs too much from the original, or no recipe holds the budget.
            ExportError: a converter failed.
        """
        if isinstance(kind.conversion, QuantizedConversion):
            return self._search(kind, kind.conversion)
        return self._convert(kind, kind.conversion)

    def stock_onnx(self) -> bytes:
        """The original network converted without lowering, to compare its speed."""
        return export_onnx(self._model)

    def _convert(
        self, kind: ArtifactKind, conversion: FloatConversion | HeatmapConversion
    ) -> BuiltArtifact:
        self._reporter.say(f"converting to {kind.name}")
        budget = conversion.budget or self._request.budget
        if isinstance(conversion, HeatmapConversion):
            converted = conversion.convert(self._graph, self._spec)
        else:
            converted = conversion.convert(self._graph)
        data = embed(converted, kind.format, self._embedded)
        proofs = self._prove(data, kind, budget)
        if isinstance(conversion, HeatmapConversion):
            proofs = self._prove_heatmaps(data, kind, proofs)
            return BuiltArtifact(kind, data, budget, proofs)
        quantization = None
        if conversion.weight_bits < 32:
            quantization = Quantization(
                "weights", conversion.weight_bits, None, {}, False, (), None
            )
        return BuiltArtifact(kind, data, budget, proofs, quantization)

    def _search(self, kind: ArtifactKind, conversion: QuantizedConversion) -> BuiltArtifact:
        images, budget = self._images.selection, self._request.budget
        result = Search(
            kind,
            self._network,
            images,
            self._embedded,
            engine=proving_engines(kind.name, kind.format)[0],
            budget=budget,
            strengths=self._request.strengths,
            thorough=self._request.thorough,
            reporter=self._reporter,
        ).run()
        proofs = self._prove(result.data, kind, budget)
        table = "\n".join(trial_table(result.trials, result.taken))
        self._reporter.say(f"{kind.name}, tried on {len(images.batch)} {images.source}\n{table}")
        quantization = self._quantization(conversion, result.recipe)
        return BuiltArtifact(
            kind, result.data, budget, proofs, quantization, result.trials, result.taken
        )

    @functools.cached_property
    def _network(self) -> CalibratedNetwork:
        pixels = self._images.calibration.samples.pixels
        return calibrate(self._graph, normalize(pixels, self._spec.input))

    def _quantization(
        self, conversion: QuantizedConversion, recipe: QuantizationRecipe
    ) -> Quantization:
        return Quantization(
            conversion.arithmetic,
            conversion.weight_bits,
            recipe.ranges or ("minmax" if conversion.arithmetic == "static" else None),
            recipe.equalization or {},
            recipe.bias_correction,
            recipe.float_layers,
            self._images.calibration_record(),
        )

    def _prove(self, data: bytes, kind: ArtifactKind, budget: Budget) -> tuple[EngineProof, ...]:
        return prove_artifact(
            data, kind, budget, self._images.parity_sets, self._embedded, self._request.group_of
        )

    def _prove_heatmaps(
        self, data: bytes, kind: ArtifactKind, proofs: tuple[EngineProof, ...]
    ) -> tuple[EngineProof, ...]:
        """Compare the heat maps with the gradient of the original network.

        The network that is differentiated was taken apart; its scores show that it is the original.
        """
        golden = self._images.parity_sets[0]
        scores, maps = differentiate(self._model, golden.samples.pixels, self._spec)
        delta = float(np.abs(scores - golden.scores).max())
        if not delta <= _SAME_NETWORK:
            raise ParityError(
                f"{kind.name}: the network that was differentiated differs from the original by "
                f"{delta:.2g}, allowed {_SAME_NETWORK:g}; nothing was written"
            )
        return prove_heatmaps(data, kind, proofs, golden.samples, maps, self._spec)
