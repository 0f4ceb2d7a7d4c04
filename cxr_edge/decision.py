"""From a network's output to labels: the only definition of what the numbers mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import EngineError
from cxr_edge.spec import ModelSpec

Scores = npt.NDArray[np.float32]
"""(N, spec.outputs): the network's output, unchanged."""
Probabilities = npt.NDArray[np.float64]
"""(N, len(labels)): P(label), in the order of ``spec.labels``."""

RANGE_SLACK = 1e-5
"""By how much rounding may take a probability outside 0..1."""
SUM_SLACK = 1e-2
"""By how much the sum of a softmax may differ from 1; a quantized output is coarse."""


def probabilities(scores: Scores, spec: ModelSpec) -> Probabilities:
    """P(label) for every input.

    Args:
        scores: (N, spec.outputs), the network's output.
        spec: says whether that is a sigmoid, P(labels[1]), or a softmax.

    Returns:
        (N, len(labels)) within 0..1.

    Raises:
        EngineError: the shape is wrong, or a row is not finite, outside 0..1, or does not sum
            to 1.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 2 or values.shape[1] != spec.outputs:
        raise EngineError(f"the model's output is {values.shape}, expected (N, {spec.outputs})")
    lowest, highest = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    # Written so that NaN fails the comparison.
    if not (lowest >= -RANGE_SLACK and highest <= 1 + RANGE_SLACK):
        raise EngineError(
            "the model's output is no probability (NaN, or outside 0..1); its last layer needs a "
            "sigmoid or softmax"
        )
    if lowest < 0 or highest > 1:
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

    Of two labels it is the positive one where its probability is at least the threshold; of more,
    the most probable one.

    Args:
        table: (N, len(labels)) from :func:`probabilities`.
        spec: holds the threshold.

    Returns:
        (N,) indices.
    """
    if spec.positive_label is None or spec.threshold is None:  # both, or neither
        most_probable: npt.NDArray[np.intp] = table.argmax(axis=1)
        return most_probable
    positive = spec.labels.index(spec.positive_label)
    return np.where(positive_scores(table, spec) >= spec.threshold, positive, 1 - positive)


def decision_margins(table: Probabilities, spec: ModelSpec) -> npt.NDArray[np.float64]:
    """How much the scores must change before each decision does.

    For two labels, the distance from the threshold. For more, half the distance between the two
    largest probabilities, since one may fall while the other rises.

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
    """(N,) whether each score lies in the spec's uncertainty band; all False without a band."""
    if spec.uncertain_band is None:
        return np.zeros(len(table), np.bool_)
    low, high = spec.uncertain_band
    score = positive_scores(table, spec)
    return (score >= low) & (score < high)
