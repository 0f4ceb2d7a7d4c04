"""The original Keras model: loading it safely and computing its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cxr_edge.decision import Scores
from cxr_edge.device.temporary import temporary_folder
from cxr_edge.errors import ModelError
from cxr_edge.extras import require_keras
from cxr_edge.original.contract import check_structure
from cxr_edge.original.files import model_kind
from cxr_edge.original.saved import SavedModel, read_saved
from cxr_edge.preprocess import Pixels, normalize
from cxr_edge.spec import ModelSpec

_CHUNK = 64


def load_keras(
    source: Path | bytes, spec: ModelSpec, *, name: str = "", extra: str = "train"
) -> Any:
    """Load a ``.keras`` file for inference; code inside it (a Lambda layer) is never run.

    Args:
        source: the file, or its bytes.
        spec: the contract that the model must fulfil.
        name: what messages call the model; by default the path, or of bytes "the original model".
        extra: the extra to name when Keras is not installed.

    Returns:
        A ``keras.Model``.

    Raises:
        ModelError: the file is absent, malformed, holds code, or does not fit the spec.
        MissingExtraError: Keras is not installed.
    """
    if isinstance(source, bytes):
        with temporary_folder() as folder:
            file = folder / "model.keras"  # Keras reads names only
            file.write_bytes(source)
            return load_keras(file, spec, name=name or "the original model", extra=extra)
    name = name or str(source)
    model = open_keras(source, name=name, extra=extra).model
    _check_contract(model, spec, name)
    return model


def open_keras(source: Path, *, name: str = "", extra: str = "train") -> SavedModel:
    """Load a saved model without a spec to compare it with; see :func:`load_keras`.

    Raises:
        ModelError: the file is absent or no Keras model, holds code, or has several inputs or
            outputs.
        MissingExtraError: Keras is not installed.
    """
    name = name or str(source)
    model_kind(source, name)  # before Keras is loaded, which takes seconds
    keras = require_keras(extra)
    saved = read_saved(source, name, keras)
    check_structure(saved.model, name, keras)
    return saved


def keras_scores(model: Any, pixels: Pixels, spec: ModelSpec) -> Scores:
    """Compute the original model's scores.

    Args:
        model: a ``keras.Model``.
        pixels: (N, height, width, channels) uint8.
        spec: the scale of its input.

    Returns:
        (N, spec.outputs) float32.
    """
    keras = require_keras("train")
    chunks = [
        keras.ops.convert_to_numpy(
            model(normalize(pixels[start : start + _CHUNK], spec.input), training=False)
        )
        for start in range(0, len(pixels), _CHUNK)
    ]
    return np.concatenate(chunks).astype(np.float32)


def _check_contract(model: Any, spec: ModelSpec, name: str) -> None:
    input_shape = tuple(model.inputs[0].shape[1:])
    output_shape = tuple(model.outputs[0].shape[1:])
    if (input_shape, output_shape) != (spec.input_shape, (spec.outputs,)):
        raise ModelError(
            f"{name}: maps {input_shape} to {output_shape}, "
            f"its spec says {spec.input_shape} to {(spec.outputs,)}"
        )
