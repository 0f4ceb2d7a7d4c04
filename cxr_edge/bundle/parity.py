"""Parity: does an exported model make the same decisions as the original?

Two rules, for two kinds of inputs:

- Golden inputs lie away from the threshold. No decision may change on them.
- Inputs near a change of decision lie on either side of it, in pairs. A quantized file may move a
  score by more than their distance from it, so a changed decision there says nothing. What counts
  is how scores change from one side to the other, summed over the pairs at about the same distance
  and divided by the change of the original's: 1 where nothing was lost, 0 where the file is
  constant there, -1 where its scores are mirrored. Single pairs scatter with the rounding of
  integers (standard deviation .45 at a distance of .012, .12 at .035, on the reference's int8
  file), sums of them much less.

For both, no score may move by more than the tolerance, which for float32 files leaves nothing over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_edge.bundle.proofs import Parity
from cxr_edge.decision import Probabilities, Scores, decide, decision_margins, probabilities
from cxr_edge.spec import ModelSpec

CLOSE = 0.02
"""Distance from a change of decision, 0..1, up to which a pair counts as close."""
LEAST_SLOPE_CLOSE, LEAST_SLOPE = 0.2, 0.5
"""Least change of the scores from one side of a decision to the other, as a share of the
original's: over close pairs, and over the others."""


@dataclass(frozen=True, slots=True)
class NearParity:
    """An exported model compared with the original on inputs near a change of decision."""

    inputs: int
    """How many inputs were compared."""
    max_abs_delta: float
    """Largest |difference| of any output, 0..1."""
    slope_close: float | None
    """Change of the scores across the decision over the original's, of pairs within
    :data:`CLOSE`; null: there are none."""
    slope: float | None
    """The same of pairs further apart."""

    def excess(self, tolerance: float) -> str:
        """What is too much, in words; empty: nothing is.

        Args:
            tolerance: largest |difference| of an output, 0..1.
        """
        excesses = []
        if not self.max_abs_delta <= tolerance:
            excesses.append(f"max |Δscore| {self.max_abs_delta:.2g}, allowed {tolerance:g}")
        for slope, least in ((self.slope_close, LEAST_SLOPE_CLOSE), (self.slope, LEAST_SLOPE)):
            if slope is not None and not slope >= least:
                excesses.append(
                    f"across the decision its scores change by {slope:.2f} of the original's "
                    f"change, allowed from {least:g}"
                )
        return "; ".join(excesses)


def compare_near(original: Scores, exported: Scores, spec: ModelSpec) -> NearParity:
    """Compare the outputs of two models near a change of decision.

    Args:
        original: (2N, spec.outputs), the original's outputs for N pairs of inputs.
        exported: (2N, spec.outputs), the exported model's.
        spec: the decision rule.

    Raises:
        EngineError: an output is no probability (NaN included).
    """
    before, after = probabilities(original, spec), probabilities(exported, spec)
    steps, exported_steps = _steps(before, before, spec), _steps(before, after, spec)
    close = decision_margins(before, spec).reshape(-1, 2).max(axis=1) <= CLOSE
    slopes = [
        float(exported_steps[which].sum() / steps[which].sum()) if which.any() else None
        for which in (close, ~close)
    ]
    delta = np.abs(np.asarray(exported, np.float64) - np.asarray(original, np.float64))
    return NearParity(len(original), float(delta.max()), slopes[0], slopes[1])


def are_pairs(original: Scores, spec: ModelSpec) -> bool:
    """Whether each two rows in turn are scores of different decisions.

    Raises:
        EngineError: a score is no probability.
    """
    decisions = decide(probabilities(original, spec), spec).reshape(-1, 2)
    return bool(np.all(decisions[:, 0] != decisions[:, 1]))


def _steps(before: Probabilities, table: Probabilities, spec: ModelSpec) -> npt.NDArray[np.float64]:
    """(N,) by how much each pair's second label gains on its first one, from row to row."""
    first, second = decide(before, spec).reshape(-1, 2).T
    pairs = np.arange(len(first))
    rows = table.reshape(len(first), 2, -1)
    gains = [rows[pairs, side, second] - rows[pairs, side, first] for side in (0, 1)]
    return np.asarray(gains[1] - gains[0])


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
