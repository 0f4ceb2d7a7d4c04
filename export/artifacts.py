"""The files that an export can write. To add one: a function or quantizer, and a row in KINDS."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cxr_edge.bundle.manifest import Target
from cxr_edge.engines import SCORES, Format, Output
from cxr_edge.errors import ExportError, unknown_name
from cxr_edge.export.convert.ncnn import export_ncnn
from cxr_edge.export.convert.onnx import export_onnx
from cxr_edge.export.convert.tflite import export_tflite
from cxr_edge.export.graph.graph import Graph, build_model
from cxr_edge.export.graph.heatmap import explaining_model
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.quantize.onnx_int8 import PRESETS
from cxr_edge.export.quantize.quantizer import (
    CalibratedNetwork,
    DynamicTfliteQuantizer,
    OnnxQuantizer,
    Quantizer,
    StaticTfliteQuantizer,
)
from cxr_edge.export.quantize.ranges import RangeMethod
from cxr_edge.export.quantize.recipe import (
    QuantizationRecipe,
    float_ends,
    linear_keys,
    small_layers,
)
from cxr_edge.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class FloatConversion:
    """A conversion without choices."""

    convert: Callable[[Graph], bytes]
    """From the lowered network to the file."""
    budget: Budget | None
    """How far the scores may differ from the original's; None: as far as the user allows."""
    weight_bits: int = 32
    """Bits of a stored weight."""


@dataclass(frozen=True, slots=True)
class HeatmapConversion:
    """A float32 conversion that adds a heat map as an output."""

    convert: Callable[[Graph, ModelSpec], bytes]
    """From the lowered network to the file; raises ExportError if the network has no heat map."""
    budget: Budget
    """How far the scores may differ from the original's."""
    fallback: str
    """Name of the kind to write instead if the network has no heat map."""


@dataclass(frozen=True, slots=True)
class QuantizedConversion:
    """A conversion to integers; a search tries recipes until one holds the budget."""

    quantizer: Callable[[CalibratedNetwork], Quantizer]
    """What builds the files."""
    arithmetic: Literal["static", "dynamic"]
    """``static``: activation ranges are measured before; ``dynamic``: while the model runs."""
    weight_bits: int = 8
    """Bits of a weight."""
    ranges: tuple[RangeMethod, ...] = ()
    """Range methods to try, the first one first; empty: the converter has its own."""
    float_first: bool = False
    """Whether a first layer of few channels stays in float32."""
    float_last: bool = False
    """Whether the layer before the scores stays in float32."""
    may_leave_layers: bool = False
    """Whether the search may keep single layers in float32."""
    smallest: int = 0
    """Weights below which the converter does not quantize a layer."""

    def first_recipe(self, graph: Graph) -> QuantizationRecipe:
        """The recipe that a search starts from.

        Raises:
            ExportError: the converter would quantize no layer of this network.
        """
        ranges = self.ranges[0] if self.ranges else None
        layers = linear_keys(graph)
        if not layers:
            raise ExportError("the network has no convolution or dense layer to quantize")
        ends = float_ends(graph, first=self.float_first, last=self.float_last)
        float_layers = ends or small_layers(graph, self.smallest)
        if len(float_layers) == len(layers):
            raise ExportError(
                f"no layer has {self.smallest} weights, the fewest that its converter quantizes"
            )
        return QuantizationRecipe({}, ranges, bias_correction=True, float_layers=float_layers)


Conversion = FloatConversion | HeatmapConversion | QuantizedConversion


@dataclass(frozen=True, slots=True)
class ArtifactKind:
    """One kind of exported file."""

    name: str
    """Its name in options and results."""
    format: Format
    precision: str
    """Type of weights and arithmetic."""
    conversion: Conversion
    """How the file is made, and how far its scores may differ."""
    target: Target = "any"
    """Machines whose arithmetic it is made for."""
    dynamic_batch: bool = False
    """Whether it takes any number of images per call; False: one."""
    outputs: tuple[Output, ...] = SCORES
    """Its outputs, in order."""

    @property
    def is_emulated(self) -> bool:
        """Whether machines that it is not made for compute its parity by emulation."""
        return self.target == "arm64-fp16"


def _onnx(graph: Graph) -> bytes:
    return export_onnx(build_model(graph))


def _onnx_batch(graph: Graph) -> bytes:
    return export_onnx(build_model(graph), dynamic_batch=True)


def _onnx_explain(graph: Graph, spec: ModelSpec) -> bytes:
    return export_onnx(explaining_model(graph, spec))


def _tflite(graph: Graph) -> bytes:
    return export_tflite(build_model(graph, batch=1), "fp32")


def _tflite_fp16(graph: Graph) -> bytes:
    return export_tflite(build_model(graph, batch=1), "fp16-weights")


def _tflite_fp16_arithmetic(graph: Graph) -> bytes:
    return export_tflite(build_model(graph, batch=1), "fp16")


def _ncnn_fp16_arithmetic(graph: Graph) -> bytes:
    return export_ncnn(graph, "fp16")


def _onnx_int8(target: Target) -> QuantizedConversion:
    return QuantizedConversion(
        functools.partial(OnnxQuantizer, target=target),
        "static",
        weight_bits=PRESETS[target].weight_bits,
        ranges=("minmax", "percentile", "entropy"),
        float_first=True,
        float_last=True,
        may_leave_layers=True,
    )


_TFLITE_INT8_DYNAMIC = QuantizedConversion(DynamicTfliteQuantizer, "dynamic", smallest=1024)
_TFLITE_INT8_STATIC = QuantizedConversion(
    functools.partial(StaticTfliteQuantizer, integer_io=False),
    "static",
    float_last=True,
    may_leave_layers=True,
)
_TFLITE_INT8_STATIC_IO = QuantizedConversion(
    functools.partial(StaticTfliteQuantizer, integer_io=True), "static"
)

# The reference differs by 1e-6 between float32 engines, a MobileNetV2 by 1.1e-5. Rounding may also
# swap two nearly equal scores; each such pair costs 1 / (positives x negatives) of the AUC.
ROUNDING = Budget(max_flips=0, max_delta_p=5e-5, max_auc_drop=1e-3)
"""How far a float32 file may differ from the original."""

_ALL = (
    ArtifactKind("onnx-int8-x86-vnni", "onnx", "int8-static", _onnx_int8("x86-vnni"), "x86-vnni"),
    ArtifactKind("onnx-int8-arm64", "onnx", "int8-static", _onnx_int8("arm64"), "arm64"),
    ArtifactKind("onnx-int8", "onnx", "int8-static", _onnx_int8("portable"), "portable"),
    ArtifactKind("onnx-fp32", "onnx", "fp32", FloatConversion(_onnx, ROUNDING)),
    ArtifactKind(
        "onnx-explain",
        "onnx",
        "fp32",
        HeatmapConversion(_onnx_explain, ROUNDING, fallback="onnx-fp32"),
        outputs=(*SCORES, "heatmap"),
    ),
    ArtifactKind(
        "onnx-fp32-batch",
        "onnx",
        "fp32",
        FloatConversion(_onnx_batch, ROUNDING),
        dynamic_batch=True,
    ),
    ArtifactKind("tflite-int8-dynamic", "tflite", "int8-dynamic", _TFLITE_INT8_DYNAMIC, "portable"),
    ArtifactKind("tflite-int8-static", "tflite", "int8-static", _TFLITE_INT8_STATIC, "portable"),
    ArtifactKind(
        "tflite-int8-static-io", "tflite", "int8-static", _TFLITE_INT8_STATIC_IO, "portable"
    ),
    ArtifactKind(
        "tflite-fp16", "tflite", "fp16-weights", FloatConversion(_tflite_fp16, None, weight_bits=16)
    ),
    ArtifactKind(
        "tflite-fp16-arithmetic",
        "tflite",
        "fp16",
        FloatConversion(_tflite_fp16_arithmetic, None, weight_bits=16),
        "arm64-fp16",
    ),
    ArtifactKind("tflite-fp32", "tflite", "fp32", FloatConversion(_tflite, ROUNDING)),
    ArtifactKind("ncnn-fp32", "ncnn", "fp32", FloatConversion(export_ncnn, ROUNDING)),
    ArtifactKind(
        "ncnn-fp16-arithmetic",
        "ncnn",
        "fp16",
        FloatConversion(_ncnn_fp16_arithmetic, None, weight_bits=16),
        "arm64-fp16",
    ),
)

KINDS = {kind.name: kind for kind in _ALL}
"""Every kind by name, in a manifest's order; see :mod:`cxr_edge.bundle.preference`."""

FP32 = ("onnx-fp32", "onnx-fp32-batch", "tflite-fp32")
"""What an export without options writes."""
INT8 = ("onnx-int8", "onnx-explain", "tflite-int8-dynamic")
"""What ``--int8`` writes: the best integer files that are right on any machine, and one float32
file, as a fallback and for heat maps."""
FP16 = ("tflite-fp16", "onnx-fp32")
"""What ``--fp16`` writes."""


def find_kinds(names: tuple[str, ...]) -> tuple[ArtifactKind, ...]:
    """Look kinds up by name; each once, in the order of preference. No names: those of FP32.

    Raises:
        UsageError: a name is unknown; the message suggests the nearest one.
    """
    for name in names:
        if name not in KINDS:
            raise unknown_name("artifact", name, KINDS)
    wanted = names or FP32
    return tuple(kind for kind in KINDS.values() if kind.name in wanted)
