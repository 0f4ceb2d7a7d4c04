"""What a saved model must be to become the original: refusals before anything is rebuilt."""

from __future__ import annotations

from typing import Any

import numpy as np

from cxr_edge.decision import RANGE_SLACK, SUM_SLACK, Scores
from cxr_edge.original import keras_graph
from cxr_edge.original.files import listing, refuse
from cxr_edge.original.rebuild import is_channels_first
from cxr_edge.original.saved import RANDOM_LAYERS
from cxr_edge.spec import ModelSpec

_RANDOM_IN_TRAINING = RANDOM_LAYERS - {"Identity", "ActivityRegularization"} | {"RandomCrop"}


def check_structure(model: Any, name: str, keras: Any) -> None:
    """Refuse what no export can make a classifier of.

    Raises:
        ModelError: the model has no graph, several inputs or outputs, was quantized by Keras, or
            runs layers as in training.
    """
    subclassed = [
        f"{layer.name} ({type(layer).__name__})"
        for layer in keras_graph.sublayers(model)
        if keras_graph.is_model(layer, keras) and not keras_graph.has_graph(layer, keras)
    ]
    if subclassed:
        raise refuse(
            name,
            f"holds models without a graph: {listing(subclassed)}; build them with "
            "keras.Sequential or keras.Model(inputs, outputs) and save the model again",
        )
    for what, tensors in (("inputs", model.inputs), ("outputs", model.outputs)):
        if len(tensors) != 1:
            names = listing([_tensor_name(tensor) for tensor in tensors])
            raise refuse(name, f"has {len(tensors)} {what} ({names}), expected one of each")
    quantized = [
        f"{layer.name} ({type(layer).__name__}, {layer.quantization_mode})"
        for layer in keras_graph.sublayers(model)
        if getattr(layer, "quantization_mode", None) and not keras_graph.is_model(layer, keras)
    ]
    if quantized:
        raise refuse(
            name,
            f"was quantized by Keras: {listing(quantized)}; save it before "
            "model.quantize() and export that file, --int8 quantizes it",
        )
    _check_training(model, name, keras)


def check_input(model: Any, spec: ModelSpec, name: str) -> None:
    """Refuse an input that the spec's images do not fit.

    Raises:
        ModelError: names both shapes, or the type, and what to change.
    """
    shape, dtype = tuple(model.inputs[0].shape), str(model.inputs[0].dtype)
    height, width, channels = spec.input_shape
    pixels = spec.input
    if dtype in ("bool", "int8"):
        raise refuse(
            name,
            f"takes {dtype} images, which cannot hold pixels of 0..255; build it for float32 or "
            "uint8 and save it again",
        )
    if "int" in dtype and (pixels.scale != 1 or pixels.offset or pixels.mean or pixels.std):
        raise refuse(
            name,
            f"takes {dtype} images, which the spec's scale of {pixels.scale:.4g} would round away; "
            'say "scale": 1.0, "offset": 0.0, "mean": [] and "std": [] in its input',
        )
    if (
        len(shape) == 3
        and channels == 1
        and all(side in (None, want) for side, want in zip(shape[1:], (height, width), strict=True))
    ):
        return
    if len(shape) != 4:
        raise refuse(
            name,
            f"takes {shape[1:]}, expected one image (height, width, channels); the spec says "
            f"{spec.input_shape}",
        )
    fits = all(side in (None, want) for side, want in zip(shape[1:], spec.input_shape, strict=True))
    if not fits and not is_channels_first(shape, spec.input_shape):
        shown = tuple("any" if side is None else side for side in shape[1:])
        raise refuse(
            name,
            f"takes images of ({', '.join(map(str, shown))}), the spec says {spec.input_shape}; "
            "correct height, width and channels in its input",
        )


def check_scores(scores: Scores, spec: ModelSpec, name: str) -> None:
    """Refuse scores that are no probabilities, measured on drawn inputs.

    Args:
        scores: (N, spec.outputs).
        spec: sigmoid or softmax.
        name: what messages call the model.

    Raises:
        ModelError: they are NaN, outside 0..1, or a softmax's that do not sum to 1.
    """
    if not np.all(np.isfinite(scores)):
        bad = int(np.sum(~np.isfinite(scores).all(axis=1)))
        raise refuse(
            name,
            f"outputs NaN or infinity for {bad} of {len(scores)} drawn inputs; its weights are "
            "broken, or the spec's scale is not the training's",
        )
    low, high = float(scores.min()), float(scores.max())
    if low < -RANGE_SLACK or high > 1 + RANGE_SLACK:
        raise refuse(
            name,
            f"outputs {low:.3g}..{high:.3g} for drawn inputs, expected probabilities within 0..1; "
            'end the network in a sigmoid or softmax, or, if they are logits, say "activation": '
            '"logits"',
        )
    if spec.activation == "softmax":
        sums = scores.sum(axis=1, dtype=np.float64)
        worst = float(sums[np.argmax(np.abs(sums - 1))])
        if abs(worst - 1) > SUM_SLACK:
            raise refuse(
                name,
                f"its {spec.outputs} outputs sum to {worst:.3g} for a drawn input, expected 1 as "
                "the spec says softmax; multi-label networks cannot be exported",
            )


def _check_training(model: Any, name: str, keras: Any) -> None:
    running: dict[str, None] = {}
    for call, training in keras_graph.calls(model, keras):
        if training and not keras_graph.is_model(call.operation, keras):
            for layer in keras_graph.sublayers(call.operation):
                if _depends_on_training(layer, keras):
                    running[f"{layer.name} ({type(layer).__name__})"] = None
    if running:
        raise refuse(
            name,
            f"calls layers with training=True: {listing(list(running))}; its scores are random or "
            "depend on the other images of a batch; build it without and save it again",
        )


def _depends_on_training(layer: Any, keras: Any) -> bool:
    """Whether a layer draws random numbers, or normalizes by the batch, when it trains."""
    if type(layer) is keras.layers.BatchNormalization:
        return bool(layer.trainable)
    strength = getattr(layer, "rate", getattr(layer, "stddev", 1))
    return type(layer).__name__ in _RANDOM_IN_TRAINING and strength != 0


def _tensor_name(tensor: Any) -> str:
    call = keras_graph.producing_call(tensor)
    return str(call.operation.name if call else tensor.name)
