"""A network of the zoo made ready for an export: its spec, scores that spread, a saved file."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from zoo import Case

from cxr_edge import documents
from cxr_edge.export.golden import draw_pictures
from cxr_edge.extras import require_tensorflow
from cxr_edge.preprocess import Pixels, normalize
from cxr_edge.spec import InputSpec, ModelSpec, parse_spec

_SIDE = 64
"""Side of an image where the network takes any, pixels."""
_LARGEST_FACTOR, _LARGEST_FACTOR_DEEP = 20.0, 200.0
"""Of the last layer's weights; a deep network that was hardly trained puts out nearly constants."""
_BATCH = 16


def spec_of(case: Case, model: Any) -> ModelSpec:
    """The spec of a case: what its model shows, and what the case says."""
    shape = tuple(model.inputs[0].shape[1:])
    channels = 1 if 1 in shape else 3
    sides = [side or _SIDE for side in (shape[1:] if shape[0] == channels else shape[:2])]
    units = int(model.outputs[0].shape[-1])
    labels = ("A", "B") if units <= 2 else tuple(f"label {number}" for number in range(units))
    inferred = ModelSpec(
        name=case.name,
        input=InputSpec(height=sides[0], width=sides[1], channels=channels),
        labels=labels,
        activation="sigmoid" if units == 1 else "softmax",
        positive_label="B" if units <= 2 else None,
        threshold=0.5 if units <= 2 else None,
        threshold_choice="fixed",
    )
    document = json.loads(documents.dump(inferred))
    return parse_spec(json.dumps(_merged(document, case.spec)).encode())


def _merged(document: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A document with other values, also inside its parts."""
    merged = dict(document)
    for key, value in changes.items():
        is_part = isinstance(value, Mapping) and isinstance(document.get(key), dict)
        merged[key] = _merged(document[key], value) if is_part else value
    return merged


def spread(model: Any, spec: ModelSpec, largest: float) -> None:
    """Set the weights of the layer ``out`` so that scores on phantoms lie on both sides of .5."""
    out = next((layer for layer in model.layers if layer.name == "out"), None)
    if out is None:
        return
    batch = _in_layout(normalize(draw_pictures(spec, 0, 2 * _BATCH), spec.input), model)
    logits = _logits(_run(model, batch).astype(np.float64), spec)
    factor = min(2 / max(float(logits.std(axis=0).mean()), 1e-9), largest)
    kernel, bias = out.get_weights()
    out.set_weights([kernel * factor, (bias - np.median(logits, axis=0)) * factor])


def _run(model: Any, batch: Any) -> Any:
    """The scores of a batch, whatever structure the model takes and returns."""
    keras, _ = require_tensorflow("export")
    structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    given = keras.tree.map_structure(lambda _: batch, structure)
    (scores,) = keras.tree.flatten(model(given, training=False))
    return np.asarray(scores)


def _logits(scores: Any, spec: ModelSpec) -> Any:
    """The outputs before their activation, (N, units); a softmax's up to a constant."""
    if spec.activation == "logits":
        return scores
    logs = np.log(np.clip(scores, 1e-7, 1))
    if spec.activation == "sigmoid":
        return logs - np.log(np.clip(1 - scores, 1e-7, 1))
    return logs - logs.mean(axis=1, keepdims=True)


def train(model: Any, spec: ModelSpec, seconds: float) -> float:
    """Fit a network to phantoms with and without a bright corner; accuracy on others.

    Batch normalization learns its statistics in these few steps.
    """
    keras, _ = require_tensorflow("export")
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.7
    one_hot = spec.activation == "softmax" or model.outputs[0].shape[-1] > 1
    loss = keras.losses.CategoricalCrossentropy() if one_hot else keras.losses.BinaryCrossentropy()
    if not model.compiled:
        model.compile(keras.optimizers.Adam(1e-3), loss)
    start, step = time.monotonic(), 0
    while step < 8 or time.monotonic() - start < seconds:
        batch, classes = marked(spec, _BATCH * step, _BATCH)
        truth = np.eye(len(spec.labels))[classes] if one_hot else classes[:, None]
        model.train_on_batch(_in_layout(normalize(batch, spec.input), model), truth)
        step += 1
    batch, classes = marked(spec, 100_000, 4 * _BATCH)
    scores = _run(model, _in_layout(normalize(batch, spec.input), model))
    decided = scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0.5).astype(int)
    return float((decided == classes).mean())


def marked(spec: ModelSpec, first: int, count: int) -> tuple[Pixels, Any]:
    """Phantoms, each with a mark whose strength tells its class, (N, ...) uint8, and (N,) classes.

    Some marks are faint: otherwise nothing would lie near a decision's border.
    """
    pictures = draw_pictures(spec, first, count).astype(np.float32)
    random = np.random.default_rng([first, count])
    classes = np.arange(count) % len(spec.labels)
    rows, columns = spec.input.height // 3, spec.input.width // 3
    for picture, label in zip(pictures, classes, strict=True):
        grey = 255 * label / (len(spec.labels) - 1)
        strength = random.uniform(0.4, 1.0)
        corner = picture[:rows, :columns]
        corner[...] = (1 - strength) * corner + strength * grey
    return pictures.round().astype(np.uint8), classes


def save(case: Case, folder: Path, *, seconds: float | None = None) -> tuple[Path, ModelSpec, Any]:
    """Build a network, train it or spread its scores, and write ``model.keras``.

    Args:
        case: the network.
        folder: where to write.
        seconds: time to train; None: it is not trained.
    """
    keras, _ = require_tensorflow("export")
    keras.utils.set_random_seed(1)
    # Operations are numbered, and a case may use such a name.
    keras.utils.clear_session(free_memory=case.large)
    model = case.build()
    spec = spec_of(case, model)
    if case.refusal is None:
        if seconds is not None:
            # An operation without a gradient; a name that TensorFlow's training cannot have.
            with contextlib.suppress(LookupError, ValueError):
                train(model, spec, seconds)
        spread(model, spec, _LARGEST_FACTOR_DEEP if case.large else _LARGEST_FACTOR)
    path = folder / "model.keras"
    model.save(path)
    return path, spec, model


def _in_layout(batch: Any, model: Any) -> Any:
    """A batch with its channels where the model has them: last, first or nowhere."""
    if len(model.inputs[0].shape) == 3:
        return batch[..., 0]
    first = model.inputs[0].shape[-1] not in (1, 3, None)
    return np.moveaxis(batch, -1, 1) if first else batch
