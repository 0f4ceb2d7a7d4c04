"""``spec.json`` as people write it: short, with presets; bundles hold every key and the numbers."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Any, Literal

from cxr_edge.document_checks import is_one_line, is_printable, wrong_text
from cxr_edge.errors import SpecError
from cxr_edge.handwritten import parse_handwritten
from cxr_edge.spec import ModelSpec

DEFAULT_THRESHOLD = 0.5
"""Of two labels, where nobody chose another."""

SCALING_KEYS = ("scale", "offset", "mean", "std", "channel_order")
"""Keys of an input spec that a preset stands for."""


@dataclass(frozen=True, slots=True)
class Preset:
    """The scaling of one family of trainings."""

    summary: str
    """For people: the range of the network's input."""
    scale: float = 1.0
    offset: float = 0.0
    mean: tuple[float, ...] = ()
    """Empty, or three channels in ``channel_order``."""
    std: tuple[float, ...] = ()
    """Empty, or three channels in ``channel_order``."""
    channel_order: Literal["rgb", "bgr"] = "rgb"

    @property
    def needs_colour(self) -> bool:
        """Whether its numbers are for three channels."""
        return bool(self.mean)

    def values(self) -> dict[str, Any]:
        """The keys of an input spec, with lists as JSON has them."""
        numbers = (self.scale, self.offset, [*self.mean], [*self.std], self.channel_order)
        return dict(zip(SCALING_KEYS, numbers, strict=True))


PRESETS = {
    "unit": Preset("0..1", scale=1 / 255),
    "caffe": Preset(
        "blue, green, red, ImageNet's mean subtracted",
        mean=(103.939, 116.779, 123.68),
        channel_order="bgr",
    ),
    "torch": Preset(
        "0..1, then ImageNet's mean and standard deviation",
        scale=1 / 255,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
    "tf": Preset("-1..1", scale=1 / 127.5, offset=-1.0),
    "none": Preset("0..255"),
}
"""``caffe``, ``torch`` and ``tf`` are the modes of ``keras.applications``' ``preprocess_input``."""


def parse(data: bytes, name: str) -> ModelSpec:
    """Read a spec; see :func:`cxr_edge.spec.parse_spec`."""
    text = data.removeprefix(codecs.BOM_UTF8)  # some editors begin every file with it
    return parse_handwritten(text, ModelSpec, name=name, error=SpecError, prepare=_complete)


def threshold_choice(is_binary: bool, is_given: bool) -> str:
    """How a threshold was chosen that nobody says more about."""
    if not is_binary:
        return "more than two labels: the largest score"
    return "given in the spec" if is_given else "the default"


def _complete(values: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """Expand the preset, and fill in what the number of labels implies."""
    labels = values.get("labels")
    is_binary = isinstance(labels, list) and len(labels) == 2
    implied = {
        "name": "unnamed",
        "activation": "sigmoid" if is_binary else "softmax",
        "positive_label": labels[1] if isinstance(labels, list) and is_binary else None,
        "threshold": DEFAULT_THRESHOLD if is_binary else None,
        "threshold_choice": threshold_choice(is_binary, "threshold" in values),
    }
    completed = {**implied, **values}
    for text in [completed["name"], *(labels if isinstance(labels, list) else ())]:
        if isinstance(text, str) and is_printable(text) and not is_one_line(text):
            problems.append(wrong_text(text))  # what cannot be printed is refused wherever it is
    if isinstance(completed.get("input"), dict):
        completed["input"] = _expand_preset(completed["input"], problems)
    return completed


def _expand_preset(values: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """Replace the key ``preset`` of an input spec by the keys that it stands for.

    Args:
        values: the keys of an input spec.
        problems: what is wrong is appended.
    """
    if "preset" not in values:
        return values
    others = {key: value for key, value in values.items() if key != "preset"}
    name = values["preset"]
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if preset is None:
        problems.append(f"input.preset is {name!r:.40}, expected one of {', '.join(PRESETS)}")
        return others
    if both := [key for key in SCALING_KEYS if key in others]:
        problems.append(f"input has preset and {', '.join(both)}, which the preset stands for")
        return others
    if preset.needs_colour and others.setdefault("channels", 3) != 3:
        problems.append(f"input.preset {name} is for 3 channels, not {others['channels']!r:.20}")
        return others
    return {**others, **preset.values()}
