"""A model's answers to labelled images, and what of them is compared with the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_edge.data.folders import Labels
from cxr_edge.decision import Probabilities, Scores, decide, positive_scores, probabilities
from cxr_edge.metrics import Flags, Floats
from cxr_edge.spec import ModelSpec


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A model's answers to labelled images."""

    table: Probabilities
    """(N, len(labels)) P(label)."""
    decisions: npt.NDArray[np.intp]
    """(N,) decided labels."""
    labels: Labels
    """(N,) true labels."""

    @classmethod
    def from_scores(cls, scores: Scores, labels: Labels, spec: ModelSpec) -> Scored:
        """Read a network's output under its spec; raises EngineError for what is no probability."""
        table = probabilities(scores, spec)
        return cls(table, decide(table, spec), labels)


def binary(scored: Scored, spec: ModelSpec) -> tuple[Flags, Floats]:
    """Whether each image has the positive label, and its P(positive), for two labels."""
    assert spec.positive_label is not None  # noqa: S101 - the type checker cannot know
    positive = spec.labels.index(spec.positive_label)
    return scored.labels == positive, positive_scores(scored.table, spec)


def confidence(scored: Scored, spec: ModelSpec) -> tuple[Flags, Floats]:
    """What calibration compares: for two labels :func:`binary`, else the decision and its P."""
    if spec.positive_label is not None:
        return binary(scored, spec)
    return scored.decisions == scored.labels, positive_scores(scored.table, spec)
