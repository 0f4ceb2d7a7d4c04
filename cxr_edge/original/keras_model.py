"""The original Keras model: loading it safely and computing its scores."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from cxr_edge.decision import Scores
from cxr_edge.errors import ModelError, first_line
from cxr_edge.extras import require_keras
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
        name: what messages call the model; the path by default.
        extra: the extra to name when Keras is not installed.

    Returns:
        A ``keras.Model``.

    Raises:
        ModelError: the file is absent, malformed, holds code, or does not fit the spec.
        MissingExtraError: Keras is not installed.
    """
    if isinstance(source, bytes):
        with tempfile.NamedTemporaryFile(suffix=".keras") as file:  # Keras reads names only
            file.write(source)
            file.flush()
            return load_keras(Path(file.name), spec, name=name, extra=extra)
    name = name or str(source)
    model = open_keras(source, name=name, extra=extra)
    _check_contract(model, spec, name)
    return model


def open_keras(source: Path, *, name: str = "", extra: str = "train") -> Any:
    """Load a ``.keras`` file without a spec to compare it with; see :func:`load_keras`.

    Raises:
        ModelError: the file is absent, malformed, or holds code.
        MissingExtraError: Keras is not installed.
    """
    keras = require_keras(extra)
    name = name or str(source)
    if not source.is_file():
        raise ModelError(f"{name}: no such file; expected a model saved by Keras 3 as .keras")
    if not zipfile.is_zipfile(source):
        raise ModelError(f"{name}: no model saved by Keras 3 as .keras, or cut; save it again")
    try:
        model = keras.saving.load_model(source, compile=False, safe_mode=True)
    except Exception as err:  # a zip, JSON, HDF5 or layer error: Keras wraps none of them
        if foreign := _foreign_layers(source):
            listing = ", ".join(foreign)
            raise ModelError(
                f"{name}: holds layers with code of their own, which is never run: {listing}"
            ) from err
        raise ModelError(f"{name}: Keras cannot load it: {first_line(err)}") from err
    return model


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


def _foreign_layers(source: Path) -> tuple[str, ...]:
    """Layers of a saved model that are code of its own, as ``name (Class)``."""
    try:
        with zipfile.ZipFile(source) as archive:
            pending: list[Any] = [json.loads(archive.read("config.json"))]
    except (
        OSError,
        zipfile.BadZipFile,
        KeyError,
        ValueError,
    ):  # not a .keras file; Keras's own error says so
        return ()
    foreign = []
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += reversed(value)
        elif isinstance(value, dict):
            pending += reversed(value.values())
            module, config = value.get("module") or "", value.get("config")
            is_code = not module.startswith("keras") or value.get("class_name") == "Lambda"
            if isinstance(config, dict) and "name" in config and is_code:
                foreign.append(f"{config['name']} ({value.get('class_name')})")
    return tuple(foreign)


def _check_contract(model: Any, spec: ModelSpec, name: str) -> None:
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"{name}: has {len(model.inputs)} inputs and {len(model.outputs)} outputs, "
            "expected one of each"
        )
    input_shape = tuple(model.inputs[0].shape[1:])
    output_shape = tuple(model.outputs[0].shape[1:])
    if (input_shape, output_shape) != (spec.input_shape, (spec.outputs,)):
        raise ModelError(
            f"{name}: maps {input_shape} to {output_shape}, "
            f"its spec says {spec.input_shape} to {(spec.outputs,)}"
        )
