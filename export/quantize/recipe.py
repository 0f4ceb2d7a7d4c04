"""A recipe for quantizing, and the ones worth trying."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from cxr_edge.export.graph.graph import Graph, Linear
from cxr_edge.export.quantize.equalize import Pair
from cxr_edge.export.quantize.onnx_int8 import Ranges

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Strengths of equalization that are tried."""

# A convolution over a few channels spends its time gathering them, which integers do not speed up:
# onnxruntime took 1.52 ms for the reference's first layer as int8 and .26 ms as float32.
_FEW_CHANNELS = 4


@dataclass(frozen=True, slots=True)
class QuantizationRecipe:
    """Everything that decides the bytes of a quantized file, besides the network itself."""

    equalization: dict[str, float] | None
    """Strength before each layer; None: the network as it was lowered, not equalized at all."""
    ranges: Ranges | None
    """How activation ranges are taken from calibration images; None: none are needed."""
    bias_correction: bool
    """Whether biases make up for rounded weights."""
    float_layers: tuple[str, ...]
    """Layers left in float32."""

    def __str__(self) -> str:
        parts = [_strengths(self.equalization)]
        if self.ranges:
            parts.append(self.ranges)
        parts.append("bias corrected" if self.bias_correction else "bias as it was")
        if self.float_layers:
            parts.append(f"float: {', '.join(self.float_layers)}")
        return "; ".join(parts)


def layer_key(graph: Graph, position: int) -> str:
    """What recipes call a layer: its name, and its position, which makes it unique."""
    return f"{graph.nodes[position].name}-p{position}"


def linear_keys(graph: Graph) -> tuple[str, ...]:
    """Every convolution and dense layer, in running order."""
    return tuple(
        layer_key(graph, i) for i, n in enumerate(graph.nodes) if isinstance(n.operation, Linear)
    )


def float_ends(graph: Graph, *, first: bool, last: bool) -> tuple[str, ...]:
    """The layers at the ends that are better left in float32, as long as others remain.

    Args:
        graph: a lowered graph.
        first: whether to leave out a first layer that sees only a few channels.
        last: whether to leave out the layer before the scores: decisions near the threshold would
            move in the steps of its output.
    """
    keys = linear_keys(graph)
    chosen = []
    if last and len(keys) > 1:
        chosen.append(keys[-1])
    channels = graph.nodes[0].channels
    if first and len(keys) > 2 and channels <= _FEW_CHANNELS:
        chosen.insert(0, keys[0])
    return tuple(chosen)


def small_layers(graph: Graph, smallest: int) -> tuple[str, ...]:
    """The layers with fewer weights than ``smallest``."""
    return tuple(
        layer_key(graph, i)
        for i, node in enumerate(graph.nodes)
        if isinstance(node.operation, Linear) and node.operation.kernel.size < smallest
    )


def with_strength(
    recipe: QuantizationRecipe, graph: Graph, pairs: tuple[Pair, ...], a: float
) -> QuantizationRecipe:
    """The same recipe with one strength for every pair."""
    strengths = {layer_key(graph, pair.consumer): a for pair in pairs}
    return dataclasses.replace(recipe, equalization=strengths)


def refine(recipe: QuantizationRecipe, layer: str) -> Iterator[QuantizationRecipe]:
    """The same recipe with the next weaker and stronger equalization before one layer."""
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
