"""Quantization recipes, and how to vary them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from cxr_edge.export.graph.graph import Graph, Linear, linear_name
from cxr_edge.export.quantize.equalize import Pair
from cxr_edge.export.quantize.ranges import RangeMethod

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Strengths of equalization that a search tries."""

# A convolution over few channels spends its time gathering them, which integers do not speed up:
# onnxruntime took 1.52 ms for the reference's first layer as int8 and 0.26 ms as float32.
_FEW_CHANNELS = 4


@dataclass(frozen=True, slots=True)
class QuantizationRecipe:
    """Every choice that determines a quantized file, given the network and calibration images."""

    equalization: dict[str, float] | None
    """Strength before each layer, 0..1, by :func:`layer_key`; None: not equalized."""
    ranges: RangeMethod | None
    """How activation ranges follow from the calibration images; None: the converter decides."""
    bias_correction: bool
    """Whether biases compensate the rounding of weights."""
    float_layers: tuple[str, ...]
    """Layers kept in float32, by :func:`layer_key`."""

    def __str__(self) -> str:
        parts = [_strengths(self.equalization)]
        if self.ranges:
            parts.append(self.ranges)
        parts.append("bias corrected" if self.bias_correction else "bias as it was")
        if self.float_layers:
            parts.append(f"float: {', '.join(self.float_layers)}")
        return "; ".join(parts)


def layer_key(graph: Graph, position: int) -> str:
    """The key of a layer in recipes: its name and its position, which makes it unique."""
    return linear_name(graph.nodes[position].name, position)


def linear_keys(graph: Graph) -> tuple[str, ...]:
    """Keys of every convolution and dense layer, in running order."""
    return tuple(
        layer_key(graph, i) for i, n in enumerate(graph.nodes) if isinstance(n.operation, Linear)
    )


def float_ends(graph: Graph, *, first: bool, last: bool) -> tuple[str, ...]:
    """Keys of the first and last layer if they are better in float32 and others remain.

    Args:
        graph: a lowered graph.
        first: whether to keep a first layer in float32 if it reads only a few channels.
        last: whether to keep the layer before the scores in float32: in int8 its output moves in
            steps that can change decisions near the threshold.
    """
    keys = linear_keys(graph)
    few_channels = graph.nodes[0].channels <= _FEW_CHANNELS
    first_key = keys[:1] if first and len(keys) > 2 and few_channels else ()
    last_key = keys[-1:] if last and len(keys) > 1 else ()
    return (*first_key, *last_key)


def small_layers(graph: Graph, smallest: int) -> tuple[str, ...]:
    """Keys of the layers with fewer weights than ``smallest``."""
    return tuple(
        layer_key(graph, i)
        for i, node in enumerate(graph.nodes)
        if isinstance(node.operation, Linear) and node.operation.kernel.size < smallest
    )


def with_strength(
    recipe: QuantizationRecipe, graph: Graph, pairs: tuple[Pair, ...], a: float
) -> QuantizationRecipe:
    """Set one strength ``a``, 0..1, for every pair."""
    strengths = {layer_key(graph, pair.consumer): a for pair in pairs}
    return dataclasses.replace(recipe, equalization=strengths)


def refine(recipe: QuantizationRecipe, layer: str) -> Iterator[QuantizationRecipe]:
    """Vary the strength before one layer: the next weaker and the next stronger one."""
    strengths = recipe.equalization or {}
    if layer not in strengths:
        return
    for step in (-0.25, 0.25):
        changed = strengths[layer] + step
        if 0 <= changed <= 1:
            yield dataclasses.replace(recipe, equalization={**strengths, layer: changed})


def _strengths(equalization: dict[str, float] | None) -> str:
    if equalization is None:
        return "not equalized"
    if not equalization:
        return "nothing to equalize"
    values = list(equalization.values())
    if len(set(values)) == 1:
        return f"equalized {values[0]:g}"
    return "equalized " + "/".join(f"{value:g}" for value in values)
