"""A stranger's model file becomes the original: the one door for models that are not a bundle's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.decision import Scores
from cxr_edge.device.temporary import temporary_folder
from cxr_edge.extras import require, require_keras
from cxr_edge.original import keras_graph
from cxr_edge.original.archive import save
from cxr_edge.original.contract import check_input, check_scores, check_structure
from cxr_edge.original.files import listing, model_kind, reason, refuse
from cxr_edge.original.heads import Head, read_head
from cxr_edge.original.keras_model import load_keras
from cxr_edge.original.rebuild import Rebuilder, is_channels_first, needs_float32
from cxr_edge.original.saved import SavedModel, read_saved
from cxr_edge.preprocess import Batch, Pixels, normalize
from cxr_edge.reporting import Reporter, Silent
from cxr_edge.spec import ModelSpec

_INPUTS = 8
_LEVELS = 16
_MAX_DELTA, _MAX_DELTA_PRECISION = 1e-4, 0.25


@dataclass(frozen=True, slots=True)
class Original:
    """A float32, channels-last model of fixed size, from one image to probabilities."""

    model: Any
    """The ``keras.Model``."""
    data: bytes
    """Its ``.keras`` file: the given one's bytes where nothing had to be changed."""
    spec: ModelSpec
    """Its spec; the activation is sigmoid or softmax."""


def load_original(
    source: Path | bytes,
    spec: ModelSpec,
    *,
    name: str = "",
    extra: str = "train",
    reporter: Reporter | None = None,
) -> Original:
    """Load any Keras classifier, and rebuild it where the exports need it otherwise.

    Args:
        source: a ``.keras`` or HDF5 file, or its bytes.
        spec: the contract; its activation may be ``logits``.
        name: what messages call the model; the path by default.
        extra: the extra to name when Keras is not installed.
        reporter: told in one line of each change.

    Raises:
        ModelError: the file is no Keras model, holds code, or does not fit the spec.
        MissingExtraError: Keras is not installed.
    """
    if isinstance(source, bytes):
        with temporary_folder() as folder:
            file = folder / "model.keras"
            file.write_bytes(source)
            return load_original(
                file, spec, name=name or "the model", extra=extra, reporter=reporter
            )
    name = name or str(source)
    model_kind(source, name)  # before Keras is loaded, which takes seconds
    keras = require_keras(extra)
    saved = read_saved(source, name, keras)
    check_structure(saved.model, name, keras)
    check_input(saved.model, spec, name)
    head = read_head(saved, spec, name, keras)
    pixels = draw_pixels(spec)
    changes = _needed_changes(saved, head, spec, keras)
    if not changes:
        check_scores(_scores(saved.model, normalize(pixels, spec.input), name), spec, name)
        return Original(saved.model, saved.data, spec)
    rebuilt = Rebuilder(keras, name).rebuild(saved.model, spec.input_shape, head.appended)
    data = save(rebuilt)
    model = load_keras(data, head.spec, name=name, extra=extra)
    delta = _check_rebuilt(saved, model, head, pixels, changes, name)
    say = (reporter or Silent()).say
    if head.found:
        say(
            f"{name}: layer {head.found!r} is linear and was trained with from_logits=True: "
            f"{head.appended} is put behind it"
        )
    say(f"{name}: rebuilt {', '.join(changes)}; scores moved by at most {delta:.1e}")
    return Original(model, data, head.spec)


def draw_pixels(spec: ModelSpec) -> Pixels:
    """Pictures on which rebuilding is checked: noise of several contrasts, slopes, grey levels.

    A network may give all noise one score; what it makes of levels then still shows a difference.

    Returns:
        (32, height, width, channels) uint8, always the same.
    """
    random = np.random.default_rng(0)
    contrast = random.random((_INPUTS, 1, 1, 1))
    noise = random.random((_INPUTS, *spec.input_shape))
    slope = np.linspace(0, 1, spec.input.height)[:, np.newaxis, np.newaxis]
    slopes = random.random((_INPUTS, 1, 1, spec.input.channels)) * slope
    levels = np.linspace(0, 1, _LEVELS)[:, np.newaxis, np.newaxis, np.newaxis]
    flat = [np.broadcast_to(p, (len(p), *spec.input_shape)) for p in (slopes, levels)]
    return np.asarray(np.concatenate([contrast * noise, *flat]) * 255, np.uint8)


def _needed_changes(saved: SavedModel, head: Head, spec: ModelSpec, keras: Any) -> list[str]:
    """What has to be changed to make a model the original, in words."""
    model, changes = saved.model, []
    image = model.inputs[0]
    if dtypes := needs_float32(model, keras):
        changes.append(f"as float32 (saved as {', '.join(dtypes)})")
    if keras.backend.standardize_dtype(image.dtype) != "float32" and not dtypes:
        changes.append(f"for float32 inputs (saved for {image.dtype})")
    formats = {getattr(layer, "data_format", None) for layer in keras_graph.sublayers(model)}
    shape = tuple(image.shape)
    if "channels_first" in formats or is_channels_first(shape, spec.input_shape):
        changes.append("with channels last")
    if len(shape) == 3:
        changes.append("for images with a channel axis")
    if shape[0] is not None or None in shape[1:]:
        changes.append(f"for any number of images of {spec.input_shape}")
    if head.appended:
        changes.append(f"with a {head.appended} behind its logits")
    if saved.mended:
        changes.append("without training-time layers and options that Keras cannot load")
    tensors = keras.tree.flatten
    if not changes and (
        saved.kind == "hdf5"
        or any(struct is not tensors(struct)[0] for struct in keras_graph.structures(model, keras))
    ):
        changes.append("as a .keras file of one input and one output")
    return changes


def _check_rebuilt(
    saved: SavedModel, model: Any, head: Head, pixels: Pixels, changes: list[str], name: str
) -> float:
    """The largest change of a score by rebuilding.

    Raises:
        ModelError: it is more than precision explains.
    """
    keras = require_keras("train")
    batch = normalize(pixels, head.spec.input)
    scores = _scores(model, batch, name)
    check_scores(scores, head.spec, name)
    before = _scores(saved.model, _as_saved_input(saved.model, batch, head.spec), name)
    if head.appended:
        activation = keras.activations.get(head.appended)
        before = np.asarray(keras.ops.convert_to_numpy(activation(before)), np.float32)
    delta = float(np.abs(scores - before).max())
    limit = _MAX_DELTA_PRECISION if needs_float32(saved.model, keras) else _MAX_DELTA
    if not delta <= limit:
        raise refuse(
            name,
            f"rebuilt {listing(changes, 100)}, its scores move by {delta:.2g}, allowed {limit:g}: "
            "it computes something that this changes, such as integers that wrap; build it so and "
            "save it again",
        )
    return delta


def _as_saved_input(model: Any, batch: Batch, spec: ModelSpec) -> npt.NDArray[Any]:
    """A batch (N, height, width, channels) as the saved model takes it."""
    shape = tuple(model.inputs[0].shape)
    values: npt.NDArray[Any] = batch
    if len(shape) == 3:
        values = batch[..., 0]
    elif is_channels_first(shape, spec.input_shape):
        values = batch.transpose(0, 3, 1, 2)
    if "int" in str(model.inputs[0].dtype):
        values = values.round()
    return values


def _scores(model: Any, batch: npt.NDArray[Any], name: str) -> Scores:
    """A model's output for every input, in batches of the size that it takes."""
    keras = require_keras("train")
    count = model.inputs[0].shape[0] or len(batch)
    rows = []
    for start in range(0, len(batch), count):
        part = batch[start : start + count]
        padded = np.concatenate([part, np.repeat(part[-1:], count - len(part), axis=0)])
        rows.append(_run(model, padded, name, keras)[: len(part)])
    return np.concatenate(rows)


def _run(model: Any, batch: npt.NDArray[Any], name: str, keras: Any) -> Scores:
    image = keras.ops.cast(batch, model.inputs[0].dtype)
    structure = keras.tree.pack_sequence_as(keras_graph.structures(model, keras)[0], [image])

    def forward(inputs: Any) -> Any:
        return keras.tree.flatten(model(inputs, training=False))[0]

    try:
        try:
            output = forward(structure)
        except Exception as err:
            if keras.backend.backend() != "tensorflow" or "NHWC" not in str(err):
                raise
            # Without oneDNN, TensorFlow runs channels first only when it is compiled.
            output = require("tensorflow", "export").function(forward, jit_compile=True)(structure)
    except Exception as err:  # a backend's own errors have no common class
        raise refuse(name, f"Keras cannot run it on this machine: {reason(err, 200)}") from err
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(output, "float32")), np.float32)
