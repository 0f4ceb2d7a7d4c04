"""ONNX float32 to ONNX int8: quantize and dequantize nodes around the layers that run on integers.

onnxruntime's own tool places the nodes and rounds the weights. This is the only module that uses
its private parts, ``QDQQuantizer`` and ``QDQRegistry``: the public ``quantize_static`` calibrates
again for every recipe. A new release may change them; pyproject.toml bounds onnxruntime.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from cxr_edge.device.temporary import temporary_folder
from cxr_edge.errors import ExportError, first_line
from cxr_edge.export.graph.graph import layer_of
from cxr_edge.export.quantize.onnx_integers import compare_integers
from cxr_edge.export.quantize.onnx_offsets import share_ranges
from cxr_edge.export.quantize.onnx_rewrite import LINEAR, shield_float_layers
from cxr_edge.export.quantize.ranges import RangeMethod
from cxr_edge.extras import require
from cxr_edge.preprocess import Batch

Ranges = dict[str, Any]
"""onnxruntime's ``TensorData`` of tensors, by name."""

_CHUNK = 16
_METHODS = {"minmax": "MinMax", "percentile": "Percentile", "entropy": "Entropy"}


@dataclass(frozen=True, slots=True)
class Preset:
    """Number formats that are exact on one kind of machine."""

    signed_activations: bool
    """Activations as int8 instead of uint8."""
    weight_bits: Literal[7, 8]
    """7: on x86 without VNNI, sums of products of 8-bit numbers saturate at 16 bits."""


PRESETS = {
    "portable": Preset(signed_activations=False, weight_bits=7),
    "x86-vnni": Preset(signed_activations=False, weight_bits=8),
    "arm64": Preset(signed_activations=True, weight_bits=8),
}
"""Presets by target machine; ``portable`` is exact on all of them."""


def observe(data: bytes, batch: Batch, method: RangeMethod) -> Ranges:
    """Measure the range of every activation.

    Args:
        data: a float32 ONNX file with a batch of one.
        batch: (N, height, width, channels) calibration images.
        method: how a range follows from the values of an activation.

    Returns:
        The range of each tensor, as onnxruntime describes it.
    """
    quantization = _quantization()
    with _quiet(), temporary_folder() as folder:
        model = folder / "model.onnx"
        model.write_bytes(data)
        calibrator = quantization.create_calibrator(
            model,
            None,
            augmented_model_path=str(folder / "augmented.onnx"),
            calibrate_method=getattr(quantization.CalibrationMethod, _METHODS[method]),
        )
        reader = _reader_class(quantization)
        for start in range(0, len(batch), _CHUNK):  # it keeps every activation of a reader
            calibrator.collect_data(reader(batch[start : start + _CHUNK]))
        return dict(calibrator.compute_data().items())


_BODIES = {"If": "branch", "Loop": "loop", "Scan": "loop"}


def quantize_onnx(
    data: bytes, ranges: Ranges, preset: Preset, float_layers: frozenset[str]
) -> bytes:
    """Quantize a file.

    Args:
        data: a float32 ONNX file with a batch of one.
        ranges: from :func:`observe`, for a file with the same tensor names.
        preset: number formats.
        float_layers: linear layers to keep in float32, as ``NAME-pPOSITION``.

    Raises:
        ExportError: the network has a branch or a loop, or the tool failed.
    """
    quantization = _quantization()
    onnx = require("onnx", "export")
    quantizer_module = require("onnxruntime.quantization.qdq_quantizer", "export")
    registry = require("onnxruntime.quantization.registry", "export")
    kinds = quantization.QuantType
    model = onnx.load_from_string(data)
    # The tool sorts nodes as if bodies read nothing from around them, and onnxruntime 1.32 aborts
    # the process on the file of a GRU that was sorted rightly.
    for node in model.graph.node:
        if any(attribute.HasField("g") for attribute in node.attribute):
            raise ExportError(
                f"the network has a {_BODIES.get(node.op_type, node.op_type)}, which onnxruntime's "
                "quantizer does not take; use its float32 file, or layers without one (a GRU or "
                "LSTM has a loop, pad_to_aspect_ratio a branch)"
            )
    excluded = _float_nodes(model.graph, float_layers, frozenset(registry.QDQRegistry))
    try:
        with _quiet():
            quantizer = quantizer_module.QDQQuantizer(
                model,
                per_channel=True,
                reduce_range=preset.weight_bits == 7,
                weight_qType=kinds.QInt8,
                activation_qType=kinds.QInt8 if preset.signed_activations else kinds.QUInt8,
                tensors_range=share_ranges(model.graph, ranges),
                nodes_to_quantize=[],
                nodes_to_exclude=excluded,
                op_types_to_quantize=list(registry.QDQRegistry),
                extra_options={},
            )
            quantizer.quantize_model()
            shield_float_layers(quantizer.model.model)
            compare_integers(quantizer.model.model)
            quantizer.model.topological_sort()
            quantized = quantizer.model.model
            onnx.checker.check_model(quantized, full_check=True)
    except Exception as err:  # whatever the tool raises
        raise ExportError(f"onnxruntime cannot quantize the model: {first_line(err)}") from err
    quantized.producer_name, quantized.producer_version = "cxr-edge", ""
    result: bytes = quantized.SerializeToString(deterministic=True)
    return result


def _float_nodes(
    graph: Any, float_layers: frozenset[str], quantizable: frozenset[str]
) -> list[str]:
    """Names of nodes to keep in float32.

    Those layers; nodes that no integer layer feeds; and what only moves values from an operation
    that is not quantized to float layers, as between the last pooling and a float head.
    """
    weights = {initializer.name for initializer in graph.initializer}
    floating, unquantized = {graph.input[0].name}, set[str]()
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    excluded = []
    for node in graph.node:
        sources = [name for name in node.input if name and name not in weights]
        linear = node.op_type in LINEAR
        if layer_of(node.name) in float_layers or (
            not linear and all(name in floating for name in sources)
        ):
            excluded.append(node.name)
            floating.update(node.output)
        elif node.op_type not in quantizable:
            unquantized.update(node.output)
        elif not linear and all(name in unquantized for name in sources):
            users = [user for name in node.output for user in readers.get(name, ())]
            if users and all(layer_of(user.name) in float_layers for user in users):
                excluded.append(node.name)
    return excluded


def _quantization() -> Any:
    require("cxr_edge.engines.onnxruntime", "export")  # turns off telemetry first
    return require("onnxruntime.quantization", "export")


def _reader_class(quantization: Any) -> Any:
    class Reader(quantization.CalibrationDataReader):
        """Feeds one image at a time."""

        def __init__(self, batch: Batch) -> None:
            self._images = iter([batch[i : i + 1] for i in range(len(batch))])

        def get_next(self) -> dict[str, Batch] | None:
            image = next(self._images, None)
            return None if image is None else {"image": image}

    return Reader


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the tool, which prints and logs advice to the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)
