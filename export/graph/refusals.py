"""Layers that no export can answer for: random ones, and those that Keras quantized."""

from __future__ import annotations

from typing import Any

from cxr_edge.errors import ExportError
from cxr_edge.export.graph.calls import with_sublayers
from cxr_edge.export.graph.layers import is_random
from cxr_edge.extras import require_keras


def check_layer(layer: Any, training: bool | None) -> None:
    """Refuse a layer whose function cannot be exported.

    Args:
        layer: a Keras layer or operation.
        training: what the model passes to it, itself or through a nested model around it.

    Raises:
        ExportError: its answer is random, depends on the other images of the batch, or its weights
            are integers of Keras's own quantization.
    """
    for part in with_sublayers(layer):
        mode = getattr(part, "quantization_mode", None)
        if mode:
            raise ExportError(
                f"{_describe(layer)} is quantized by Keras ({mode}), which no converter reads; "
                "export the model as it was before keras.quantize, with --int8"
            )
        if not training:
            continue
        if is_random(part):
            raise ExportError(
                f"{_describe(layer)} is called with training=True: its answer is random; build the "
                "model without that argument and save it again"
            )
        if type(part) is require_keras("export").layers.BatchNormalization and part.trainable:
            raise ExportError(
                f"{_describe(layer)} is called with training=True: it normalizes by the batch, so "
                "an answer depends on other images; build the model without that argument"
            )


def _describe(layer: Any) -> str:
    return f"{layer.name} ({type(layer).__name__})"
