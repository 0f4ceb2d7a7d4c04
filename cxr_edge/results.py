"""What a classification gives: a prediction, or a failure that says why there is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's answer to one image."""

    source: str | None
    """The file as it was named; None for an image given as bytes or array."""
    label: str
    """The decision."""
    score: float
    """P(positive label) for two labels, P(label) for more; 0..1."""
    scores: dict[str, float]
    """P(label) for every label, in the order of the spec."""
    threshold: float | None
    """A score of at least this is the positive label; None for more than two labels."""
    uncertain: bool
    """Whether the score lies in the model's band of uncertainty; False where it has none."""
    out_of_domain: bool | None
    """Whether the image is none of those the model is for; None: the model cannot tell."""
    engine: str
    """The engine that ran."""
    artifact: str
    """The model file that it ran."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image has no prediction."""

    source: str | None
    """The file as it was named."""
    error: str
    """Name of the error's type, for example ``ImageError``."""
    message: str
    """One line: what was found, what was expected, what to do."""
