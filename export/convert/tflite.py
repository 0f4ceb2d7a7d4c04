"""Keras to TensorFlow Lite."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Literal

from cxr_edge.errors import MissingExtraError
from cxr_edge.export.convert.culprit import refusal
from cxr_edge.export.convert.frozen import freeze, trace
from cxr_edge.export.convert.rewrite import FOR_TFLITE, needs_rewriting, rewrite
from cxr_edge.export.graph.graph import layer_of
from cxr_edge.extras import quiet_stderr, require, require_tensorflow, without_logs
from cxr_edge.preprocess import Batch

Precision = Literal["fp32", "fp16-weights", "fp16", "int8-dynamic"]

# Codes of schema.fbs: CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED; LOGISTIC; DEQUANTIZE, QUANTIZE.
_LINEAR, _LOGISTIC, _CASTS = (3, 4, 9), 14, (6, 114)
# sigmoid(8) is less than a step of 1/256 from 1, so an int8 output loses nothing beyond.
_LOGIT_LIMIT = 8.0


def export_tflite(model: Any, precision: Precision = "fp32") -> bytes:
    """Convert a Keras model to a ``.tflite`` file for one image a call.

    Args:
        model: a ``keras.Model`` with one input and one output and a batch of one.
        precision: ``fp32``; ``fp16-weights``: weights stored so, computed in float32; ``fp16``:
            also computed so where the CPU can; ``int8-dynamic``: 8-bit weights, activations
            quantized while the model runs.

    Raises:
        ExportError: the converter failed; the message names the layer that it cannot convert.
        MissingExtraError: a package of the extra ``export`` is missing.
    """
    return _run(model, lambda: _convert(model, precision))


def export_static(
    model: Any, batch: Batch, *, left_out: Sequence[str] = (), integer_io: bool = False
) -> bytes:
    """Convert to integers, with ranges measured on calibration images.

    Args:
        model: a ``keras.Model`` with one input and one output and a batch of one.
        batch: (N, height, width, channels) calibration images.
        left_out: operations to keep in float32, from :func:`float_operations`.
        integer_io: whether input and output are int8 too. The logit before a sigmoid then gets a
            fixed range, since its measured one is too coarse near the threshold.

    Raises:
        ExportError: the converter failed; the message names the layer that it cannot convert.
        MissingExtraError: a package of the extra ``export`` is missing.
    """
    _, tensorflow = require_tensorflow("export")
    lite = tensorflow.lite

    def images() -> Iterator[list[Batch]]:
        for index in range(len(batch)):
            yield [batch[index : index + 1]]

    def convert() -> bytes:
        converter = _converter(model)
        converter.optimizations = [lite.Optimize.DEFAULT]
        converter.representative_dataset = images
        if integer_io:
            converter.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tensorflow.int8
        if not left_out:
            return bytes(converter.convert())
        # The documented way to keep operations in float32.
        options = lite.experimental.QuantizationDebugOptions(denylisted_nodes=list(left_out))
        debugger = lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=images, debug_options=options
        )
        return bytes(debugger.get_nondebug_quantized_model())

    data = _run(model, convert)
    return _fix_logit_range(data) if integer_io else data


def _convert(model: Any, precision: Precision) -> bytes:
    """Convert without calibration; raises whatever is raised."""
    _, tensorflow = require_tensorflow("export")
    converter = _converter(model)
    if precision != "fp32":
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    if precision in ("fp16-weights", "fp16"):
        converter.target_spec.supported_types = [tensorflow.float16]
    if precision == "fp16":  # a note in the file, without which XNNPACK computes in float32
        converter.target_spec._experimental_supported_accumulation_type = tensorflow.float16
    return bytes(converter.convert())


def _converter(model: Any) -> Any:
    """TensorFlow's converter, of the model or of its rewritten graph."""
    _, tensorflow = require_tensorflow("export")
    signature = [tensorflow.TensorSpec(i.shape, i.dtype) for i in model.inputs]
    traced = trace(model, signature)
    if not needs_rewriting(traced.graph.as_graph_def().node, FOR_TFLITE):
        return tensorflow.lite.TFLiteConverter.from_keras_model(model)
    # Only a graph without variables: of another one the converter makes a file that answers NaN.
    rewritten = rewrite(freeze(traced), FOR_TFLITE).function()
    return tensorflow.lite.TFLiteConverter.from_concrete_functions([rewritten])


def _run(model: Any, convert: Callable[[], bytes]) -> bytes:
    """Run a converter; an error names the layer that it cannot convert."""
    try:
        return _quietly(convert)
    except MissingExtraError:
        raise
    except Exception as err:  # whatever a converter raises
        raise refusal(
            "TensorFlow Lite",
            "tflite",
            model,
            err,
            lambda part: _quietly(lambda: _convert(part, "fp32")),
        ) from err


def _quietly(convert: Callable[[], bytes]) -> bytes:
    """Run a converter without what it prints on stdout and stderr, even if it fails."""
    failure: Exception | None = None
    with (
        contextlib.redirect_stdout(io.StringIO()),
        quiet_stderr(),
        without_logs("absl"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            return convert()
        except Exception as err:  # quiet_stderr shows what was printed before an exception
            failure = err
    raise failure


def float_operations(data: bytes, float_layers: Collection[str]) -> tuple[str, ...]:
    """Find the operations to keep in float32: those of some layers, and those they alone feed.

    Args:
        data: the network as a static int8 file.
        float_layers: linear layers, as ``NAME-pPOSITION``.

    Returns:
        Names of operations; they do not depend on the weights.
    """
    holder = _flatbuffer().convert_bytearray_to_object(bytearray(data))
    graph = holder.subgraphs[0]
    names = [tensor.name.decode() for tensor in graph.tensors]
    floating = {int(i) for i in graph.inputs}
    computed = floating | {int(i) for operator in graph.operators for i in operator.outputs}
    left_out = []
    for operator in graph.operators:
        code = _code(holder, operator)
        sources = [int(i) for i in operator.inputs if int(i) in computed]
        named = names[operator.outputs[0]]
        chosen = layer_of(named) in float_layers if code in _LINEAR else None
        if chosen or (chosen is None and all(source in floating for source in sources)):
            left_out.append(named)
            floating.update(int(i) for i in operator.outputs)
    return tuple(left_out)


def _fix_logit_range(data: bytes) -> bytes:
    """Give the logit of a final sigmoid the range -8..8 unless its measured range is smaller.

    Only a linear layer's output that nothing but the sigmoid reads: a sigmoid inside the network
    may be half of a swish, and the range of pooling's output is that of its input.
    """
    tools = _flatbuffer()
    holder = tools.convert_bytearray_to_object(bytearray(data))
    graph = holder.subgraphs[0]
    makers = {int(i): operator for operator in graph.operators for i in operator.outputs}
    readers = Counter(int(i) for operator in graph.operators for i in operator.inputs)
    last = makers.get(int(graph.outputs[0]))
    while last is not None and _code(holder, last) in _CASTS:
        last = makers.get(int(last.inputs[0]))
    if last is None or _code(holder, last) != _LOGISTIC:
        return data
    at = int(last.inputs[0])
    if readers[at] > 1 or at not in makers or _code(holder, makers[at]) not in _LINEAR:
        return data
    measured = graph.tensors[at].quantization
    if measured is None or measured.scale is None or measured.scale[0] <= _LOGIT_LIMIT / 128:
        return data
    measured.scale, measured.zeroPoint = [_LOGIT_LIMIT / 128], [0]
    return bytes(tools.convert_object_to_bytearray(holder))


def _flatbuffer() -> Any:
    """TensorFlow's reader of its own files; not part of its documented API, and used only here."""
    return require("tensorflow.lite.tools.flatbuffer_utils", "export")


def _code(holder: Any, operator: Any) -> int:
    code = holder.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))
