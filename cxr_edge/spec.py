"""What a model expects and what its output means: the contract that travels with every model file.

The runtime hard-codes nothing that stands here. A spec is written by training, embedded in every
exported file, and read on the device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any, Literal

from cxr_edge.document_checks import is_printable, wrong_text
from cxr_edge.documents import since
from cxr_edge.errors import SpecError
from cxr_edge.records import dataclass, field_defaults

MAX_SIDE = 4096
"""The largest input side accepted, pixels."""

MAX_LABELS = 10_000
"""The largest number of labels accepted."""

MAX_INPUT = 1e6
"""The largest magnitude of a number that the network gets."""

MIN_SPAN = 1e-6
"""The network's input differs by more than this between black and white."""

Decoding = Literal["fast", "exact"]
"""``fast`` averages a JPEG down to the network's input without OpenCV; ``exact`` leaves that to
OpenCV, as training and export do. Other formats, ``linear`` interpolation and arrays are always
exact."""

_FLOAT32_STEP = 2**-23  # relative distance of neighbouring float32 numbers


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How an image becomes the network's input."""

    height: int
    """Rows of the input, pixels, 1..4096."""
    width: int
    """Columns of the input, pixels, 1..4096."""
    channels: Literal[1, 3] = 1
    """1: grey. 3: colour, in ``channel_order``."""
    interpolation: Literal["area", "linear"] = "area"
    """``area`` averages (no aliasing when shrinking); ``linear`` is what many trainings use."""
    geometry: Literal["squash", "letterbox", "center-crop"] = "squash"
    """``squash`` ignores the aspect ratio; ``letterbox`` keeps it and pads both sides evenly;
    ``center-crop`` keeps it and cuts both sides evenly (Keras's ``crop_to_aspect_ratio``)."""
    pad_value: int = 0
    """Grey level of letterbox borders, 0..255."""
    scale: float = 1 / 255
    """Factor on a pixel of 0..255, before ``offset``."""
    offset: float = 0.0
    """Added after ``scale``."""
    mean: tuple[float, ...] = ()
    """Subtracted after scale and offset, one number a channel; empty: nothing."""
    std: tuple[float, ...] = ()
    """Divides after ``mean``, one positive number a channel; empty: nothing."""
    channel_order: Literal["rgb", "bgr"] = since("2.1", "rgb")
    """Order of three channels in the network's input, and so of ``mean`` and ``std``."""

    def __post_init__(self) -> None:
        _raise_problems(self.problems(_values(self)))

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> list[str]:
        """What is wrong with the values of some fields; rules about others are skipped."""
        return _broken(_INPUT_RULES, values)

    @property
    def summary(self) -> str:
        """Size, channels and resizing in a few words."""
        shape = f"{self.height} x {self.width} x {self.channels}"
        order = ", BGR" if self.channel_order == "bgr" else ""
        return f"{shape}{order}, {self.geometry}, {self.interpolation}"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Input, labels and decision rule of one classifier."""

    name: str
    """What people call the model."""
    input: InputSpec
    """How an image becomes the network's input."""
    labels: tuple[str, ...]
    """Labels in output order, at least two, all different."""
    activation: Literal["sigmoid", "softmax", "logits"]
    """``sigmoid``: one output, P(labels[1]). ``softmax``: one output a label, summing to 1.
    ``logits``: either before its sigmoid or softmax, which an export appends; no bundle has it."""
    positive_label: str | None
    """For two labels, the one whose probability is compared with ``threshold``; else null."""
    threshold: float | None
    """For two labels: a score of at least this, within 0..1, is the positive label; else null."""
    threshold_choice: str
    """How the threshold was chosen, and on which data."""
    uncertain_band: tuple[float, float] | None = None
    """Scores in [low, high) are flagged ``uncertain``; null: no such band was calibrated."""

    def __post_init__(self) -> None:
        _raise_problems(self.problems(_values(self)))

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> list[str]:
        """What is wrong with the values of some fields; rules about others are skipped."""
        return _broken(_MODEL_RULES, values)

    @property
    def outputs(self) -> int:
        """Width of the network's output; logits of two labels may also be one."""
        return 1 if self.activation == "sigmoid" else len(self.labels)

    @property
    def is_of_radiographs(self) -> bool:
        """Whether its name says that its images are radiographs."""
        return "x-ray" in self.name.lower() or "radiograph" in self.name.lower()

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one input."""
        return (self.input.height, self.input.width, self.input.channels)


def parse_spec(data: bytes, name: str = "spec.json") -> ModelSpec:
    """Read a spec from JSON that a training or a person wrote.

    A key may be left out if the field has a default or the labels imply one: of two labels, the
    second is positive from a score of 0.5, and one sigmoid output is expected; of more, a softmax.
    ``"input": {"preset": …}`` stands for the numbers of a preset.

    Raises:
        SpecError: it is malformed or contradicts itself; one line names every problem.
    """
    from cxr_edge import spec_file  # no prediction needs it

    return spec_file.parse(data, name)


def _values(spec: InputSpec | ModelSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in field_defaults(type(spec)) or ()}


def _broken(rules: tuple[FunctionType, ...], values: Mapping[str, Any]) -> list[str]:
    """The problems found by the rules whose parameters are all among the values."""
    problems: list[str] = []
    for rule in rules:
        names = rule.__code__.co_varnames[: rule.__code__.co_argcount]
        if all(name in values for name in names):
            problems += rule(*(values[name] for name in names))
    return problems


def _raise_problems(problems: list[str]) -> None:
    if problems:
        raise SpecError("; ".join(problems))


def _check_height(height: int) -> Iterator[str]:
    if not 1 <= height <= MAX_SIDE:
        yield f"input.height is {height}, expected 1..{MAX_SIDE}"


def _check_width(width: int) -> Iterator[str]:
    if not 1 <= width <= MAX_SIDE:
        yield f"input.width is {width}, expected 1..{MAX_SIDE}"


def _check_pad_value(pad_value: int) -> Iterator[str]:
    if not 0 <= pad_value <= 255:
        yield f"input.pad_value is {pad_value}, expected 0..255"


def _check_channel_order(channels: int, channel_order: str) -> Iterator[str]:
    if channels == 1 and channel_order != "rgb":
        yield f"input.channel_order is {channel_order}, but one channel has no order; leave it out"


def _check_scale(scale: float) -> Iterator[str]:
    if not math.isfinite(scale) or scale == 0:
        yield f"input.scale is {scale}, expected a finite number other than 0"


def _check_offset(offset: float) -> Iterator[str]:
    if not math.isfinite(offset):
        yield f"input.offset is {offset}, expected a finite number"


def _check_mean(channels: int, mean: tuple[float, ...]) -> Iterator[str]:
    yield from _check_per_channel("mean", mean, channels)


def _check_std(channels: int, std: tuple[float, ...]) -> Iterator[str]:
    yield from _check_per_channel("std", std, channels)
    if any(value <= 0 for value in std):
        yield f"input.std is {std}, expected positive numbers"


def _check_per_channel(name: str, values: tuple[float, ...], channels: int) -> Iterator[str]:
    if values and len(values) != channels:
        yield f"input.{name} has {len(values)} values for {_plural(channels, 'channel')}"
    if not all(math.isfinite(value) for value in values):
        yield f"input.{name} is {values}, expected finite numbers"


def _check_range(
    channels: int, scale: float, offset: float, mean: tuple[float, ...], std: tuple[float, ...]
) -> Iterator[str]:
    """Black and white become different numbers of moderate size, and so do all levels between."""
    means, deviations = mean or (0.0,) * channels, std or (1.0,) * channels
    is_sound = all(math.isfinite(v) for v in (scale, offset, *means, *deviations))
    if not is_sound or scale == 0 or any(v <= 0 for v in deviations):
        return  # reported by the rule of that field
    for average, deviation in zip(means, deviations, strict=False):
        black = (offset - average) / deviation
        white = (255 * scale + offset - average) / deviation
        largest = max(abs(black), abs(white))
        text = f"input.scale, offset, mean and std turn pixels 0..255 into {black:.4g}..{white:.4g}"
        if not (math.isfinite(black) and math.isfinite(white) and largest <= MAX_INPUT):
            yield f"{text}, expected at most {MAX_INPUT:g}"
            return
        if abs(white - black) <= max(MIN_SPAN, 255 * largest * _FLOAT32_STEP):
            yield f"{text}, nearly one number; expected a wider range"
            return


def _check_texts(name: str, labels: tuple[str, ...]) -> Iterator[str]:
    for text in (name, *labels):
        if not is_printable(text):
            yield wrong_text(text)


def _check_labels(labels: tuple[str, ...]) -> Iterator[str]:
    if not 2 <= len(labels) <= MAX_LABELS or len(set(labels)) != len(labels):
        yield f"labels are {labels[:5]!s:.100}; expected 2..{MAX_LABELS} different ones"


def _check_activation(labels: tuple[str, ...], activation: str) -> Iterator[str]:
    if activation == "sigmoid" and len(labels) != 2:
        yield f"activation sigmoid tells 2 labels apart, the spec has {len(labels)}; use softmax"


def _check_decision(
    labels: tuple[str, ...], positive_label: str | None, threshold: float | None
) -> Iterator[str]:
    if len(labels) > 2:
        if positive_label is not None or threshold is not None:
            yield "positive_label and threshold belong to two labels; set both to null"
        return
    if positive_label not in labels:
        yield f"positive_label is {positive_label!r:.40}, expected one of {labels!s:.100}"
    if threshold is None or not 0 <= threshold <= 1:
        yield f"threshold is {threshold}, expected a number within 0..1"


def _check_band(
    labels: tuple[str, ...], uncertain_band: tuple[float, float] | None
) -> Iterator[str]:
    band = uncertain_band
    if band is not None and not (len(labels) == 2 and 0 <= band[0] < band[1] <= 1):
        yield f"uncertain_band is {band}, expected low < high within 0..1, two labels"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


_INPUT_RULES: Any = (
    _check_height,
    _check_width,
    _check_pad_value,
    _check_channel_order,
    _check_scale,
    _check_offset,
    _check_mean,
    _check_std,
    _check_range,
)
_MODEL_RULES: Any = (_check_texts, _check_labels, _check_activation, _check_decision, _check_band)


SEED_SPEC = ModelSpec(
    name="chest X-ray pneumonia CNN, seed recipe",
    input=InputSpec(height=150, width=150),
    labels=("PNEUMONIA", "NORMAL"),
    activation="sigmoid",
    positive_label="PNEUMONIA",
    threshold=0.5,
    threshold_choice="fixed at 0.5, as in the seed",
)
"""The seed's contract: grey 150x150, squashed, /255; the sigmoid is P(NORMAL)."""
