"""Operations that a converter lacks, replaced exactly by others that it has.

A rewrite is a TensorFlow function of the operation's inputs. It is traced, and its operations take
the place of the operation in the frozen graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.export.convert.frozen import FrozenGraph
from cxr_edge.extras import require_tensorflow

Values = Callable[[Any], npt.NDArray[np.float32]]
"""The value of a tensor of the graph that is the same for every image."""
Rewrite = Callable[[Any, "list[Any]", Values], Any]
"""From an operation (``tf.Operation``) and the tensors to read instead of its inputs, to the tensor
that it computes."""


def rewrite(frozen: FrozenGraph, rewrites: Mapping[str, Rewrite]) -> FrozenGraph:
    """Replace operations of a frozen graph.

    Args:
        frozen: the graph.
        rewrites: what replaces an operation, by its type.

    Returns:
        The same graph if it has none of these operations.
    """
    if not needs_rewriting(frozen.graph_def.node, rewrites):
        return frozen
    _, tensorflow = require_tensorflow("export")
    function = frozen.function()

    def value(tensor: Any) -> npt.NDArray[np.float32]:
        with tensorflow.init_scope():  # computed now, not recorded
            black = [tensorflow.zeros([d or 1 for d in i.shape], i.dtype) for i in function.inputs]
            (result,) = function.prune(function.inputs, [tensor])(*black)
            return np.asarray(result)

    changed = type(frozen.graph_def)()
    changed.versions.CopyFrom(frozen.graph_def.versions)
    changed.library.CopyFrom(frozen.graph_def.library)
    for node in frozen.graph_def.node:
        if node.op in rewrites:
            operation = function.graph.get_operation_by_name(node.name)
            changed.node.extend(_spliced(node, operation, rewrites[node.op], value))
        else:
            changed.node.append(node)
    return FrozenGraph(changed, frozen.inputs, frozen.outputs)


def needs_rewriting(nodes: Iterable[Any], rewrites: Mapping[str, Rewrite]) -> bool:
    """Whether one of the ``NodeDef`` is of a type that is replaced."""
    return any(node.op in rewrites for node in nodes)


def _spliced(node: Any, operation: Any, replacement: Rewrite, value: Values) -> list[Any]:
    """The operations that replace one; the last of them has its name."""
    _, tensorflow = require_tensorflow("export")
    specs = [tensorflow.TensorSpec(tensor.shape, tensor.dtype) for tensor in operation.inputs]

    @tensorflow.function(input_signature=specs, autograph=False)  # type: ignore[untyped-decorator]
    def infer(*inputs: Any) -> Any:
        return replacement(operation, list(inputs), value)

    traced = infer.get_concrete_function()
    sources = {tensor.op.name: node.input[at] for at, tensor in enumerate(traced.inputs)}
    names = {each.name: f"{node.name}/{each.name}" for each in traced.graph.get_operations()}
    names[traced.outputs[0].op.name] = node.name
    body = [each for each in traced.graph.as_graph_def().node if each.name not in sources]
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


def _expm1(_: Any, inputs: list[Any], __: Values) -> Any:
    _, tensorflow = require_tensorflow("export")
    return tensorflow.exp(inputs[0]) - 1.0


def _log1p(_: Any, inputs: list[Any], __: Values) -> Any:
    _, tensorflow = require_tensorflow("export")
    return tensorflow.math.log(inputs[0] + 1.0)


def _erfc(_: Any, inputs: list[Any], __: Values) -> Any:
    _, tensorflow = require_tensorflow("export")
    return 1.0 - tensorflow.math.erf(inputs[0])


def _resize(operation: Any, inputs: list[Any], value: Values) -> Any:
    """A resizing as two matrix products: it is linear, and separable into rows and columns."""
    _, tensorflow = require_tensorflow("export")
    _, height, width, channels = operation.inputs[0].shape
    rows, columns = (int(side) for side in value(operation.inputs[1]))
    by_row = _weights(operation, value, 0, int(height), rows)
    by_column = _weights(operation, value, 1, int(width), columns)
    lines = tensorflow.reshape(inputs[0], (-1, height, width * channels))
    lines = tensorflow.reshape(tensorflow.matmul(by_row, lines), (-1, width, channels))
    return tensorflow.reshape(tensorflow.matmul(by_column, lines), (-1, rows, columns, channels))


def _weights(
    operation: Any, value: Values, axis: int, before: int, after: int
) -> npt.NDArray[np.float32]:
    """The (1, after, before) matrix that resizes one axis: what becomes of single pixels."""
    _, tensorflow = require_tensorflow("export")
    pixels = np.eye(before, dtype=np.float32).reshape(1, before, 1, before)
    options = {
        name: operation.get_attr(name)
        for name in ("align_corners", "half_pixel_centers", "kernel_type", "antialias")
        if name in operation.node_def.attr
    }
    for index, name in ((2, "scale"), (3, "translation")):
        if operation.type == "ScaleAndTranslate":  # the other axis has one pixel
            options[name] = [value(operation.inputs[index])[axis], float(name == "scale")]
    with tensorflow.init_scope():
        resize = getattr(tensorflow.raw_ops, operation.type)
        resized = resize(images=pixels, size=[after, 1], **options)
        return np.asarray(resized).reshape(1, after, before)


FOR_ONNX: Mapping[str, Rewrite] = {
    "Erfc": _erfc,  # of exact gelu
    "Expm1": _expm1,  # of celu
    "Log1p": _log1p,
    "ResizeArea": _resize,  # tf2onnx converts it, but to weights that differ by up to .2
    "ResizeBicubic": _resize,  # TensorFlow rounds the weights of the cubic to a table of 1024
    "ScaleAndTranslate": _resize,
}
"""What tf2onnx lacks or converts wrongly."""
FOR_TFLITE: Mapping[str, Rewrite] = {
    "ResizeArea": _resize,
    "ResizeBicubic": _resize,
    "ScaleAndTranslate": _resize,
}
"""What TensorFlow Lite's built-in operations lack."""
