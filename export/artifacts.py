"""The files that an export can write: how each is made, and how far it may differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from cxr_edge.bundle.manifest import Target
from cxr_edge.engines import SCORES, Format, Output
from cxr_edge.errors import ExportError, unknown_name
from cxr_edge.export.convert.onnx import export_onnx
from cxr_edge.export.convert.tflite import export_tflite
from cxr_edge.export.graph.graph import Graph, build_model
from cxr_edge.export.graph.heatmap import explaining_model
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.quantize.onnx_int8 import Ranges
from cxr_edge.export.quantize.quantizer import Quantizer
from cxr_edge.export.quantize.recipe import (
    QuantizationRecipe,
    float_ends,
    linear_keys,
    small_layers,
)
from cxr_edge.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Converted:
    """A file that answers like the original up to the rounding of its numbers."""

    budget: Budget | None
    """How far it may differ; None: as far as the export is asked to accept."""
    convert: Callable[[Graph], bytes]
    """From the lowered network to the file."""
    weight_bits: int = 32
    """Bits of a weight; computed in float32 all the same."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A float32 file that answers a heat map too."""

    budget: Budget
    """How far its scores may differ."""
    convert: Callable[[Graph, ModelSpec], bytes]
    """From the lowered network to the file; an ExportError where it has no such map."""
    otherwise: str
    """The kind to write instead where the network has no such map."""


@dataclass(frozen=True, slots=True)
class Quantized:
    """A file whose recipe is searched until it holds the budget."""

    arithmetic: Literal["static", "dynamic"]
    """Where activation ranges come from."""
    convert: Callable[[Quantizer, QuantizationRecipe], bytes]
    """From the lowered network to the file."""
    weight_bits: int = 8
    """Bits of a weight."""
    ranges: tuple[Ranges, ...] = ()
    """Ways to take activation ranges, the first to try first; empty: the converter has one."""
    float_first: bool = False
    """Whether a first layer of few channels stays in float32."""
    float_last: bool = False
    """Whether the layer before the scores stays in float32."""
    may_leave_layers: bool = False
    """Whether single layers can be left in float32."""
    smallest: int = 0
    """Weights that a layer must have for the converter to quantize it."""

    def start(self, graph: Graph) -> QuantizationRecipe:
        """The recipe to start from.

        Raises:
            ExportError: the converter would quantize no layer, and the file be called int8 all
                the same.
        """
        ranges = self.ranges[0] if self.ranges else None
        ends = float_ends(graph, first=self.float_first, last=self.float_last)
        left = ends or small_layers(graph, self.smallest)
        if len(left) == len(linear_keys(graph)):
            raise ExportError(
                f"no layer has the {self.smallest} weights from which its converter quantizes one"
            )
        return QuantizationRecipe({}, ranges, bias_correction=True, float_layers=left)


@dataclass(frozen=True, slots=True)
class ArtifactKind:
    """One kind of exported file."""

    name: str
    """What options and results call it."""
    format: Format
    """The kind of file."""
    precision: str
    """Type of weights and arithmetic."""
    how: Converted | Explained | Quantized
    """How it is made, and how far it may differ."""
    target: Target = "any"
    """Machines it is meant for."""
    dynamic_batch: bool = False
    """Whether it takes any number of images a call."""
    outputs: tuple[Output, ...] = SCORES
    """What it answers, in order."""


# The reference differs by 1e-6 between float32 engines, a MobileNetV2 by 1.1e-5. Rounding may also
# swap two nearly equal scores, each pair worth 1 / (positives x negatives) of the AUC.
_ROUNDING = Budget(max_flips=0, max_delta_p=5e-5, max_auc_drop=1e-3)


def _onnx_int8(name: str, target: Target, bits: int) -> ArtifactKind:
    how = Quantized(
        "static",
        lambda quantizer, recipe: quantizer.onnx(recipe, target),
        weight_bits=bits,
        ranges=("minmax", "percentile", "entropy"),
        float_first=True,
        float_last=True,
        may_leave_layers=True,
    )
    return ArtifactKind(name, "onnx", "int8-static", how, target)


KINDS = {
    kind.name: kind
    for kind in (
        _onnx_int8("onnx-int8-x86-vnni", "x86-vnni", 8),
        _onnx_int8("onnx-int8-arm64", "arm64", 8),
        _onnx_int8("onnx-int8", "portable", 7),
        ArtifactKind(
            "onnx-fp32",
            "onnx",
            "fp32",
            Converted(_ROUNDING, lambda graph: export_onnx(build_model(graph))),
        ),
        ArtifactKind(
            "onnx-explain",
            "onnx",
            "fp32",
            Explained(
                _ROUNDING,
                lambda graph, spec: export_onnx(explaining_model(graph, spec)),
                otherwise="onnx-fp32",
            ),
            outputs=(*SCORES, "heatmap"),
        ),
        ArtifactKind(
            "onnx-fp32-batch",
            "onnx",
            "fp32",
            Converted(_ROUNDING, lambda graph: export_onnx(build_model(graph), dynamic_batch=True)),
            dynamic_batch=True,
        ),
        ArtifactKind(
            "tflite-int8-dynamic",
            "tflite",
            "int8-dynamic",
            Quantized(
                "dynamic", lambda quantizer, recipe: quantizer.dynamic(recipe), smallest=1024
            ),
            "portable",
        ),
        ArtifactKind(
            "tflite-int8-static",
            "tflite",
            "int8-static",
            Quantized(
                "static",
                lambda quantizer, recipe: quantizer.static(recipe, integer_io=False),
                float_last=True,
                may_leave_layers=True,
            ),
            "portable",
        ),
        ArtifactKind(
            "tflite-int8-static-io",
            "tflite",
            "int8-static",
            Quantized(
                "static", lambda quantizer, recipe: quantizer.static(recipe, integer_io=True)
            ),
            "portable",
        ),
        ArtifactKind(
            "tflite-fp16",
            "tflite",
            "fp16-weights",
            Converted(None, lambda graph: _tflite(graph, "fp16"), 16),
        ),
        ArtifactKind(
            "tflite-fp32",
            "tflite",
            "fp32",
            Converted(_ROUNDING, lambda graph: _tflite(graph, "fp32")),
        ),
    )
}
"""Every kind by name, the one that a device should take first."""

FP32 = ("onnx-fp32", "onnx-fp32-batch", "tflite-fp32")
"""What an export without options writes."""
INT8 = ("onnx-int8", "onnx-explain", "tflite-int8-dynamic")
"""What ``--int8`` writes: the best integer files for any machine, and float32 to fall back on and
to explain with: one file, since both hold the same weights."""
FP16 = ("tflite-fp16", "onnx-fp32")
"""What ``--fp16`` writes."""


def find_kinds(names: tuple[str, ...]) -> tuple[ArtifactKind, ...]:
    """The kinds of these names, in the order of preference, each once; no names: float32.

    Raises:
        UsageError: a name is unknown; the message names the nearest one.
    """
    for name in names:
        if name not in KINDS:
            raise unknown_name("artifact", name, KINDS)
    wanted = names or FP32
    return tuple(kind for kind in KINDS.values() if kind.name in wanted)


def _tflite(graph: Graph, precision: Literal["fp32", "fp16"]) -> bytes:
    model: Any = build_model(graph, batch=1)
    return export_tflite(model, precision)
