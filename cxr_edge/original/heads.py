"""What a network's outputs are: probabilities, logits, or nothing that a spec can describe."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from cxr_edge.original import keras_graph
from cxr_edge.original.files import refuse
from cxr_edge.original.saved import RANDOM_LAYERS, SavedModel
from cxr_edge.spec import ModelSpec

Activation = Literal["sigmoid", "softmax"]

_MULTI_LABEL = (
    "one sigmoid each (multi-label), which cannot be exported; give one sigmoid for two labels, or "
    "a softmax over the labels"
)
_PASSING = RANDOM_LAYERS | {"Cast", "Flatten", "Reshape", "Squeeze"}
_LOSSES_OF_EACH = frozenset({"binary_crossentropy", "binary_focal_crossentropy"})
_AVERAGING = frozenset({"Average", "GlobalAveragePooling2D", "AveragePooling2D"})
_ACTIVATIONS: dict[str, Literal["sigmoid", "softmax", "linear"]] = {
    "sigmoid": "sigmoid",
    "hard_sigmoid": "sigmoid",
    "softmax": "softmax",
    "linear": "linear",
    # softmax(log_softmax(x)) is softmax(x): its outputs are logits, too.
    "log_softmax": "linear",
    "logsoftmax": "linear",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """What the last operation of a network applies."""

    activation: Literal["sigmoid", "softmax", "linear", "other", "unknown"]
    """``linear``: its outputs are logits. ``other``: a function such as ReLU. ``unknown``: an
    operation that has none."""
    layer: str
    """Name of the layer or operation."""
    kind: str
    """Its class."""
    function: str = ""
    """Name of the function it applies; empty where unknown."""

    def __str__(self) -> str:
        return f"{self.layer} ({self.kind})"


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """How a network's output becomes probabilities."""

    spec: ModelSpec
    """The spec with the activation that the finished network has."""
    appended: Activation | None
    """What is put behind the network's logits; None: it outputs probabilities."""
    found: str = ""
    """The linear layer that was taken for logits without the spec's word; else empty."""


def read_head(saved: SavedModel, spec: ModelSpec, name: str, keras: Any) -> Head:
    """Check a model's output against its spec.

    Args:
        saved: a model of one input and one output.
        spec: what the user says of it.
        name: what messages call it.
        keras: the module.

    Raises:
        ModelError: the output is not what the spec says; names what to change.
    """
    units, last = read_output(saved.model, name, saved.loss, keras)
    labels, ending, layer = len(spec.labels), last.activation, last.layer
    if spec.activation == "logits":
        if ending in ("sigmoid", "softmax"):
            raise refuse(
                name,
                f"outputs probabilities (layer {layer!r} is a {ending}), the spec says logits; say "
                f'"activation": "{ending}"',
            )
        return Head(_resolved(spec, units, name), "sigmoid" if units == 1 else "softmax")
    expected: Activation = "sigmoid" if units == 1 else "softmax"
    if spec.activation != expected and (units == 1 or units == labels):
        plural = "" if units == 1 else "s"
        raise refuse(
            name,
            f"has {units} output{plural}, the spec says {spec.activation} for {labels} labels; "
            f'say "activation": "{"logits" if ending == "linear" else expected}"',
        )
    if units != spec.outputs:
        raise refuse(name, _wrong_count(units, spec))
    if ending != "linear":
        return Head(spec, None)
    if not saved.from_logits:
        raise refuse(
            name,
            f"outputs {units} unbounded number{'s' * (units > 1)} (last layer {layer!r} is "
            f"linear), the spec says {spec.activation}; if they are logits say "
            '"activation": "logits"',
        )
    return Head(spec, expected, found=layer)


def read_output(model: Any, name: str, loss: str, keras: Any) -> tuple[int, Ending]:
    """Find how many scores a model puts out and what its last operation applies.

    Args:
        model: one output.
        name: what messages call it.
        loss: what it was trained with, as :class:`~cxr_edge.original.saved.SavedModel` has it.
        keras: the module.

    Raises:
        ModelError: no spec can describe the output.
    """
    shape = tuple(model.outputs[0].shape[1:])
    if len(shape) != 1 or shape[0] is None:
        raise refuse(
            name,
            f"outputs {shape} for an image, expected one number a label: (outputs,); a network "
            "that outputs maps, boxes or features is no classifier",
        )
    units, last = int(shape[0]), read_ending(model, keras)
    # Logits that were trained as one yes or no for each label: their loss says so.
    is_multi_label = last.activation == "linear" and loss in _LOSSES_OF_EACH
    if units > 1 and (last.activation == "sigmoid" or is_multi_label):
        raise refuse(name, f"has {units} outputs, {_MULTI_LABEL}")
    if last.activation == "other":
        raise refuse(
            name,
            f"ends in {last.function} (layer {last.layer!r}), expected a sigmoid, a softmax, or "
            "logits without an activation; train it with one of these",
        )
    if last.activation == "softmax" and units == 1:
        raise refuse(
            name,
            f"has a softmax over one output (layer {last.layer!r}), which is always 1; train it "
            "with a sigmoid, or with one output a label",
        )
    return units, last


def read_ending(model: Any, keras: Any) -> Ending:
    """Find what a model's last operation applies, through layers that change no value."""
    return _ending_of(keras_graph.functional(model, keras).outputs[0], keras)


def _ending_of(tensor: Any, keras: Any) -> Ending:
    call = keras_graph.producing_call(tensor)
    if call is None:
        return Ending("unknown", "", "its input")
    operation, kind = call.operation, type(call.operation).__name__
    if keras_graph.is_model(operation, keras) and getattr(operation, "outputs", None):
        place = next(i for i, output in enumerate(call.outputs) if output is tensor)
        return _ending_of(operation.outputs[place], keras)
    function = kind.lower()
    if function not in _ACTIVATIONS:
        activation = getattr(operation, "activation", None)
        passes = activation is None or kind == "Activation"
        # A layer used as an activation function has no name of a function.
        function = getattr(activation, "__name__", type(activation).__name__).lower()
        if passes and (activation is None or function == "linear"):
            if len(call.inputs) == 1 and (kind in _PASSING or kind == "Activation"):
                return _ending_of(call.inputs[0], keras)
            return _average_of(call, kind, keras)
    return Ending(_ACTIVATIONS.get(function, "other"), operation.name, kind, function)


def _average_of(call: keras_graph.LayerCall, kind: str, keras: Any) -> Ending:
    """An ensemble's average of probabilities is one; of anything else, logits."""
    name = call.operation.name
    if kind not in _AVERAGING or not call.inputs:
        return Ending("unknown", name, kind)
    parts = {_ending_of(tensor, keras).activation for tensor in call.inputs}
    is_probability = parts in ({"softmax"}, {"sigmoid"})
    return Ending(parts.pop() if is_probability else "linear", name, kind)


def _resolved(spec: ModelSpec, units: int, name: str) -> ModelSpec:
    labels = len(spec.labels)
    if units not in (1, labels) or (units == 1 and labels != 2):
        raise refuse(name, _wrong_count(units, spec))
    return dataclasses.replace(spec, activation="sigmoid" if units == 1 else "softmax")


def _wrong_count(units: int, spec: ModelSpec) -> str:
    labels = len(spec.labels)
    expected = "1 (sigmoid) or 2 (softmax)" if labels == 2 else str(labels)
    plural = "" if units == 1 else "s"
    return (
        f"has {units} output{plural}, the spec names {labels} labels, which need {expected}; name "
        "one label for each output"
    )
