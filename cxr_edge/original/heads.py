"""What a network's outputs are: probabilities, logits, or nothing that a spec can describe."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from cxr_edge.original import graph
from cxr_edge.original.files import refuse
from cxr_edge.original.saved import RANDOM_LAYERS
from cxr_edge.spec import ModelSpec

Activation = Literal["sigmoid", "softmax"]
Ending = Literal["sigmoid", "softmax", "linear", "other"]

_MULTI_LABEL = (
    "one sigmoid each (multi-label), which cannot be exported; give one sigmoid for two labels, or "
    "a softmax over the labels"
)
_KERNEL_LAYERS = frozenset({"Dense", "EinsumDense", "Conv2D", "Conv1D", "SeparableConv2D"})
_PASSING = RANDOM_LAYERS | {"Cast", "Flatten", "Reshape", "Squeeze"}


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """How a network's output becomes probabilities."""

    spec: ModelSpec
    """The spec with the activation that the finished network has."""
    appended: Activation | None
    """What is put behind the network's logits; None: it outputs probabilities."""
    found: str = ""
    """The linear layer that was taken for logits without the spec's word; else empty."""


def read_head(model: Any, spec: ModelSpec, name: str, *, from_logits: bool, keras: Any) -> Head:
    """Check a model's output against its spec.

    Args:
        model: one input, one output.
        spec: what the user says of it.
        name: what messages call it.
        from_logits: whether its loss expected logits.
        keras: the module.

    Raises:
        ModelError: the output is not what the spec says; names what to change.
    """
    shape = tuple(model.outputs[0].shape[1:])
    if len(shape) != 1 or shape[0] is None:
        raise refuse(
            name,
            f"outputs {shape} for an image, expected one number a label: (outputs,); a network "
            "that outputs maps, boxes or features is no classifier",
        )
    units, labels = int(shape[0]), len(spec.labels)
    ending, layer = read_ending(model, keras)
    if ending == "sigmoid" and units > 1:
        raise refuse(name, f"has {units} outputs, {_MULTI_LABEL}")
    if ending == "softmax" and units == 1:
        raise refuse(
            name,
            f"has a softmax over one output (layer {layer!r}), which is always 1; train it with a "
            "sigmoid, or with one output a label",
        )
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
    if not from_logits:
        raise refuse(
            name,
            f"outputs {units} unbounded number{'s' * (units > 1)} (last layer {layer!r} is "
            f"linear), the spec says {spec.activation}; if they are logits say "
            '"activation": "logits"',
        )
    return Head(spec, expected, found=layer)


def read_ending(model: Any, keras: Any) -> tuple[Ending, str]:
    """What a model's last layer applies, and its name.

    Returns:
        ``linear`` for a layer with weights and no activation; ``other`` for what cannot be told.
    """
    tensor = graph.functional(model, keras).outputs[0]
    while True:
        operation, inputs = graph.producer(tensor)
        kind = type(operation).__name__
        if graph.is_model(operation, keras):
            return read_ending(operation, keras)
        activation = getattr(getattr(operation, "activation", None), "__name__", "")
        passes = kind in _PASSING or (kind == "Activation" and activation == "linear")
        if passes and len(inputs) == 1:
            tensor = inputs[0]
            continue
        if "sigmoid" in (activation, kind.lower()):
            return "sigmoid", operation.name
        if "softmax" in (activation, kind.lower()):
            return "softmax", operation.name
        is_linear = kind in _KERNEL_LAYERS and activation == "linear"
        return "linear" if is_linear else "other", operation.name


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
