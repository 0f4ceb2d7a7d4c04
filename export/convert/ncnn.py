"""The lowered graph as ncnn's two files, in one; neither its converters nor PyTorch are needed.

Weights stay raw floats, so that the file computes what the network does up to the rounding of
Winograd's algorithm. ncnn keeps a map as (channels, height, width) and Keras as (height, width,
channels), so kernels are reordered, and a map before it is flattened.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Literal

import numpy as np

from cxr_edge.engines.ncnn_file import (
    INPUT,
    MAGIC,
    METADATA,
    OUTPUT,
    PARAM,
    PRECISION,
    WEIGHTS,
    read_ncnn,
)
from cxr_edge.engines.ncnn_layers import Shape, describe
from cxr_edge.engines.ncnn_params import Params
from cxr_edge.errors import EngineError, ExportError
from cxr_edge.export.convert.ncnn_archive import NcnnLayer, pack_ncnn, stored_weights
from cxr_edge.export.convert.ncnn_calls import Step, same_margins, steps_of_call, weightless
from cxr_edge.export.graph.graph import (
    Affine,
    Graph,
    Input,
    Linear,
    Node,
    Weights,
    linear_name,
)
from cxr_edge.export.graph.layers import is_identity
from cxr_edge.export.graph.lowering import response_to, scale_inputs


def export_ncnn(graph: Graph, precision: Literal["fp32", "fp16"] = "fp32") -> bytes:
    """Convert the lowered graph to a ``.ncnn`` file for one image a call.

    Args:
        graph: the network.
        precision: of weights and arithmetic; ``fp16``: where the CPU can compute so.

    Raises:
        ExportError: ncnn has no layer for an operation; the message names it.
    """
    writer = _Writer(graph)
    for position in range(len(graph.nodes)):
        writer.add_node(position)
    param, weights = writer.files(precision)
    members = {PRECISION: precision.encode(), METADATA: b"", PARAM: param, WEIGHTS: weights}
    data = pack_ncnn(members)
    try:
        read_ncnn(data)
    except EngineError as err:
        raise ExportError(f"the network does not fit ncnn: {err}") from err
    return data


class _Writer:
    def __init__(self, graph: Graph) -> None:
        self._graph, self._readers = graph, graph.consumers()
        self._layers: dict[str, NcnnLayer] = {}
        self._shapes: dict[str, Shape] = {}
        self._blobs: dict[int, str] = {}

    def add_node(self, position: int) -> None:
        """Append what computes a node; an affine map waits until something needs it."""
        node = self._graph.nodes[position]
        operation = node.operation
        if isinstance(operation, Input):
            height, width, channels = operation.shape
            params = {0: width, 1: height, 2: channels}
            self._blobs[position] = self._append("Input", INPUT, (), params)
        elif isinstance(operation, Linear):
            self._blobs[position] = self._linear(position, node, operation)
        elif not isinstance(operation, Affine):
            self._blobs[position] = self._call(position, node)

    def files(self, precision: str) -> tuple[bytes, bytes]:
        """The list of layers and the weights."""
        last = self._blob(len(self._graph.nodes) - 1)
        layers = [
            replace(layer, output=OUTPUT) if name == last else layer
            for name, layer in self._layers.items()
        ]
        reads = Counter(source for layer in layers for source in layer.inputs)
        copies = {name: iter(range(count)) for name, count in reads.items() if count > 1}
        lines, weights = [], bytearray()
        for layer in layers:
            inputs = tuple(f"{s}_{next(copies[s])}" if s in copies else s for s in layer.inputs)
            lines.append(replace(layer, inputs=inputs).line())
            if layer.output in copies:
                split = NcnnLayer("Split", f"{layer.name}-split", (layer.output,), "", {})
                names = tuple(f"{layer.output}_{n}" for n in range(reads[layer.output]))
                lines.append(split.line(names))
            weights += stored_weights(layer, precision)
        blobs = len(layers) + sum(reads[name] for name in copies)
        header = [str(MAGIC), f"{len(lines)} {blobs}"]
        return "\n".join([*header, *lines, ""]).encode("ascii"), bytes(weights)

    def _blob(self, position: int) -> str:
        """The blob of a node's output."""
        if position not in self._blobs:
            node = self._graph.nodes[position]
            affine = node.operation
            assert isinstance(affine, Affine)  # noqa: S101 - add_node appends all others
            source = self._blob(node.inputs[0])
            channels = self._shapes[source][0]
            self._blobs[position] = self._append(
                "Scale",
                linear_name(node.name, position),
                (source,),
                {0: channels, 1: 1},
                (affine.scale, affine.offset),
            )
        return self._blobs[position]

    def _linear(self, position: int, node: Node, step: Linear) -> str:
        source, name = node.inputs[0], linear_name(node.name, position)
        if step.kind == "dense":
            return self._dense(name, self._blob(source), step)
        before = self._graph.nodes[source]
        affine = before.operation
        margins = self._margins(step, self._shapes[self._blob_below(source)])
        if step.padded and isinstance(affine, Affine) and np.all(affine.scale != 0):
            return self._shifted(name, before, margins, step)
        return self._convolution(name, self._blob(source), margins, step)

    def _blob_below(self, position: int) -> str:
        """The blob of a node, or of what an affine map reads, which has the same shape."""
        node = self._graph.nodes[position]
        is_affine = isinstance(node.operation, Affine)
        return self._blob_below(node.inputs[0]) if is_affine else self._blob(position)

    def _shifted(
        self, name: str, before: Node, margins: tuple[int, int, int, int], step: Linear
    ) -> str:
        """A padded convolution of an affine map, without computing the map.

        The map goes into the weights, and the border is padded with what it maps to zero.
        """
        affine = before.operation
        assert isinstance(affine, Affine)  # noqa: S101 - the caller looked
        border = (-affine.offset / affine.scale).astype(np.float32).astype(np.float64)
        top, bottom, left, right = margins
        padded = self._append(
            "Padding",
            f"{name}-border",
            (self._blob(before.inputs[0]),),
            {0: top, 1: bottom, 2: left, 3: right, 4: 0, 6: len(border)},
            (border,),
        )
        folded = scale_inputs(step, affine.scale)
        bias = folded.bias + response_to(folded, -border)
        return self._convolution(name, padded, (0, 0, 0, 0), replace(folded, bias=bias))

    def _convolution(
        self, name: str, source: str, margins: tuple[int, int, int, int], step: Linear
    ) -> str:
        inputs = self._shapes[source][0]
        rows, columns, width, outputs = step.kernel.shape
        kernel, groups = step.kernel.transpose(3, 2, 0, 1), inputs // width
        if step.kind == "depthwise":  # channel c makes the outputs c * multiplier + m
            kernel, outputs, groups = step.kernel.transpose(2, 3, 0, 1), inputs * outputs, inputs
        top, bottom, left, right = margins
        (down, along), (tall, wide) = step.layer.strides, step.layer.dilation_rate
        params: dict[int, int] = {0: outputs, 1: columns, 11: rows, 2: wide, 12: tall}
        params |= {3: along, 13: down, 4: left, 15: right, 14: top, 16: bottom}
        params |= {5: 1, 6: kernel.size}
        if groups > 1:
            params[7] = groups
        kind = "ConvolutionDepthWise" if groups > 1 else "Convolution"
        return self._append(kind, name, (source,), params, (kernel, step.bias))

    def _margins(self, step: Linear, shape: Shape) -> tuple[int, int, int, int]:
        """Rows and columns of zeros that a convolution adds: above, below, left, right."""
        if step.layer.padding == "valid" or len(shape) != 3:
            return 0, 0, 0, 0
        sizes = [
            (size - 1) * dilation + 1
            for size, dilation in zip(step.kernel.shape[:2], step.layer.dilation_rate, strict=True)
        ]
        return same_margins(shape, (sizes[0], sizes[1]), step.layer.strides)

    def _dense(self, name: str, source: str, step: Linear) -> str:
        outputs = step.kernel.shape[1]
        if len(self._shapes[source]) == 3:  # of each position
            params: dict[int, int] = {0: outputs, 1: 1, 11: 1, 2: 1, 12: 1, 3: 1, 13: 1}
            params |= {4: 0, 15: 0, 14: 0, 16: 0, 5: 1, 6: step.kernel.size}
            return self._append("Convolution", name, (source,), params, (step.kernel.T, step.bias))
        params = {0: outputs, 1: 1, 2: step.kernel.size}
        return self._append("InnerProduct", name, (source,), params, (step.kernel.T, step.bias))

    def _call(self, position: int, node: Node) -> str:
        sources = tuple(self._blob(source) for source in node.inputs)
        shapes = [self._shapes[source] for source in sources]
        if is_identity(node):
            return sources[0]
        activation = weightless(node)
        if activation and self._fuse(node, sources[0], activation):
            return sources[0]
        steps = steps_of_call(node, shapes)
        blobs, name = list(sources), linear_name(node.name, position)
        for number, step in enumerate(steps):
            taken = tuple(blobs[: step.inputs])
            made = self._append(step.kind, f"{name}-{number}", taken, step.params, step.weights)
            blobs = [made, *blobs[step.inputs :]]
        return blobs[0]

    def _fuse(self, node: Node, source: str, activation: Step) -> bool:
        """Let a linear layer apply its activation, if nothing else reads its output."""
        layer, code = self._layers[source], activation.fused
        before = node.inputs[0]
        is_linear = isinstance(self._graph.nodes[before].operation, Linear)
        if code is None or not is_linear or self._readers[before] != 1 or 9 in layer.params:
            return False
        params = dict(layer.params)
        params[9] = code
        if activation.constants:
            params[10] = activation.constants
        self._layers[source] = replace(layer, params=params)
        return True

    def _append(
        self,
        kind: str,
        name: str,
        inputs: tuple[str, ...],
        params: Params,
        weights: tuple[Weights, ...] = (),
    ) -> str:
        """Append a layer; the blob that it outputs."""
        try:
            described = describe(kind, params, [self._shapes[blob] for blob in inputs])
        except EngineError as err:
            raise ExportError(
                f"the layer {name[:60]} does not fit ncnn: {err}; choose artifacts other than ncnn "
                "with --artifacts"
            ) from err
        blob = INPUT if kind == "Input" else f"t{len(self._layers)}"
        layer = NcnnLayer(kind, name[-150:], inputs, blob, params, weights, described.flagged)
        self._layers[blob] = layer
        (self._shapes[blob],) = described.shapes
        return blob
