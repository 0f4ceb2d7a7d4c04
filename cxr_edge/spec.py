"""What a model expects and what its output means: the contract that travels with every model file.

The runtime hard-codes nothing that stands here. A spec is written by training, embedded in every
exported file, and read on the device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from cxr_edge import documents
from cxr_edge.errors import SpecError

MAX_SIDE = 4096
"""The largest input side accepted, pixels."""

MAX_LABELS = 10_000
"""The largest number of labels accepted."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How an image becomes the network's input."""

    height: int
    """Rows of the input, pixels, 1..4096."""
    width: int
    """Columns of the input, pixels, 1..4096."""
    channels: Literal[1, 3] = 1
    """1: grey. 3: RGB, in that order."""
    interpolation: Literal["area", "linear"] = "area"
    """``area`` averages (no aliasing when shrinking); ``linear`` is what many trainings use."""
    geometry: Literal["squash", "letterbox"] = "squash"
    """``squash`` ignores the aspect ratio; ``letterbox`` keeps it and pads both sides evenly."""
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

    def __post_init__(self) -> None:
        for name, side in (("height", self.height), ("width", self.width)):
            if not 1 <= side <= MAX_SIDE:
                raise SpecError(f"input.{name} is {side}, expected 1..{MAX_SIDE}")
        if not 0 <= self.pad_value <= 255:
            raise SpecError(f"input.pad_value is {self.pad_value}, expected 0..255")
        if not math.isfinite(self.scale) or self.scale == 0 or not math.isfinite(self.offset):
            raise SpecError(f"input.scale is {self.scale}, offset {self.offset}; expected numbers")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) != self.channels:
                raise SpecError(
                    f"input.{name} has {len(values)} values for {self.channels} channels"
                )
            if not all(math.isfinite(v) for v in values):
                raise SpecError(f"input.{name} is {values}, expected finite numbers")
        if any(v <= 0 for v in self.std):
            raise SpecError(f"input.std is {self.std}, expected positive numbers")


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
    ``logits``: either of them before its activation, which is appended when the model is loaded;
    the spec of a bundle never says it."""
    positive_label: str | None
    """For two labels, the one whose probability is compared with ``threshold``; else null."""
    threshold: float | None
    """For two labels: a score of at least this, within 0..1, is the positive label; else null."""
    threshold_choice: str
    """How the threshold was chosen, and on which data."""
    uncertain_band: tuple[float, float] | None = None
    """Scores in [low, high) are flagged ``uncertain``; null: no such band was calibrated."""

    def __post_init__(self) -> None:
        labels = self.labels
        if not 2 <= len(labels) <= MAX_LABELS or len(set(labels)) != len(labels):
            raise SpecError(f"labels are {labels[:5]}; expected 2..{MAX_LABELS} different ones")
        if self.activation == "sigmoid" and len(labels) != 2:
            raise SpecError(f"a sigmoid output tells 2 labels apart, the spec has {len(labels)}")
        if len(labels) > 2:
            if self.positive_label is not None or self.threshold is not None:
                raise SpecError(
                    "positive_label and threshold belong to two labels; set both to null"
                )
        elif self.positive_label not in labels:
            raise SpecError(f"positive_label is {self.positive_label!r}, expected one of {labels}")
        elif self.threshold is None or not 0 <= self.threshold <= 1:
            raise SpecError(f"threshold is {self.threshold}, expected a number within 0..1")
        band = self.uncertain_band
        if band is not None and not (len(labels) == 2 and 0 <= band[0] < band[1] <= 1):
            raise SpecError(
                f"uncertain_band is {band}, expected low < high within 0..1, two labels"
            )

    @property
    def outputs(self) -> int:
        """Width of the network's output; for logits that of a softmax."""
        return 1 if self.activation == "sigmoid" else len(self.labels)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one input."""
        return (self.input.height, self.input.width, self.input.channels)


def parse_spec(data: bytes, name: str = "spec.json") -> ModelSpec:
    """Read a spec from JSON.

    Raises:
        SpecError: it is malformed or contradicts itself.
    """
    return documents.parse(data, ModelSpec, name=name, error=SpecError)


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
