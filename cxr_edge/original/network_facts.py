"""What a Keras model itself says about its input and output.

The operations before the first layer with weights are run on a black and a white image: whatever
they are (``Rescaling``, ``Normalization``, ``preprocess_input``, arithmetic), their result tells
which range of pixels they were made for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ModelError
from cxr_edge.extras import require_keras
from cxr_edge.original import keras_graph
from cxr_edge.original.contract import check_structure
from cxr_edge.original.heads import read_output

Activation = Literal["sigmoid", "softmax", "logits"]

_SCALING_LAYERS = frozenset({"Normalization", "BatchNormalization", "Rescaling"})
_NORMAL_SPAN = (0.75, 20.0)  # white minus black after scaling: 1 for 0..1, 4.5 for ImageNet's std
_CENTRED_SPAN = (200.0, 300.0)  # a mean subtracted from 0..255
_LEAST_CENTRED = 40.0  # a mean of ImageNet is 104 to 124
_LOSSES_OF_NUMBERS = frozenset(
    {"mse", "mean_squared_error", "mae", "mean_absolute_error", "mape", "msle", "huber"}
    | {"mean_absolute_percentage_error", "mean_squared_logarithmic_error", "log_cosh", "poisson"}
)
_LEVELS = (0.0, 64.0, 128.0, 192.0, 255.0)
_LARGEST_RATIO = 3.0  # of the channels' deviations
_SMALL_CHANGE = 0.01  # relative; an untrained BatchNormalization divides by sqrt(1 + epsilon)

# Names in keras.applications: of the model, or of layers where it was built into another.
_FAMILIES = (
    ("MobileNetV3", r"mobilenetv3", "tf"),
    ("EfficientNetV2", r"efficientnetv2", "tf"),
    ("ConvNeXt", r"convnext", "torch"),
    ("ResNet-RS", r"resnet-rs", "torch"),
    ("RegNet", r"regnet", "torch"),
    ("MobileNetV2", r"mobilenetv2|expanded_conv_depthwise", "tf"),
    ("MobileNet", r"mobilenet_|conv_dw_1", "tf"),
    ("Inception-ResNet", r"inception_resnet", "tf"),
    ("Inception", r"inception_v3|mixed0", "tf"),
    ("Xception", r"xception|block2_sepconv1", "tf"),
    ("NASNet", r"nasnet|normal_conv_1_", "tf"),
    ("ResNetV2", r"resnet\d+v2|conv2_block1_preact_bn", "tf"),
    ("DenseNet", r"densenet|conv2_block1_concat", "torch"),
    ("ResNet", r"resnet(50|101|152)|conv2_block1_0_conv", "caffe"),
    ("VGG", r"vgg1[69]|block1_conv2", "caffe"),
)


@dataclass(frozen=True, slots=True)
class Scaling:
    """The range of pixels that a network expects, as far as it shows."""

    preset: str | None
    """Name of a preset; None: nothing shows it."""
    evidence: str
    """What shows it, for people."""
    is_certain: bool
    """Whether the network scales pixels itself; else its name suggests the preset."""


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """Input, output and scaling of a Keras model."""

    height: int | None
    """Rows of the input; None: any."""
    width: int | None
    """Columns of the input; None: any."""
    channels: Literal[1, 3]
    outputs: int
    """Width of the output."""
    activation: Activation
    ending: str
    """The operation that shows the activation, for people."""
    is_activation_certain: bool
    """Whether the operation is a known one, and of logits also the loss; else the scores of a few
    random images show it."""


def network_facts(model: Any, name: str, loss: str = "") -> NetworkFacts:
    """Read size, channels, outputs and activation from a ``keras.Model``.

    Args:
        model: with one image input and one output.
        name: what messages call it.
        loss: what it was trained with, as :class:`~cxr_edge.original.saved.SavedModel` has it.

    Raises:
        ModelError: its input is no image of 1 or 3 channels, or its output no classifier's.
    """
    keras = require_keras("export")
    check_structure(model, name, keras)
    height, width, channels = _image_shape(tuple(model.inputs[0].shape), name)
    outputs, last = read_output(model, name, loss, keras)
    ending, is_certain = str(last), True
    activation: Activation
    if last.activation in ("sigmoid", "softmax"):
        activation = last.activation
    elif last.activation == "linear":
        if loss in _LOSSES_OF_NUMBERS:
            raise ModelError(
                f"{name}: ends in a linear layer and was trained with {loss}, which predicts "
                "numbers, expected a classifier; if its outputs are logits, write a spec with "
                '"activation": "logits" by hand'
            )
        activation, is_certain = "logits", "entropy" in loss
        ending += f", trained with {loss or 'an unknown loss'}"
    else:
        activation, is_certain = _measured_activation(model, outputs, height, width), False
    return NetworkFacts(height, width, channels, outputs, activation, ending, is_certain)


def _image_shape(
    shape: tuple[int | None, ...], name: str
) -> tuple[int | None, int | None, Literal[1, 3]]:
    """(height, width, channels) of an input, whichever axis holds the channels."""
    if len(shape) == 3:
        return shape[1], shape[2], 1
    if len(shape) == 4:
        for height, width, channels in ((*shape[1:],), (shape[2], shape[3], shape[1])):
            if channels in (1, 3):
                return height, width, 3 if channels == 3 else 1
    raise ModelError(
        f"{name}: its input is {shape}, expected (None, height, width, channels) with 1 or 3 "
        "channels"
    )


def _measured_activation(
    model: Any, outputs: int, height: int | None, width: int | None
) -> Activation:
    """What a few scores look like, of a network whose last operation has no known function."""
    scores = _random_scores(model, height or 64, width or 64)
    is_share = bool((scores >= 0).all() and (scores <= 1).all())
    sums_to_one = outputs > 1 and np.allclose(scores.sum(axis=1), 1, atol=1e-3)
    if is_share and (sums_to_one or outputs == 1):
        return "softmax" if outputs > 1 else "sigmoid"
    return "logits"


def _random_scores(model: Any, height: int, width: int) -> npt.NDArray[np.float32]:
    shape = _free_filled(model.inputs[0].shape[1:], height, width)
    images = np.random.default_rng(0).uniform(-1, 1, (8, *shape)).astype(np.float32)
    return np.asarray(model(images, training=False)).astype(np.float32)


def _free_filled(shape: tuple[int | None, ...], height: int, width: int) -> list[int]:
    """The shape of an image, with sides for those that the model leaves open."""
    sides = (height, width, 3)
    return [side or free for side, free in zip(shape, sides, strict=False)]


def find_scaling(model: Any) -> Scaling:
    """Find which preset a network expects, from what it does to pixels, else from its name."""
    if str(model.inputs[0].dtype) == "uint8":
        return Scaling("none", "its input is uint8", is_certain=True)
    levels = np.stack([_before_weights(model, level) for level in _LEVELS])
    black, white = float(np.median(levels[0])), float(np.median(levels[-1]))
    span, start = white - black, black
    if not _is_plain_scaling(levels):
        text = "its first layers do not scale all pixels alike"
        return Scaling(None, text, is_certain=False)
    if abs(span - 255) > 255 * _SMALL_CHANGE or abs(start) > 255 * _SMALL_CHANGE:
        ranges = {"none": (0.0, 255.0), "unit": (0.0, 1.0), "tf": (-1.0, 1.0)}
        for preset, (low, high) in ranges.items():
            reached = [start + span * level / 255 for level in (low, high)]
            wide = abs(reached[1] - reached[0])
            has_both_signs = min(reached) < -_LEAST_CENTRED and max(reached) > _LEAST_CENTRED
            is_centred = has_both_signs and _CENTRED_SPAN[0] <= wide <= _CENTRED_SPAN[1]
            if _NORMAL_SPAN[0] <= wide <= _NORMAL_SPAN[1] or (preset == "none" and is_centred):
                result = f"{reached[0]:.3g}..{reached[1]:.3g}"
                text = f"its first layers turn {low:g}..{high:g} into {result}"
                return Scaling(preset, text, is_certain=True)
        text = f"its first layers turn 0..255 into {black:.3g}..{white:.3g}, a range of no preset"
        return Scaling(None, text, is_certain=False)
    names = " ".join(_names(model)).lower()
    for family, pattern, preset in _FAMILIES:
        if re.search(pattern, names):
            return Scaling(preset, f"its layers are called as those of {family}", is_certain=False)
    return Scaling(
        None, "neither its layers nor its name tell the range of pixels", is_certain=False
    )


def _is_plain_scaling(levels: npt.NDArray[np.float64]) -> bool:
    """Whether values lie on a line over the grey levels, about as steep in every channel.

    Args:
        levels: (levels, channels), of :data:`_LEVELS`.
    """
    span = levels[-1] - levels[0]
    line = levels[0] + np.outer(np.divide(_LEVELS, 255), span)
    steepest = float(np.abs(span).max())
    is_line = np.abs(levels - line).max() <= _SMALL_CHANGE * max(steepest, 1e-6)
    return bool(is_line and np.abs(span).min() * _LARGEST_RATIO >= steepest)


def _before_weights(model: Any, level: float) -> npt.NDArray[np.float64]:
    """(channels,) medians that an image of one level has before the first layer with weights."""
    shape = _free_filled(model.inputs[0].shape[1:], 64, 64)
    value = _run_until_weights(model, np.full((1, *shape), level, np.float32))
    if value is None:
        return np.array([level])
    values = np.asarray(value).astype(np.float64)
    return np.asarray(np.median(values.reshape(-1, values.shape[-1]), axis=0))


def _run_until_weights(model: Any, value: Any) -> Any:
    """What the first layer with weights gets when the model gets ``value``; None: it has none."""
    keras = require_keras("export")
    for call in _calls(model):
        operation = call.operation
        if keras_graph.is_model(operation, keras):
            inside = _run_until_weights(operation, _prefix(model, call, value))
            if inside is not None:
                return inside
        elif (
            getattr(operation, "weights", None) and type(operation).__name__ not in _SCALING_LAYERS
        ):
            return _prefix(model, call, value)
    return None


def _prefix(model: Any, call: keras_graph.LayerCall, value: Any) -> Any:
    """What a call gets when the model gets ``value``."""
    tensor = call.inputs[0]
    if tensor is model.inputs[0]:
        return value
    return require_keras("export").Model(model.inputs[0], tensor)(value, training=False)


def _calls(model: Any) -> Iterator[keras_graph.LayerCall]:
    """The model's calls that read a tensor, from input to output."""
    calls = keras_graph.own_calls(model, require_keras("export"))
    return (call for call in calls if call.inputs)


def _names(model: Any) -> Iterator[str]:
    yield model.name
    for call in _calls(model):
        if keras_graph.is_model(call.operation, require_keras("export")):
            yield from _names(call.operation)
        else:
            yield call.operation.name
