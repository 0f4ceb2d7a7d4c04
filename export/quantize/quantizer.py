"""Quantizers: each builds int8 files of one kind from a calibrated network, one per recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from cxr_edge.bundle.manifest import Target
from cxr_edge.export.convert.onnx import export_onnx, tensor_names
from cxr_edge.export.convert.tflite import export_static, export_tflite, float_operations
from cxr_edge.export.graph.graph import Graph, build_model
from cxr_edge.export.quantize.bias import correct_biases
from cxr_edge.export.quantize.equalize import Pair, equalize, find_pairs
from cxr_edge.export.quantize.onnx_int8 import PRESETS, observe, quantize_onnx
from cxr_edge.export.quantize.onnx_offsets import fold_offsets
from cxr_edge.export.quantize.onnx_rewrite import join_padding
from cxr_edge.export.quantize.ranges import ActivationStatistics, measure_activations
from cxr_edge.export.quantize.recipe import QuantizationRecipe, layer_key
from cxr_edge.preprocess import Batch

_LARGEST_WEIGHT = {8: 127, 7: 64}
"""Largest integer of a weight by its bits, as onnxruntime and TensorFlow Lite round."""


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedNetwork:
    """A lowered network with its calibration images; see :func:`calibrate`."""

    graph: Graph
    batch: Batch
    """(N, height, width, channels) float32, the calibration images."""
    statistics: ActivationStatistics
    """Of the inputs of its layers on those images."""
    pairs: tuple[Pair, ...]
    """Layers between which channels can be equalized."""

    def prepare(self, recipe: QuantizationRecipe, weight_bits: int) -> Graph:
        """Equalize the network and correct its biases as a recipe says; still float."""
        graph, statistics = self.graph, self.statistics
        if recipe.equalization is not None:
            strengths = {
                pair: recipe.equalization[layer_key(graph, pair.consumer)] for pair in self.pairs
            }
            graph, statistics = equalize(graph, statistics, strengths)
        if recipe.bias_correction:
            skip = [
                i for i in range(len(graph.nodes)) if layer_key(graph, i) in recipe.float_layers
            ]
            levels = _LARGEST_WEIGHT[weight_bits]
            graph = correct_biases(graph, statistics, levels=levels, skip=skip)
        return graph


def calibrate(graph: Graph, batch: Batch) -> CalibratedNetwork:
    """Measure a lowered network on calibration images, (N, height, width, channels) float32."""
    return CalibratedNetwork(graph, batch, measure_activations(graph, batch), find_pairs(graph))


class Quantizer(Protocol):
    """Builds files of one kind."""

    def build(self, recipe: QuantizationRecipe) -> bytes:
        """Build the file that a recipe describes, without metadata.

        Raises:
            ExportError: a converter failed.
        """


class OnnxQuantizer:
    """ONNX with static ranges. Keeps what consecutive recipes share."""

    def __init__(self, network: CalibratedNetwork, target: Target) -> None:
        self._network, self._preset = network, PRESETS[target]
        self._float_model: tuple[object, bytes] | None = None
        self._ranges: tuple[object, Any] | None = None

    def build(self, recipe: QuantizationRecipe) -> bytes:
        """See :meth:`Quantizer.build`."""
        data = self._float_onnx(recipe)
        # A corrected bias moves a range by less than a step, so its ranges are reused. The names
        # are part of the key because a bias of zeros is dropped, which renames the tensors.
        key = (str(recipe.equalization), recipe.ranges, tensor_names(data))
        if self._ranges is None or self._ranges[0] != key:
            self._ranges = None  # frees the old histograms, which are large, before the new ones
            self._ranges = key, observe(data, self._network.batch, recipe.ranges or "minmax")
        layers = frozenset(recipe.float_layers)
        return quantize_onnx(fold_offsets(data, layers), self._ranges[1], self._preset, layers)

    def _float_onnx(self, recipe: QuantizationRecipe) -> bytes:
        """The float32 file that is quantized."""
        key = (str(recipe.equalization), recipe.bias_correction and recipe.float_layers)
        if self._float_model is None or self._float_model[0] != key:
            graph = self._network.prepare(recipe, self._preset.weight_bits)
            self._float_model = key, join_padding(export_onnx(build_model(graph)))
        return self._float_model[1]


class DynamicTfliteQuantizer:
    """TensorFlow Lite with 8-bit weights; activations are quantized while the model runs."""

    def __init__(self, network: CalibratedNetwork) -> None:
        self._network = network

    def build(self, recipe: QuantizationRecipe) -> bytes:
        """See :meth:`Quantizer.build`."""
        return export_tflite(build_model(self._network.prepare(recipe, 8), batch=1), "int8-dynamic")


class StaticTfliteQuantizer:
    """TensorFlow Lite with static ranges."""

    def __init__(self, network: CalibratedNetwork, *, integer_io: bool) -> None:
        self._network, self._integer_io = network, integer_io
        self._float_operations: dict[tuple[str, ...], tuple[str, ...]] = {}

    def build(self, recipe: QuantizationRecipe) -> bytes:
        """See :meth:`Quantizer.build`."""
        model = build_model(self._network.prepare(recipe, 8), batch=1)
        batch, layers = self._network.batch, recipe.float_layers
        if self._integer_io or not layers:
            return export_static(model, batch, integer_io=self._integer_io)
        if layers not in self._float_operations:
            integer_model = export_static(model, batch[:1])  # only its operations' names are used
            self._float_operations[layers] = float_operations(integer_model, layers)
        return export_static(model, batch, left_out=self._float_operations[layers])
