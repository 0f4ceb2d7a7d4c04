"""From a network's output to labels: the one place that knows what the numbers mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import EngineError
from cxr_edge.spec import ModelSpec

Scores = npt.NDArray[np.float32]
"""(N, spec.outputs): what the network answers, unchanged."""
Probabilities = npt.NDArray[np.float64]
"""(N, len(labels)): P(label), in the order of ``spec.labels``."""

RANGE_SLACK = 1e-5
"""How far rounding may carry a probability outside 0..1."""
SUM_SLACK = 1e-2
"""How far the probabilities of a softmax may sum away from 1 (a quantized output is coarse)."""


def probabilities(scores: Scores, spec: ModelSpec) -> Probabilities:
    """P(label) for every input.

    Args:
        scores: (N, spec.outputs), as the network answers.
        spec: says whether that is a sigmoid, P(labels[1]), or a softmax.

    Returns:
        (N, len(labels)) within 0..1.

    Raises:
        EngineError: an answer is not finite, outside 0..1, or does not sum to 1.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 2 or values.shape[1] != spec.outputs:
        raise EngineError(f"the model answered {values.shape}, expected (N, {spec.outputs})")
    # Written so that NaN fails the comparison.
    if not np.all((values >= -RANGE_SLACK) & (values <= 1 + RANGE_SLACK)):
        raise EngineError(
            "the model answered what is no probability (NaN, or outside 0..1); its last layer "
            "needs a sigmoid or softmax"
        )
    values = values.clip(0.0, 1.0)
    if spec.activation == "sigmoid":
        return np.concatenate([1.0 - values, values], axis=1)
    if np.any(np.abs(values.sum(axis=1) - 1.0) > SUM_SLACK):
        raise EngineError("the model's probabilities do not sum to 1; is its activation softmax?")
    return values


def positive_scores(table: Probabilities, spec: ModelSpec) -> npt.NDArray[np.float64]:
    """The reported score of every input: P(positive label), or the largest P for more labels.

    Args:
        table: (N, len(labels)) from :func:`probabilities`.
        spec: names the positive label.

    Returns:
        (N,) within 0..1.
    """
    if spec.positive_label is None:
        largest: npt.NDArray[np.float64] = table.max(axis=1)
        return largest
    scores: npt.NDArray[np.float64] = table[:, spec.labels.index(spec.positive_label)]
    return scores


def decide(table: Probabilities, spec: ModelSpec) -> npt.NDArray[np.intp]:
    """The decision for every input, as an index into ``spec.labels``.

    For two labels a positive score of at least the threshold is the positive label; for more it
    is the label with the largest probability.

    Args:
        table: (N, len(labels)) from :func:`probabilities`.
        spec: holds the threshold.

    Returns:
        (N,) indices.
    """
    if spec.positive_label is None or spec.threshold is None:  # both, or neither
        best: npt.NDArray[np.intp] = table.argmax(axis=1)
        return best
    positive = spec.labels.index(spec.positive_label)
    return np.where(positive_scores(table, spec) >= spec.threshold, positive, 1 - positive)


def decision_margins(table: Probabilities, spec: ModelSpec) -> npt.NDArray[np.float64]:
    """How far each decision is from changing, as a difference of scores.

    For two labels the distance from the threshold; for more, half the lead of the largest
    probability, since one may fall while another rises.

    Args:
        table: (N, len(labels)) from :func:`probabilities`.
        spec: holds the threshold.

    Returns:
        (N,) within 0..1.
    """
    if spec.threshold is not None:
        return np.asarray(np.abs(positive_scores(table, spec) - spec.threshold))
    ordered = np.sort(table, axis=1)
    return np.asarray((ordered[:, -1] - ordered[:, -2]) / 2)


def uncertain(table: Probabilities, spec: ModelSpec) -> npt.NDArray[np.bool_]:
    """Whether each score lies in the spec's band of uncertainty; all False without a band."""
    if spec.uncertain_band is None:
        return np.zeros(len(table), np.bool_)
    low, high = spec.uncertain_band
    score = positive_scores(table, spec)
    return (score >= low) & (score < high)
