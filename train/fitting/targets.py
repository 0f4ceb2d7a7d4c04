"""What a network learns to output for an image: its label, or a teacher's scores of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cxr_edge.data.folders import Labels
from cxr_edge.decision import Scores
from cxr_edge.preprocess import Batch
from cxr_edge.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Teacher:
    """A trained network whose scores another one learns."""

    name: str
    """What messages call it."""
    sha256: str
    """Of its ``.keras`` file."""
    spec: ModelSpec
    """Input, labels and activation; the student has the same input and labels."""
    scores: Callable[[Batch], Scores]
    """From (N, height, width, channels) float32 to (N, spec.outputs) float32."""


def label_targets(labels: Labels, spec: ModelSpec) -> Scores:
    """The scores of a network that is always right.

    Args:
        labels: (N,) indices into the spec's labels.
        spec: one sigmoid output, or a softmax.

    Returns:
        (N, spec.outputs) float32, 0 or 1.
    """
    if spec.outputs == 1:
        return labels.astype(np.float32)[:, np.newaxis]
    return np.eye(spec.outputs, dtype=np.float32)[labels]


def soften(scores: Scores, temperature: float) -> Scores:
    """Scores whose logits are divided by a temperature.

    Args:
        scores: (N, 1) of a sigmoid, or (N, labels) that sum to 1.
        temperature: above 0; 1 changes nothing.

    Returns:
        The same shape, float32.
    """
    table = np.asarray(scores, np.float64)
    if table.shape[1] == 1:
        table = np.hstack([1 - table, table])
    powers = table ** (1 / temperature)
    softened = powers / powers.sum(axis=1, keepdims=True)
    return np.asarray(softened[:, 1:] if scores.shape[1] == 1 else softened, np.float32)


def student_scores(scores: Scores, teacher: ModelSpec, student: ModelSpec) -> Scores:
    """A teacher's scores in the form of its student's: a softmax of two labels is one sigmoid.

    Args:
        scores: (N, teacher.outputs).
        teacher: the teacher's spec.
        student: the student's spec, of the same labels.

    Returns:
        (N, student.outputs).
    """
    return scores[:, 1:] if (teacher.outputs, student.outputs) == (2, 1) else scores
