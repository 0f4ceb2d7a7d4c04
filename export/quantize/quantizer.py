"""Making files of a lowered network by a recipe, and keeping what several recipes share."""

from __future__ import annotations

from typing import Any

from cxr_edge.bundle.manifest import Target
from cxr_edge.export.convert.onnx import export_onnx, tensor_names
from cxr_edge.export.convert.tflite import export_static, export_tflite, float_operations
from cxr_edge.export.graph.graph import Graph, build_model
from cxr_edge.export.quantize.bias import correct_biases
from cxr_edge.export.quantize.calibration import Statistics, measure
from cxr_edge.export.quantize.equalize import Pair, equalize, find_pairs
from cxr_edge.export.quantize.onnx_int8 import PRESETS, observe, quantize_onnx
from cxr_edge.export.quantize.recipe import QuantizationRecipe, layer_key
from cxr_edge.preprocess import Batch

_BYTE, _SEVEN_BITS = 127, 64
"""The largest integer of a weight of 8 bits, and of 7."""


class Quantizer:
    """A lowered network with its calibration images."""

    def __init__(self, graph: Graph, batch: Batch) -> None:
        self.graph = graph
        """The lowered network."""
        self.pairs: tuple[Pair, ...] = find_pairs(graph)
        """Where it can be equalized."""
        self._batch = batch
        self._statistics: Statistics | None = None
        self._ranges: dict[tuple[object, ...], Any] = {}
        self._converted: tuple[tuple[object, ...], bytes] | None = None
        self._left_out: dict[tuple[str, ...], tuple[str, ...]] = {}

    def onnx(self, recipe: QuantizationRecipe, target: Target) -> bytes:
        """An int8 ONNX file.

        Raises:
            ExportError: a converter fails.
        """
        preset = PRESETS[target]
        levels = _SEVEN_BITS if preset.reduce_range else _BYTE
        data = self._float_onnx(recipe, levels)
        # A corrected bias moves a range by less than a step: ranges are measured once. But a bias
        # of zeros is left out, and then tensors have other names.
        shared = (str(recipe.equalization), recipe.ranges, tensor_names(data))
        if shared not in self._ranges:
            self._ranges.clear()  # histograms are large, and recipes come in an order
            self._ranges[shared] = observe(data, self._batch, recipe.ranges or "minmax")
        return quantize_onnx(data, self._ranges[shared], preset, frozenset(recipe.float_layers))

    def dynamic(self, recipe: QuantizationRecipe) -> bytes:
        """A TensorFlow Lite file whose activations are quantized while it runs.

        Raises:
            ExportError: the converter fails.
        """
        return export_tflite(build_model(self._prepared(recipe, _BYTE), batch=1), "int8-dynamic")

    def static(self, recipe: QuantizationRecipe, *, integer_io: bool) -> bytes:
        """A TensorFlow Lite file of integers with measured ranges.

        Raises:
            ExportError: the converter fails.
        """
        model = build_model(self._prepared(recipe, _BYTE), batch=1)
        if integer_io or not recipe.float_layers:
            return export_static(model, self._batch, integer_io=integer_io)
        if recipe.float_layers not in self._left_out:
            whole = export_static(model, self._batch[:1])  # for its names; ranges do not matter
            self._left_out[recipe.float_layers] = float_operations(whole, recipe.float_layers)
        return export_static(model, self._batch, left_out=self._left_out[recipe.float_layers])

    def _float_onnx(self, recipe: QuantizationRecipe, levels: int) -> bytes:
        """The float32 file that a recipe quantizes; kept for the next one, often the same."""
        key = (str(recipe.equalization), levels, recipe.bias_correction and recipe.float_layers)
        if self._converted is None or self._converted[0] != key:
            self._converted = key, export_onnx(build_model(self._prepared(recipe, levels)))
        return self._converted[1]

    def _prepared(self, recipe: QuantizationRecipe, levels: int) -> Graph:
        """The network equalized and with corrected biases."""
        if self._statistics is None:
            self._statistics = measure(self.graph, self._batch)
        graph, statistics = self.graph, self._statistics
        if recipe.equalization is not None:
            strengths = {
                pair: recipe.equalization[layer_key(graph, pair.consumer)] for pair in self.pairs
            }
            graph, statistics = equalize(graph, statistics, strengths)
        if recipe.bias_correction:
            skip = [
                i for i in range(len(graph.nodes)) if layer_key(graph, i) in recipe.float_layers
            ]
            graph = correct_biases(graph, statistics, levels=levels, skip=skip)
        return graph
