"""A first convolution of few channels that reads blocks of pixels, so that integers pay.

A convolution over one channel spends its time gathering single pixels: onnxruntime takes .59 ms for
the reference's as int8 and .25 ms in float32, with what lies around it. If max-pooling follows, all
convolutions that one pooled value is the maximum of can be computed as one: each is a group of
output channels, which reads the whole window of pixels with zeros in the kernel where it looks
elsewhere. Rows of the window become channels, and so do neighbouring columns: 8 channels instead
of 1 for a kernel and a pooling of usual sizes, a quarter of the places, and a maximum over
neighbours in memory.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.export.graph.graph import Call, Graph, Input, Linear
from cxr_edge.export.graph.layers import (
    MAX_POOLING,
    activation_name,
    is_channels_last,
    is_layer,
)
from cxr_edge.export.quantize.onnx_offsets import drop_unused
from cxr_edge.extras import require

# onnxruntime's integer kernels take channels by four; otherwise they gather as before.
_CHANNELS_BY = 4


@dataclass(frozen=True, slots=True)
class _Window:
    """A convolution and the pooling behind it as one: sizes along (height, width)."""

    pools: tuple[int, int]
    """Places that are pooled."""
    strides: tuple[int, int]
    """Of the convolution."""
    kernel: tuple[int, int]
    starts: tuple[int, int]
    """Zeros that the convolution pads before the image."""
    image: tuple[int, int]
    outputs: tuple[int, int]
    """Pooled values."""

    @property
    def steps(self) -> tuple[int, int]:
        """Pixels between the windows of neighbouring pooled values."""
        (p, q), (s, t) = self.pools, self.strides
        return p * s, q * t

    @property
    def rows(self) -> int:
        """Rows of the window."""
        return (self.pools[0] - 1) * self.strides[0] + self.kernel[0]

    @property
    def blocks(self) -> int:
        """Blocks in a row of the window, each ``steps[1]`` pixels wide."""
        columns = (self.pools[1] - 1) * self.strides[1] + self.kernel[1]
        return -(-columns // self.steps[1])


def can_read_blocks(graph: Graph) -> bool:
    """Whether :func:`read_blocks` finds a first convolution to rewrite in a lowered network."""
    uses, image = graph.consumers(), graph.nodes[0]
    behind = [
        node
        for at, node in enumerate(graph.nodes[1:4])
        if node.inputs == (at,) and uses[at] == 1 and is_channels_last(node)
    ]
    if len(behind) > 1 and activation_name(behind[1]) == "relu":
        del behind[1]
    if len(behind) < 2 or not is_layer(behind[1], MAX_POOLING):
        return False
    first, pooling = behind[0].operation, behind[1].operation
    if not isinstance(first, Linear) or first.kind != "conv" or not isinstance(pooling, Call):
        return False
    layer, pool = first.layer, pooling.operation
    pools = getattr(pool, "pool_size", None)  # pooling of the whole image has none
    dilated = any(rate != 1 for rate in layer.dilation_rate)
    if pools is None or tuple(pool.strides) != tuple(pools) or dilated or layer.groups != 1:
        return False
    assert isinstance(image.operation, Input)  # noqa: S101 - as of every graph
    for side, kernel, stride, size in zip(
        image.operation.shape, layer.kernel_size, layer.strides, pools, strict=False
    ):
        places = -(-(side if layer.padding == "same" else side - kernel + 1) // stride)
        if pool.padding == "same" and places % size:
            return False
    rows = (pools[0] - 1) * layer.strides[0] + layer.kernel_size[0]
    return bool(rows * pools[1] * layer.strides[1] * image.channels % _CHANNELS_BY == 0)


def read_blocks(data: bytes) -> bytes:
    """Let the first convolution read blocks of pixels.

    Args:
        data: a float32 ONNX file with a batch of one.

    Returns:
        A file with the same scores, up to rounding; the same bytes if its first convolution is not
        followed by max-pooling without overlap.
    """
    onnx = require("onnx", "export")
    model = onnx.load_from_string(data)
    graph = model.graph
    first = _first_nodes(graph)
    window = _window(onnx, graph, *first) if first else None
    if first is None or window is None:
        return data
    convolution, activation, pooling = first
    new = _Nodes(onnx, graph, convolution.output[0])
    pixels = _gathered(new, window, graph.input[0].name)
    weights = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    kernel = weights[convolution.input[1]]
    convolution.input[:2] = [pixels, new.weight("kernel", _spread(kernel, window))]
    if len(convolution.input) > 2:
        bias = np.tile(weights[convolution.input[2]], math.prod(window.pools))
        convolution.input[2] = new.weight("bias", bias)
    output = activation.output[0] if activation else convolution.output[0]
    del convolution.attribute[:]
    convolution.attribute.append(onnx.helper.make_attribute("kernel_shape", [1, window.blocks]))
    _pool(new, window, len(kernel), output, pooling)
    new.insert()
    drop_unused(graph)
    result: bytes = model.SerializeToString(deterministic=True)
    return result


def _first_nodes(graph: Any) -> tuple[Any, Any, Any] | None:
    """The only convolution that reads the image, the ReLU behind it or None, and max-pooling."""
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    reading = readers.get(graph.input[0].name, [])
    if len(reading) != 1 or reading[0].op_type not in ("Reshape", "Transpose"):
        return None
    path: list[Any] = []
    name = reading[0].output[0]
    while len(readers.get(name, ())) == 1 and len(path) < 3:
        path.append(readers[name][0])
        name = path[-1].output[0]
    types = [node.op_type for node in path]
    if types[:2] == ["Conv", "MaxPool"]:
        return path[0], None, path[1]
    return (path[0], path[1], path[2]) if types == ["Conv", "Relu", "MaxPool"] else None


def _window(onnx: Any, graph: Any, convolution: Any, _: Any, pooling: Any) -> _Window | None:
    """The sizes; None: the operations are of another kind, or blocks would not pay."""
    weights = {initializer.name: initializer for initializer in graph.initializer}
    if any(name not in weights for name in convolution.input[1:]) or len(pooling.output) != 1:
        return None
    own, pool = _attributes(onnx, convolution), _attributes(onnx, pooling)
    sizes = [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
    kernel = weights[convolution.input[1]].dims
    ones = ([1, 1], None)
    plain = (
        len(kernel) == len(sizes) == 4
        and sizes[3] == kernel[1]
        and own.get("group", 1) == 1
        and all(a.get("auto_pad", b"NOTSET") == b"NOTSET" for a in (own, pool))
        and own.get("dilations") in ones
        and pool.get("dilations") in ones
        and pool["kernel_shape"] == pool.get("strides", [1, 1])
        and not any(pool.get("pads", ()))
        and not pool.get("ceil_mode", 0)
    )
    if not plain:
        return None
    pads, strides = own.get("pads", [0, 0, 0, 0]), own.get("strides", [1, 1])
    pools, image = pool["kernel_shape"], sizes[1:3]
    outputs = [
        ((image[i] + pads[i] + pads[i + 2] - kernel[2 + i]) // strides[i] + 1) // pools[i]
        for i in (0, 1)
    ]
    pairs = (pools, strides, kernel[2:], pads[:2], image, outputs)
    window = _Window(*[(int(a), int(b)) for a, b in pairs])
    channels = window.rows * window.steps[1] * sizes[3]
    return window if min(outputs) > 0 and channels % _CHANNELS_BY == 0 else None


def _attributes(onnx: Any, node: Any) -> dict[str, Any]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def _spread(kernel: npt.NDArray[np.float32], window: _Window) -> npt.NDArray[np.float32]:
    """The kernel of blocks: (pooled places x outputs, rows x block x inputs, 1, blocks)."""
    outputs, inputs, height, width = kernel.shape
    wide = window.blocks * window.steps[1]
    spread = np.zeros((*window.pools, outputs, window.rows, wide, inputs), np.float32)
    for row in range(window.pools[0]):
        for column in range(window.pools[1]):
            top, left = row * window.strides[0], column * window.strides[1]
            part = spread[row, column, :, top : top + height, left : left + width]
            part[:] = kernel.transpose(0, 2, 3, 1)
    by_block = spread.reshape(-1, window.rows, window.blocks, window.steps[1] * inputs)
    return by_block.transpose(0, 1, 3, 2).reshape(len(by_block), -1, 1, window.blocks)


def _gathered(new: _Nodes, window: _Window, image: str) -> str:
    """Nodes from the image to (1, rows x block x inputs, height, blocks)."""
    (down, along), (high, wide) = window.steps, window.outputs
    blocks = wide - 1 + window.blocks
    ends = (
        max(0, (high - 1) * down + window.rows - window.starts[0] - window.image[0]),
        blocks * along - window.starts[1] - window.image[1],
    )
    pads = [0, *window.starts, 0, 0, *ends, 0]
    padded = new.node("Pad", image, new.weight("pads", np.array(pads)), new.weight("zero", 0.0))
    index = np.arange(high)[:, np.newaxis] * down + np.arange(window.rows)
    rows = new.node("Gather", padded, new.weight("rows", index), axis=1)
    shape = np.array([high, window.rows, blocks, -1])
    split = new.node("Reshape", rows, new.weight("split", shape))
    moved = new.node("Transpose", split, perm=[0, 2, 1, 3])
    joined = new.node("Reshape", moved, new.weight("joined", np.array([1, high, blocks, -1])))
    return new.node("Transpose", joined, perm=[0, 3, 1, 2])


def _pool(new: _Nodes, window: _Window, outputs: int, source: str, pooling: Any) -> None:
    """Nodes from (1, pooled places x outputs, height, width) to what the pooling gave."""
    places, (high, wide) = math.prod(window.pools), window.outputs
    last = new.node("Transpose", source, perm=[0, 2, 3, 1])
    shape = np.array([1, high, wide * places, outputs])
    apart = new.node("Reshape", last, new.weight("apart", shape))
    pooling.input[0] = new.node("Transpose", apart, perm=[0, 3, 1, 2])
    del pooling.attribute[:]
    for name in ("kernel_shape", "strides"):
        pooling.attribute.append(new.onnx.helper.make_attribute(name, [1, places]))


class _Nodes:
    """New nodes of a graph and their weights, named by the tensor that they are made for."""

    def __init__(self, onnx: Any, graph: Any, name: str) -> None:
        self.onnx, self._graph, self._name = onnx, graph, name
        self._nodes: list[Any] = []

    def weight(self, name: str, value: Any) -> str:
        """Add a weight; integers as int64, other numbers as float32. Returns its name."""
        array = np.asarray(value)
        kind = np.int64 if array.dtype.kind == "i" else np.float32
        full = f"{self._name}_blocks_{name}"
        self._graph.initializer.append(
            self.onnx.numpy_helper.from_array(np.ascontiguousarray(array, kind), full)
        )
        return full

    def node(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; returns the name of its output."""
        output = f"{self._name}_blocks_{operation}_{len(self._nodes)}"
        self._nodes.append(
            self.onnx.helper.make_node(operation, inputs, [output], name=output, **attributes)
        )
        return output

    def insert(self) -> None:
        """Put the nodes into the graph, and remove what nothing reads any more."""
        nodes = [*self._graph.node, *self._nodes]
        counts = Counter(name for node in nodes for name in node.input)
        ends = {port.name for port in self._graph.output}
        nodes = [n for n in nodes if any(counts[o] or o in ends for o in n.output)]
        known = {self._graph.input[0].name, "", *(i.name for i in self._graph.initializer)}
        ordered = []
        while nodes:
            ready = next(n for n in nodes if known.issuperset(n.input))
            nodes.remove(ready)
            ordered.append(ready)
            known.update(ready.output)
        del self._graph.node[:]
        self._graph.node.extend(ordered)
