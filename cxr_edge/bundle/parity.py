"""Parity: does an exported model make the same decisions as the original?"""

from __future__ import annotations

import numpy as np

from cxr_edge.bundle.manifest import Parity
from cxr_edge.decision import Scores, decide, probabilities
from cxr_edge.spec import ModelSpec


def compare(original: Scores, exported: Scores, spec: ModelSpec) -> Parity:
    """Compare the outputs of two models for the same inputs.

    Args:
        original: (N, spec.outputs), the original Keras model's outputs.
        exported: (N, spec.outputs), the exported model's outputs.
        spec: the decision rule.

    Returns:
        Differences of the outputs and changed decisions.

    Raises:
        EngineError: an output is no probability (NaN included).
    """
    before, after = probabilities(original, spec), probabilities(exported, spec)
    delta = np.abs(np.asarray(exported, np.float64) - np.asarray(original, np.float64))
    return Parity(
        inputs=len(original),
        max_abs_delta=float(delta.max()),
        mean_abs_delta=float(delta.mean()),
        p99_abs_delta=float(np.quantile(delta, 0.99)),
        flips=int(np.count_nonzero(decide(before, spec) != decide(after, spec))),
    )


def holds(parity: Parity, tolerance: float) -> bool:
    """Whether no decision changed and no output moved by more than ``tolerance``."""
    return parity.flips == 0 and parity.max_abs_delta <= tolerance
