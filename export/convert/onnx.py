"""Keras to ONNX; the same model gives the same bytes."""

from __future__ import annotations

from typing import Any

from cxr_edge.errors import ExportError, MissingExtraError
from cxr_edge.export.convert.culprit import refusal
from cxr_edge.export.convert.frozen import freeze, trace
from cxr_edge.export.convert.rewrite import FOR_ONNX, rewrite
from cxr_edge.export.graph.graph import layer_of
from cxr_edge.extras import require, require_tensorflow, without_logs

OPSET = 17
"""tf2onnx writes up to 18; onnxruntime runs 17 since version 1.12."""

_INPUT, _OUTPUTS, _BATCH = "image", ("scores", "heatmap"), "N"


def export_onnx(model: Any, *, dynamic_batch: bool = False) -> bytes:
    """Convert a Keras model.

    Args:
        model: a ``keras.Model`` with one input, whose outputs are the scores and perhaps a heat
            map.
        dynamic_batch: whether the file takes any number of images; False: one.

    Returns:
        The ``.onnx`` file: input ``image`` (1 or N, height, width, channels), output ``scores``,
        and ``heatmap`` if the model has a second output.

    Raises:
        ExportError: the converter failed, with the layer that it cannot convert, or its result has
            other inputs or outputs.
        MissingExtraError: a package of the extra ``export`` is missing.
    """
    try:
        converted = _convert(model, None if dynamic_batch else 1)
    except MissingExtraError:
        raise
    except Exception as err:  # whatever a converter raises
        raise refusal("tf2onnx", "ONNX", model, err, lambda part: _convert(part, 1)) from err
    _canonicalize(converted, _OUTPUTS[: len(model.outputs)], dynamic_batch)
    del converted.metadata_props[:]
    data: bytes = converted.SerializeToString(deterministic=True)
    return data


def _convert(model: Any, batch: int | None) -> Any:
    """Convert a ``keras.Model`` to a checked ``onnx.ModelProto``; raises whatever is raised."""
    _, tensorflow = require_tensorflow("export")
    tf2onnx, onnx = require("tf2onnx", "export"), require("onnx", "export")
    signature = [
        tensorflow.TensorSpec((batch, *i.shape[1:]), i.dtype, name=_INPUT) for i in model.inputs
    ]
    # tf2onnx.convert.from_keras fails on Keras 3 (tensorflow-onnx #2448), and from_function makes
    # inputs of captured tensors.
    with without_logs("tf2onnx", "tensorflow"):
        frozen = rewrite(freeze(trace(model, signature)), FOR_ONNX)
        converted, _ = tf2onnx.convert.from_graph_def(
            frozen.graph_def,
            input_names=list(frozen.inputs),
            output_names=list(frozen.outputs),
            opset=OPSET,
        )
    # tf2onnx logs an unknown operation and writes it nevertheless.
    onnx.checker.check_model(converted, full_check=True)
    return converted


def tensor_names(data: bytes) -> tuple[str, ...]:
    """Names of the values between a file's operations."""
    graph = require("onnx", "export").load_from_string(data).graph
    return tuple(name for node in graph.node for name in node.output)


def _canonicalize(model: Any, outputs: tuple[str, ...], dynamic_batch: bool) -> None:
    """Replace names and orders that depend on counters of the process.

    Weights are numbered and stored in the order in which the nodes use them.

    Raises:
        ExportError: the model has other inputs or outputs.
    """
    graph = model.graph
    if len(graph.input) != 1 or len(graph.output) != len(outputs):
        ports = ", ".join(port.name for port in [*graph.input, *graph.output])
        raise ExportError(
            f"the converted model has the inputs and outputs {ports}, expected one input and "
            f"{len(outputs)} outputs; report this network"
        )
    output_names = [port.name for port in graph.output]
    names = {graph.input[0].name: _INPUT, **dict(zip(output_names, outputs, strict=True)), "": ""}
    _rename(graph, names)
    for port in (graph.input[0], *graph.output):
        port.name = names[port.name]
    graph.name, graph.doc_string = "model", ""
    model.producer_name, model.producer_version, model.doc_string = "cxr-edge", "", ""
    for port in (graph.input[0], *graph.output):
        batch = port.type.tensor_type.shape.dim[0]
        if dynamic_batch:
            batch.dim_param = _BATCH
        else:
            batch.dim_value = 1


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Number the tensors and weights of a graph, and of the branches and loops inside it.

    Args:
        graph: changed in place.
        names: the names that are given already, by the old ones; those of the graph are added.
    """
    weights = {initializer.name: initializer for initializer in graph.initializer}
    for position, node in enumerate(graph.node):
        weight_names = list(node.input[1:])
        for name in [*node.input, *node.output]:
            names.setdefault(name, f"{'w' if name in weights else 't'}{len(names)}")
        layer = layer_of(node.name)
        if layer is None and node.op_type == "Conv":
            # tf2onnx renames a depthwise convolution that it joins with its bias, not the bias.
            layer = next(filter(None, map(layer_of, weight_names)), None)
        node.name = f"{layer}/{node.op_type}_{position}" if layer else f"{node.op_type}_{position}"
        node.doc_string = ""
        if not node.domain:
            node.ClearField("domain")  # unset and empty are different bytes
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename_body(attribute.g, names)
    used = [weights[name] for name in names if name in weights]
    for initializer in used:
        initializer.name = names[initializer.name]
    del graph.initializer[:]
    graph.initializer.extend(used)
    del graph.value_info[:]


def _rename_body(body: Any, names: dict[str, str]) -> None:
    """Rename inside a branch or loop, which may read the tensors of the graph around it."""
    ports = [*body.input, *body.output]
    for port in body.input:
        names[port.name] = f"t{len(names)}"
    _put_copies_last(body)
    ordered = _in_order(body)
    del body.node[:]
    body.node.extend(ordered)
    _rename(body, names)
    for port in ports:
        port.name = names[port.name]
        for side in port.type.tensor_type.shape.dim:
            # How many sides tf2onnx knows depends on counters of the process; the rank is needed.
            side.Clear()
    body.name, body.doc_string = "body", ""


def _put_copies_last(body: Any) -> None:
    """Of two outputs with one value, let the later one be the copy.

    tf2onnx copies either, depending on counters of the process.
    """
    places = {port.name: place for place, port in enumerate(body.output)}
    for node in body.node:
        if node.op_type == "Identity" and {node.input[0], node.output[0]} <= places.keys():
            value, copy = places[node.input[0]], places[node.output[0]]
            if copy < value:
                body.output[value].name, body.output[copy].name = node.output[0], node.input[0]


def _in_order(body: Any) -> list[Any]:
    """The nodes of a branch or loop, each after those that it reads.

    tf2onnx orders them by names, in which there are counters of the process.
    """
    makers = {name: node for node in body.node for name in node.output}
    pending = [port.name for port in reversed(body.output)]
    ordered: dict[str, Any] = {}
    while pending:
        node = makers.get(pending[-1])
        waiting = [name for name in _read(node) if name in makers] if node else []
        waiting = [name for name in waiting if makers[name].output[0] not in ordered]
        if waiting:
            pending += reversed(waiting)
            continue
        pending.pop()
        if node:
            ordered.setdefault(node.output[0], node)
    return list(ordered.values())


def _read(node: Any) -> list[str]:
    """Names that a node reads, also those inside its branches."""
    bodies = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    inner = [name for body in bodies for each in body.node for name in _read(each)]
    results = [port.name for body in bodies for port in body.output]
    return [*node.input, *inner, *results]
