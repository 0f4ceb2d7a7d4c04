"""Operations that a converter lacks, replaced exactly by others that it has.

A rewrite is a TensorFlow function of the operation's inputs. It is traced, and its operations take
the place of the operation in the frozen graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cxr_edge.export.convert.frozen import FrozenGraph
from cxr_edge.extras import require_tensorflow

Rewrite = Callable[[Any, Any, "list[Any]"], Any]
"""From the module ``tensorflow``, the operation (``tf.Operation``) and the tensors that it reads,
to the tensor that it computes."""


def rewrite(frozen: FrozenGraph, rewrites: Mapping[str, Rewrite]) -> FrozenGraph:
    """Replace operations of a frozen graph.

    Args:
        frozen: the graph.
        rewrites: what replaces an operation, by its type.

    Returns:
        The same graph if it has none of these operations.
    """
    names = [node.name for node in frozen.graph_def.node if node.op in rewrites]
    if not names:
        return frozen
    graph = frozen.function().graph
    changed = type(frozen.graph_def)()
    changed.CopyFrom(frozen.graph_def)
    del changed.node[:]
    for node in frozen.graph_def.node:
        if node.name in names:
            operation = graph.get_operation_by_name(node.name)
            changed.node.extend(_spliced(node, operation, rewrites[node.op]))
        else:
            changed.node.append(node)
    return FrozenGraph(changed, frozen.inputs, frozen.outputs)


def _spliced(node: Any, operation: Any, replacement: Rewrite) -> list[Any]:
    """The operations that replace one; the last of them has its name."""
    _, tensorflow = require_tensorflow("export")
    with tensorflow.Graph().as_default() as graph:
        inputs = [
            tensorflow.compat.v1.placeholder(tensor.dtype, tensor.shape)
            for tensor in operation.inputs
        ]
        result = tensorflow.identity(replacement(tensorflow, operation, inputs))
    sources = {source.op.name: node.input[index] for index, source in enumerate(inputs)}
    names = {each.name: f"{node.name}/{each.name}" for each in graph.get_operations()}
    names[result.op.name] = node.name
    body = [each for each in graph.as_graph_def().node if each.name not in sources]
    for each in body:
        each.name = names[each.name]
        each.input[:] = [_renamed(name, names, sources) for name in each.input]
    return body


def _renamed(name: str, names: Mapping[str, str], sources: Mapping[str, str]) -> str:
    """An input ``NAME``, ``NAME:1`` or ``^NAME`` by its new name."""
    control, plain = ("^", name[1:]) if name.startswith("^") else ("", name)
    plain, colon, slot = plain.partition(":")
    if plain in sources:
        return sources[plain]
    return f"{control}{names[plain]}{colon}{slot}"


def _expm1(tensorflow: Any, _: Any, inputs: list[Any]) -> Any:
    return tensorflow.exp(inputs[0]) - 1.0


def _erfc(tensorflow: Any, _: Any, inputs: list[Any]) -> Any:
    return 1.0 - tensorflow.math.erf(inputs[0])


def _resize(tensorflow: Any, operation: Any, inputs: list[Any]) -> Any:
    """A resizing as two matrix products: it is linear, and separable into rows and columns.

    The rows of the matrices are what TensorFlow's own operation makes of single pixels.
    """
    _, height, width, channels = operation.inputs[0].shape
    rows, columns = (int(side) for side in operation.outputs[0].shape[1:3])
    by_row = _weights(tensorflow, operation, 0, int(height), rows)
    by_column = _weights(tensorflow, operation, 1, int(width), columns)
    lines = tensorflow.reshape(inputs[0], (-1, height, width * channels))
    lines = tensorflow.reshape(tensorflow.matmul(by_row, lines), (-1, width, channels))
    return tensorflow.reshape(
        tensorflow.matmul(by_column, lines), (-1, rows, columns, channels)
    )


def _weights(tensorflow: Any, operation: Any, axis: int, before: int, after: int) -> Any:
    """The (1, after, before) matrix that resizes one axis."""
    pixels = np.eye(before, dtype=np.float32).reshape(1, before, 1, before)
    size = np.array([after, 1], np.int32)
    options = {
        name: operation.get_attr(name)
        for name in ("align_corners", "half_pixel_centers", "kernel_type", "antialias")
        if name in operation.node_def.attr
    }
    with tensorflow.init_scope():  # computed now, not recorded
        if operation.type == "ScaleAndTranslate":
            scale, shift = (_value(tensorflow, tensor)[axis] for tensor in operation.inputs[2:])
            options["kernel_type"] = options["kernel_type"].decode()
            resized = tensorflow.raw_ops.ScaleAndTranslate(
                images=pixels, size=size, scale=[scale, 1.0], translation=[shift, 0.0], **options
            )
        else:
            resized = getattr(tensorflow.raw_ops, operation.type)(
                images=pixels, size=size, **options
            )
    return np.asarray(resized).reshape(1, after, before)


def _value(tensorflow: Any, tensor: Any) -> Any:
    """A tensor that depends on shapes only, as an array."""
    return np.asarray(tensorflow.get_static_value(tensor))


FOR_ONNX: Mapping[str, Rewrite] = {
    "Erfc": _erfc,  # of exact gelu
    "Expm1": _expm1,  # of celu
    "ResizeArea": _resize,  # tf2onnx converts it, but to weights that differ by up to .2
    "ScaleAndTranslate": _resize,
}
"""What tf2onnx lacks or converts wrongly."""
FOR_TFLITE: Mapping[str, Rewrite] = {
    "ResizeArea": _resize,
    "ResizeBicubic": _resize,
    "ScaleAndTranslate": _resize,
}
"""What TensorFlow Lite's built-in operations lack."""
