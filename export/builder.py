"""Builds the files of one export from the lowered network, and checks each against the original."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from cxr_edge.bundle.embedded import Embedded
from cxr_edge.bundle.manifest import Quantization
from cxr_edge.errors import ParityError
from cxr_edge.export.artifacts import (
    ArtifactKind,
    HeatmapConversion,
    QuantizedConversion,
)
from cxr_edge.export.convert.metadata import embed
from cxr_edge.export.convert.onnx import export_onnx
from cxr_edge.export.drafts import BuiltArtifact, Draft
from cxr_edge.export.emulation import needs_emulation, prove_emulated
from cxr_edge.export.float_files import FloatFiles, needs_check
from cxr_edge.export.gate import EngineProof, prove_artifact, prove_heatmaps
from cxr_edge.export.golden.reproduction import reproduce
from cxr_edge.export.graph.float16 import check_emulated
from cxr_edge.export.graph.gradient import differentiate
from cxr_edge.export.graph.graph import Affine
from cxr_edge.export.graph.heatmap import find_tail
from cxr_edge.export.graph.proof import lower_proven
from cxr_edge.export.images import ExportImages
from cxr_edge.export.machine import check_suited, proving_engines
from cxr_edge.export.quantize.quantizer import CalibratedNetwork, calibrate
from cxr_edge.export.quantize.recipe import QuantizationRecipe
from cxr_edge.export.quantize.search import Search
from cxr_edge.export.quantize.trials import Trial
from cxr_edge.export.range_check import outside_ranges
from cxr_edge.export.request import ExportRequest, OriginalModel
from cxr_edge.files import sha256
from cxr_edge.preprocess import normalize
from cxr_edge.reporting import Reporter

# Called layer by layer, the reference differs by 5e-7: its sums are in another order.
_SAME_NETWORK = 5e-5


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
        graph, self._graph = lower_proven(model, self._spec, reporter)
        before, after = (
            sum(isinstance(n.operation, Affine) for n in g.nodes) for g in (graph, self._graph)
        )
        self.lowering_summary = (
            f"{len(graph.nodes)} operations became {len(self._graph.nodes)}; "
            f"{before} affine maps became {after}"
        )
        """What lowering did, for the report."""
        self._float_files = FloatFiles(self._convert, images.float_sets, original.spec)
        self._searches: dict[str, Search] = {}

    def check_possible(self, kind: ArtifactKind) -> None:
        """Refuse, before any work is done, a kind that this machine or network does not allow.

        Raises:
            ParityError: it cannot be proven on this machine.
            ExportError: the network has no heat map, no layer that the kind quantizes, or one whose
                arithmetic cannot be emulated.
        """
        check_suited(kind)
        if isinstance(kind.conversion, HeatmapConversion):
            find_tail(self._graph, self._spec)
        elif needs_emulation(kind):
            check_emulated(self._graph)
        elif isinstance(kind.conversion, QuantizedConversion):
            kind.conversion.first_recipe(self._graph)

    def prepare_search(self, kinds: Sequence[ArtifactKind]) -> None:
        """Bring the golden inputs into the ranges of the user's calibration images.

        Args:
            kinds: what will be built; without a quantized one the golden inputs stay.
        """
        is_searched = any(isinstance(kind.conversion, QuantizedConversion) for kind in kinds)
        if is_searched and self._images.are_calibrated_by_user and not self._request.keep_images:
            excess = functools.partial(outside_ranges, self._network, self._spec.input)
            self._images.golden.move_inside(
                excess, self._images.calibration.samples, keep_decisions=self._images.are_users
            )

    def check_float(self, kind: ArtifactKind, asked: Sequence[ArtifactKind]) -> None:
        """Prove the float32 conversion to a kind's format, where its own budget is wider.

        Raises:
            ExportError: the converter failed, or changes this network.
        """
        needed = {k.format for k in asked if needs_check(k)}
        if kind.format in needed:
            self._float_files.check(kind.format, asked)

    def build(self, kind: ArtifactKind) -> Draft:
        """Build a file; it is not proven yet.

        Raises:
            ParityError: no recipe holds the budget.
            ExportError: a converter failed.
        """
        if isinstance(kind.conversion, QuantizedConversion):
            return self._search(kind, kind.conversion)
        self._reporter.say(f"converting to {kind.name}")
        budget, quantization = kind.conversion.budget or self._request.budget, None
        bits = getattr(kind.conversion, "weight_bits", 32)
        if bits < 32:
            quantization = Quantization("weights", bits, None, {}, False, (), None)
        return Draft(kind, self._float_files.file(kind), budget, quantization)

    def trials(self, kind: ArtifactKind) -> tuple[Trial, ...]:
        """Recipes that were tried for a kind, whether or not one held the budget."""
        search = self._searches.get(kind.name)
        return search.trials if search else ()

    def settle_golden(self, drafts: Sequence[Draft]) -> None:
        """Replace golden inputs that overrule the user's images; see :mod:`.golden.inputs`."""
        quantized = [d for d in drafts if isinstance(d.kind.conversion, QuantizedConversion)]
        if quantized and self._images.are_users:
            golden = self._images.golden
            answers = [
                reproduce(d.data, d.kind, golden.pool, self._spec, d.budget.max_delta_p)
                for d in quantized
            ]
            golden.replace([answer for answer in answers if answer])
            if near := golden.near:
                answers = [
                    reproduce(d.data, d.kind, near, self._spec, d.budget.max_delta_p)
                    for d in quantized
                ]
                golden.spare_near([answer for answer in answers if answer])

    def prove(self, draft: Draft) -> BuiltArtifact:
        """Check a file against the original on every engine.

        Raises:
            ParityError: it differs too much.
        """
        kind = draft.kind
        tolerance = self._images.golden.tolerances.get(kind.name, draft.budget.max_delta_p)
        proofs = prove_artifact(
            draft.data,
            kind,
            draft.budget,
            self._images.parity_sets,
            self._embedded,
            self._request.group_of,
            golden_tolerance=tolerance,
            near=self._images.golden.near,
            near_data=self._images.near_data,
        )
        if isinstance(kind.conversion, HeatmapConversion):
            proofs = self._prove_heatmaps(draft.data, kind, proofs)
        if needs_emulation(kind):
            proofs = prove_emulated(
                self._graph,
                kind,
                proofs,
                tolerance,
                self._images.parity_sets[0],
                self._images.golden.near,
                self._spec,
                self._request.group_of,
                self._reporter,
            )
        return BuiltArtifact(
            kind,
            draft.data,
            draft.budget,
            tolerance,
            proofs,
            draft.quantization,
            draft.trials,
            draft.taken,
        )

    def stock_onnx(self) -> bytes:
        """The original network converted without lowering, to compare its speed."""
        return export_onnx(self._model)

    def _convert(self, kind: ArtifactKind) -> bytes:
        conversion = kind.conversion
        assert not isinstance(conversion, QuantizedConversion)  # noqa: S101 - as FloatFiles says
        if isinstance(conversion, HeatmapConversion):
            converted = conversion.convert(self._graph, self._spec)
        else:
            converted = conversion.convert(self._graph)
        return embed(converted, kind.format, self._embedded)

    def _search(self, kind: ArtifactKind, conversion: QuantizedConversion) -> Draft:
        images, budget = self._images.selection, self._request.budget
        search = Search(
            kind,
            self._network,
            images,
            self._embedded,
            engine=proving_engines(kind.name, kind.format)[0],
            budget=budget,
            strengths=self._request.strengths,
            thorough=self._request.thorough,
            reporter=self._reporter,
        )
        self._searches[kind.name] = search
        result = search.run()
        self._reporter.say(
            f"{kind.name}: {len(result.trials)} recipes tried on {len(images.batch)} "
            f"{images.source}; taken: {result.recipe}"
        )
        quantization = self._quantization(conversion, result.recipe)
        return Draft(kind, result.data, budget, quantization, result.trials, result.taken)

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
                f"{delta:.2g}, allowed {_SAME_NETWORK:g}"
            )
        return prove_heatmaps(data, kind, proofs, golden.samples, maps, self._spec)
