"""Quantization recipes, and how to vary them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from cxr_edge.export.graph.graph import Graph, Linear, linear_name
from cxr_edge.export.graph.layers import GLOBAL_POOLING, LayerGroup, is_layer
from cxr_edge.export.quantize.equalize import Pair
from cxr_edge.export.quantize.ranges import RangeMethod

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Strengths of equalization that a search tries."""

_MULTIPLY = LayerGroup(("Multiply",))

LONGEST_RECIPE = 100
"""The longest line that describes a recipe, characters."""

# A convolution over few channels spends its time gathering them, which integers do not speed up:
# onnxruntime took 1.52 ms for the reference's first layer as int8 and 0.26 ms as float32.
_FEW_CHANNELS = 4
_MOST_STRENGTHS = 4


@dataclass(frozen=True, slots=True)
class QuantizationRecipe:
    """Every choice that a quantized file follows from, given the network and calibration images.

    Except that a search measures the ranges of activations once for recipes that differ in their
    corrected biases alone, which move a range by less than a step.
    """

    equalization: dict[str, float] | None
    """Strength before each layer, 0..1, by :func:`layer_key`; None: not equalized."""
    ranges: RangeMethod | None
    """How activation ranges follow from the calibration images; None: the converter decides."""
    bias_correction: bool
    """Whether biases compensate the rounding of weights."""
    float_layers: tuple[str, ...]
    """Layers kept in float32, by :func:`layer_key`."""

    def __str__(self) -> str:
        return self.summary(LONGEST_RECIPE)

    def row(self, longest: int) -> str:
        """The recipe for a table, at most ``longest`` characters; float32 layers as a count."""
        tail = f"; float: {len(self.float_layers)}"
        return shortened(self._start, longest - len(tail)) + tail

    def summary(self, longest: int) -> str:
        """The recipe in one line of at most ``longest`` characters; long lists become counts."""
        start, layers = self._start, self.float_layers
        if not layers:
            return shortened(start, longest)
        lines = [
            f"{start}; float: {listed}"
            for listed in (
                ", ".join(layers),
                f"{_layers(layers)}, {layers[0]} … {layers[-1]}",
                _layers(layers),
            )
        ]
        lines.append(shortened(f"float: {_layers(layers)}; {start}", longest))
        return next(line for line in lines if len(line) <= longest)

    @property
    def _start(self) -> str:
        parts = [_strengths(self.equalization)]
        if self.ranges:
            parts.append(self.ranges)
        parts.append("bias corrected" if self.bias_correction else "bias as it was")
        return "; ".join(parts)


def _layers(layers: tuple[str, ...]) -> str:
    return "1 layer" if len(layers) == 1 else f"{len(layers)} layers"


def shortened(text: str, longest: int) -> str:
    """The text, cut to at most ``longest`` characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


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
        first: whether to keep a first convolution in float32 if it reads only a few channels.
        last: whether to keep the layer before the scores in float32: in int8 its output moves in
            steps that can change decisions near the threshold.
    """
    keys = linear_keys(graph)
    linear = (node.operation for node in graph.nodes if isinstance(node.operation, Linear))
    is_convolution = any(step.kind != "dense" for step in itertools.islice(linear, 1))
    few_channels = graph.nodes[0].channels <= _FEW_CHANNELS
    first_key = keys[:1] if first and len(keys) > 2 and few_channels and is_convolution else ()
    last_key = keys[-1:] if last and len(keys) > 1 else ()
    return (*first_key, *last_key)


def small_layers(graph: Graph, smallest: int) -> tuple[str, ...]:
    """Keys of the layers with fewer weights than ``smallest``."""
    return tuple(
        layer_key(graph, i)
        for i, node in enumerate(graph.nodes)
        if isinstance(node.operation, Linear) and node.operation.kernel.size < smallest
    )


def float_groups(graph: Graph) -> tuple[tuple[str, ...], ...]:
    """Groups of layers that a deep network may need in float32, the cheapest ones first.

    Networks of depthwise convolutions pass few values from block to block, so that the rounding
    of their first blocks reaches every later one; their squeeze-and-excitation parts multiply
    whole channels by what a few numbers say. A network without such layers has no groups.

    Returns:
        The layers of each group in running order: squeeze-and-excitation; the first to the first
        six eighths of all layers, squeeze-and-excitation included; last the depthwise layers, since
        float layers between integer ones take longer than either kind in a row.
    """
    keys = linear_keys(graph)
    kinds = {
        layer_key(graph, i): n.operation.kind
        for i, n in enumerate(graph.nodes)
        if isinstance(n.operation, Linear)
    }
    depthwise = tuple(key for key in keys if kinds[key] == "depthwise")
    if not depthwise:
        return ()
    gates = _gates(graph)
    firsts = [keys[: max(1, len(keys) * eighths // 8)] for eighths in range(1, 7)]
    sets = [set(gates), *(set(first) | set(gates) for first in firsts), set(depthwise)]
    groups = [tuple(key for key in keys if key in chosen) for chosen in sets]
    return tuple(dict.fromkeys(group for group in groups if 0 < len(group) < len(keys)))


def _gates(graph: Graph) -> tuple[str, ...]:
    """Keys of the layers between a pooling of the whole image and a multiplication."""
    pooled: dict[int, tuple[str, ...]] = {}
    gates: list[str] = []
    for position, node in enumerate(graph.nodes):
        if is_layer(node, GLOBAL_POOLING):
            pooled[position] = ()
        elif is_layer(node, _MULTIPLY):
            gates += [key for source in node.inputs for key in pooled.get(source, ())]
        elif len(node.inputs) == 1 and node.inputs[0] in pooled:
            own = (layer_key(graph, position),) if isinstance(node.operation, Linear) else ()
            pooled[position] = (*pooled[node.inputs[0]], *own)
    return tuple(dict.fromkeys(gates))


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
    if len(values) > _MOST_STRENGTHS:
        return f"equalized {min(values):g} to {max(values):g}"
    return "equalized " + "/".join(f"{value:g}" for value in values)
