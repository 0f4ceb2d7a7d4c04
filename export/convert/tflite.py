"""Keras to TensorFlow Lite."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Literal

from cxr_edge.errors import ExportError, first_line
from cxr_edge.export.graph.graph import layer_of
from cxr_edge.extras import quiet_stderr, require, require_tensorflow
from cxr_edge.preprocess import Batch

Precision = Literal["fp32", "fp16", "int8-dynamic"]

# Codes of schema.fbs: CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, LOGISTIC.
_LINEAR, _LOGISTIC = (3, 4, 9), 14
# sigmoid(8) is less than a step of 1/256 from 1, so an int8 output loses nothing beyond.
_LOGIT_LIMIT = 8.0


def export_tflite(model: Any, precision: Precision = "fp32") -> bytes:
    """Convert a Keras model to a ``.tflite`` file for one image a call.

    Args:
        model: a ``keras.Model`` with one input and one output and a batch of one.
        precision: ``fp32``; ``fp16``: weights stored so, computed in float32; ``int8-dynamic``:
            8-bit weights, activations quantized while the model runs.

    Raises:
        ExportError: the converter failed.
        MissingExtraError: a package of the extra ``export`` is missing.
    """
    _, tensorflow = require_tensorflow("export")
    converter = tensorflow.lite.TFLiteConverter.from_keras_model(model)
    if precision != "fp32":
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    if precision == "fp16":
        converter.target_spec.supported_types = [tensorflow.float16]
    return _convert(converter.convert)


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
        ExportError: the converter failed.
        MissingExtraError: a package of the extra ``export`` is missing.
    """
    _, tensorflow = require_tensorflow("export")
    lite = tensorflow.lite

    def images() -> Iterator[list[Batch]]:
        for index in range(len(batch)):
            yield [batch[index : index + 1]]

    converter = lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [lite.Optimize.DEFAULT]
    converter.representative_dataset = images
    if integer_io:
        converter.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tensorflow.int8
        return _fix_logit_range(_convert(converter.convert))
    if not left_out:
        return _convert(converter.convert)

    def convert() -> bytes:
        # The documented way to keep operations in float32.
        options = lite.experimental.QuantizationDebugOptions(denylisted_nodes=list(left_out))
        debugger = lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=images, debug_options=options
        )
        result: bytes = debugger.get_nondebug_quantized_model()
        return result

    return _convert(convert)


def _convert(convert: Callable[[], bytes]) -> bytes:
    """Run a converter without what it prints on stdout and stderr."""
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            quiet_stderr(),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            return bytes(convert())
    except Exception as err:  # whatever a converter raises
        raise ExportError(f"TensorFlow Lite cannot convert the model: {first_line(err)}") from err


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
    """Give the input of a final sigmoid the range -8..8 unless its measured range is smaller."""
    tools = _flatbuffer()
    holder = tools.convert_bytearray_to_object(bytearray(data))
    graph = holder.subgraphs[0]
    codes = [_code(holder, operator) for operator in graph.operators]
    if _LOGISTIC not in codes:
        return data
    logit = graph.tensors[graph.operators[codes.index(_LOGISTIC)].inputs[0]]
    if logit.quantization is None or logit.quantization.scale[0] <= _LOGIT_LIMIT / 128:
        return data
    logit.quantization.scale, logit.quantization.zeroPoint = [_LOGIT_LIMIT / 128], [0]
    return bytes(tools.convert_object_to_bytearray(holder))


def _flatbuffer() -> Any:
    """TensorFlow's reader of its own files; not part of its documented API, and used only here."""
    return require("tensorflow.lite.tools.flatbuffer_utils", "export")


def _code(holder: Any, operator: Any) -> int:
    code = holder.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))
