"""The spec of a Keras model: read from the model where it shows, else given, guessed or assumed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from cxr_edge.errors import UsageError
from cxr_edge.original.network_facts import NetworkFacts, Scaling, find_scaling, network_facts
from cxr_edge.spec import InputSpec, ModelSpec
from cxr_edge.spec_file import DEFAULT_THRESHOLD, PRESETS, threshold_choice

Origin = Literal["model", "given", "data", "guessed", "assumed"]
"""Where a field's value comes from: read from the model, said by the user, the folders of the
training images. What is guessed or assumed is for the user to check."""

Geometry = Literal["squash", "letterbox", "center-crop"]
Interpolation = Literal["area", "linear"]


@dataclass(frozen=True, slots=True)
class Given:
    """What the user says about a model; None: left to be inferred."""

    name: str = "unnamed"
    """What people call the model."""
    labels: tuple[str, ...] | None = None
    """In output order."""
    data_labels: tuple[str, ...] | None = None
    """The sorted class folders of the training images."""
    preset: str | None = None
    """Name of a preset of :mod:`cxr_edge.spec_file`."""
    size: tuple[int, int] | None = None
    """Rows and columns of the input, pixels."""
    geometry: Geometry | None = None
    interpolation: Interpolation | None = None
    threshold: float | None = None
    """0..1."""
    positive: str | None = None
    """Which of two labels the threshold is about."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where one value of a spec comes from."""

    field: str
    value: str
    origin: Origin
    note: str
    """What it means, or what to check."""
    is_contradicted: bool = False
    """Whether the model shows another value than the one given."""

    @property
    def is_doubtful(self) -> bool:
        """Whether the user should check it."""
        return self.is_contradicted or self.origin in ("guessed", "assumed")


@dataclass(frozen=True, slots=True)
class InferredSpec:
    """A spec, and where each of its values comes from."""

    spec: ModelSpec
    explanations: tuple[Explanation, ...]
    """In the order of the spec's fields."""


def infer_from_network(model: Any, given: Given, name: str, loss: str = "") -> InferredSpec:
    """Infer the spec of a ``keras.Model``.

    Args:
        model: with one image input and one output.
        given: what the user says about it.
        name: what messages call the model.
        loss: what it was trained with, as :class:`~cxr_edge.original.saved.SavedModel` has it.

    Raises:
        ModelError: it is no image classifier with one sigmoid or softmax output, or its logits.
        UsageError: what is given contradicts the model, or is missing where nothing can stand in.
    """
    facts = network_facts(model, name, loss)
    size = _size(facts, given)
    labels = _labels(facts, given)
    scaling = find_scaling(model)
    preset_name = given.preset or scaling.preset or "unit"
    preset = PRESETS[preset_name]
    if preset.needs_colour and facts.channels != 3:
        raise UsageError(f"--preset {preset_name} is for 3 channels, the model takes 1")
    is_binary = len(labels) == 2
    _check_decision(labels, given)
    positive = (given.positive or labels[1]) if is_binary else None
    threshold = given.threshold if given.threshold is not None else DEFAULT_THRESHOLD
    spec = ModelSpec(
        name=given.name,
        input=InputSpec(
            *size,
            channels=facts.channels,
            interpolation=given.interpolation or "linear",
            geometry=given.geometry or "squash",
            scale=preset.scale,
            offset=preset.offset,
            mean=preset.mean,
            std=preset.std,
            channel_order=preset.channel_order,
        ),
        labels=labels,
        activation=facts.activation,
        positive_label=positive,
        threshold=threshold if is_binary else None,
        threshold_choice=threshold_choice(is_binary, given.threshold is not None),
    )
    parts = (
        _explain_input(spec.input, facts, given),
        (_explain_scaling(preset_name, scaling, given),),
        _explain_output(spec, facts, given),
    )
    return InferredSpec(spec, tuple(line for part in parts for line in part))


def _size(facts: NetworkFacts, given: Given) -> tuple[int, int]:
    if given.size is None:
        if facts.height is None or facts.width is None:
            raise UsageError("the model takes images of any size; say with --size HxW which")
        return facts.height, facts.width
    for fixed, wanted in zip((facts.height, facts.width), given.size, strict=True):
        if fixed not in (None, wanted):
            raise UsageError(
                f"--size is {given.size[0]}x{given.size[1]}, the model takes "
                f"{facts.height or 'any'}x{facts.width or 'any'}"
            )
    return given.size


def _labels(facts: NetworkFacts, given: Given) -> tuple[str, ...]:
    count = max(facts.outputs, 2)
    outputs = "1 output, for two labels" if facts.outputs == 1 else f"{facts.outputs} outputs"
    for source, labels in (("--labels names", given.labels), ("--data has", given.data_labels)):
        if labels is not None and len(labels) != count:
            raise UsageError(
                f"{source} {len(labels)} labels ({', '.join(labels):.80}), the model has {outputs}"
            )
    if given.labels and given.data_labels and set(given.labels) != set(given.data_labels):
        raise UsageError(
            f"--labels names {', '.join(given.labels):.80}; the folders of --data are "
            f"{', '.join(given.data_labels):.80}"
        )
    placeholders = tuple(f"label_{index}" for index in range(count))
    return given.labels or given.data_labels or placeholders


def _check_decision(labels: tuple[str, ...], given: Given) -> None:
    """Raise UsageError where --positive or --threshold does not fit the labels."""
    if len(labels) > 2 and (given.positive is not None or given.threshold is not None):
        raise UsageError(
            f"--positive and --threshold are for two labels, the model has {len(labels)}"
        )
    if given.positive is not None and given.positive not in labels:
        raise UsageError(f"--positive is {given.positive!r:.60}, expected one of {labels!s:.100}")


def _explain_input(spec: InputSpec, facts: NetworkFacts, given: Given) -> Iterator[Explanation]:
    is_fixed = facts.height is not None and facts.width is not None
    size = f"{spec.height} x {spec.width}"
    yield Explanation("input size", size, "model" if is_fixed else "given", "rows x columns")
    colours = "grey" if spec.channels == 1 else "colour"
    yield Explanation("input.channels", str(spec.channels), "model", colours)
    yield Explanation(
        "input.interpolation",
        spec.interpolation,
        "given" if given.interpolation else "assumed",
        "how the training resized; Keras's loaders and tf.image: linear, cv2.INTER_AREA: area",
    )
    yield Explanation(
        "input.geometry",
        spec.geometry,
        "given" if given.geometry else "assumed",
        "squash changes the aspect ratio; crop_to_aspect_ratio=True is center-crop, "
        "pad_to_aspect_ratio=True letterbox",
    )


def _explain_scaling(preset: str, scaling: Scaling, given: Given) -> Explanation:
    meaning = PRESETS[preset].summary
    if given.preset:
        is_contradicted = scaling.is_certain and scaling.preset != given.preset
        doubt = f"; but {scaling.evidence}, which suggests {scaling.preset}"
        note = meaning + doubt if is_contradicted else meaning
        return Explanation("preset", preset, "given", note, is_contradicted)
    if scaling.is_certain:
        return Explanation("preset", preset, "model", f"{meaning}: {scaling.evidence}")
    origin: Origin = "guessed" if scaling.preset else "assumed"
    return Explanation("preset", preset, origin, f"{meaning}: {scaling.evidence}")


def _explain_output(spec: ModelSpec, facts: NetworkFacts, given: Given) -> Iterator[Explanation]:
    origin: Origin = "assumed"
    note = "placeholders; name them in output order with --labels or --data"
    if given.labels:
        origin, note = "given", "in output order"
    elif given.data_labels:
        origin, note = "data", "sorted, as Keras's loaders order them"
    if facts.outputs == 1:
        note += f"; the one output is P({spec.labels[1]})"
    yield Explanation("labels", ", ".join(spec.labels[:8]), origin, note)
    note = f"ends in {facts.ending}"
    if not facts.is_activation_certain:
        is_linear = "trained with" in facts.ending
        note += ", are these logits?" if is_linear else ", judged by its scores of random images"
    if spec.activation == "logits":
        head = "sigmoid" if facts.outputs == 1 else "softmax"
        note += f"; export appends the {head}"
    yield Explanation(
        "activation", spec.activation, "model" if facts.is_activation_certain else "guessed", note
    )
    if spec.positive_label is not None:
        yield Explanation(
            "positive_label",
            spec.positive_label,
            "given" if given.positive else "assumed",
            "the label that is reported from the threshold on",
        )
        yield Explanation(
            "threshold",
            f"{spec.threshold:g}",
            "assumed" if given.threshold is None else "given",
            f"P({spec.positive_label}) of at least this is {spec.positive_label}",
        )
