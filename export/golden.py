"""Golden inputs: drawn pictures with the original model's answers, to prove parity anywhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cxr_edge.bundle import Golden
from cxr_edge.decision import Scores, decide, positive_scores, probabilities
from cxr_edge.errors import ExportError
from cxr_edge.phantom import draw_phantom
from cxr_edge.preprocess import Pixels, fit
from cxr_edge.reporting import Advance
from cxr_edge.spec import ModelSpec

COUNT = 32
"""Golden inputs in a bundle."""
POOL = 256
"""Pictures drawn to choose them from."""
SOURCE = f"{COUNT} of {POOL} drawn phantoms, spread evenly over the original model's scores"
"""What the manifest says of them."""

# An input this close to the threshold would prove rounding, not a decision.
_MARGIN = 1e-3


def draw_golden(
    answer: Callable[[Pixels], Scores], spec: ModelSpec, advance: Advance | None = None
) -> Golden:
    """Draw phantoms and keep those that spread over the original model's scores.

    Args:
        answer: the original model.
        spec: size, channels and decision rule.
        advance: told after each picture.

    Returns:
        :data:`COUNT` inputs with the original's answers; the same ones every time.

    Raises:
        EngineError: the original model answers no probability.
        ExportError: all its scores are so close to the threshold that none would prove a decision.
    """
    drawn = []
    for number in range(POOL):
        random = np.random.default_rng([20260101, number])
        drawn.append(fit(_picture(random, spec), spec.input))
        if advance:
            advance(number + 1, POOL)
    pixels = np.concatenate(drawn)
    scores = answer(pixels)
    table = probabilities(scores, spec)
    ranked = positive_scores(table, spec)
    clear = np.ones(POOL, np.bool_)
    if spec.threshold is not None:
        clear = np.abs(ranked - spec.threshold) > _MARGIN
    if not clear.any():
        raise ExportError(
            f"the original model scores every drawn picture within {_MARGIN} of the threshold "
            f"{spec.threshold}: nothing would prove its decisions; was it trained?"
        )
    chosen = _spread(ranked, decide(table, spec), clear)
    return Golden(pixels[chosen], scores[chosen])


def _spread(
    ranked: npt.NDArray[np.float64], decisions: npt.NDArray[np.intp], clear: npt.NDArray[np.bool_]
) -> npt.NDArray[np.intp]:
    """Indices of inputs of every decision: spread over the scores, filled up over the ranks."""
    groups = [np.flatnonzero(clear & (decisions == each)) for each in np.unique(decisions)]
    groups = [group[np.argsort(ranked[group], kind="stable")] for group in groups if len(group)]
    chosen: list[int] = []
    for number, group in enumerate(sorted(groups, key=len)):  # small ones first: none is left out
        share = min(len(group), (COUNT - len(chosen)) // (len(groups) - number))
        if not share:  # more labels than inputs
            continue
        values = ranked[group]
        # Saturated scores crowd at 0 and 1: walk along the values first, then fill up by rank.
        targets = np.linspace(values[0], values[-1], share)
        by_value = np.abs(values[:, np.newaxis] - targets).argmin(axis=0)
        by_rank = range(0, len(group), max(1, len(group) // share))
        unique = list(dict.fromkeys([*by_value.tolist(), *by_rank]))
        rest = [place for place in range(len(group)) if place not in unique]
        chosen += [int(group[place]) for place in [*unique, *rest][:share]]
    return np.asarray(sorted(chosen), np.intp)


def _picture(random: np.random.Generator, spec: ModelSpec) -> npt.NDArray[np.uint8]:
    grey = draw_phantom(random, height=240, width=300)
    if spec.input.channels == 1:
        return grey
    tint = random.uniform(0.6, 1.0, 3)  # so that swapped channels would show
    return np.rint(grey[..., np.newaxis] * tint).astype(np.uint8)
