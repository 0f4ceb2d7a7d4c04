"""Golden inputs: drawn pictures with the original model's answers, to prove parity anywhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.decision import decide, decision_margins, positive_scores, probabilities
from cxr_edge.errors import ExportError
from cxr_edge.preprocess import Pixels, resize_to_input
from cxr_edge.reporting import Advance
from cxr_edge.spec import ModelSpec

COUNT = 32
"""Golden inputs in a bundle."""
POOL = 256
"""Pictures drawn to choose them from."""
SOURCE = f"{COUNT} of {POOL} drawn phantoms, half of them striped, spread over the model's scores"
"""What the manifest says of them."""

# An input this close to the threshold would prove rounding, not a decision.
_ROUNDING = 1e-3


def draw_pictures(
    spec: ModelSpec,
    first: int,
    count: int,
    advance: Advance | None = None,
    *,
    striped: bool = False,
) -> Pixels:
    """Draw phantoms at the network's size.

    Args:
        spec: size and channels.
        first: number of the first picture; each number is always the same picture.
        count: how many.
        advance: told after each picture.
        striped: whether every second one has level stripes of random strength and width. A
            network may give all plain phantoms one label; what looks like ribs brings others about.

    Returns:
        (count, height, width, channels) uint8.
    """
    drawn = []
    for number in range(count):
        random = np.random.default_rng([20260101, first + number])
        picture = _picture(random, spec)
        if striped and number % 2:
            picture = _with_stripes(picture, random)
        drawn.append(resize_to_input(picture, spec.input))
        if advance:
            advance(number + 1, count)
    return np.concatenate(drawn)


def choose_golden(pool: GoldenSet, spec: ModelSpec, margin: float) -> tuple[GoldenSet, float]:
    """Keep those of many inputs that spread over the original model's scores.

    Args:
        pool: drawn inputs with the original's answers.
        spec: the decision rule.
        margin: how far decisions should be from changing: what a quantized file may differ.
            Where no input of a decision is that far, nearer ones stand for it.

    Returns:
        At most :data:`COUNT` inputs with the original's answers, and the margin of the nearest.

    Raises:
        EngineError: the original model answers no probability.
        ExportError: all its scores are so close to the threshold that none would prove a decision.
    """
    table = probabilities(pool.scores, spec)
    decisions, margins = decide(table, spec), decision_margins(table, spec)
    clear = margins > _ROUNDING
    if not clear.any():
        raise ExportError(
            f"the original model scores every drawn picture within {_ROUNDING} of the threshold "
            f"{spec.threshold}: nothing would prove its decisions; was it trained?"
        )
    for decision in np.unique(decisions):
        far = (decisions == decision) & (margins > margin)
        if far.any():
            clear &= (decisions != decision) | far
    chosen = _spread(positive_scores(table, spec), decisions, clear)
    return GoldenSet(pool.pixels[chosen], pool.scores[chosen]), float(margins[chosen].min())


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


def _with_stripes(
    picture: npt.NDArray[np.uint8], random: np.random.Generator
) -> npt.NDArray[np.uint8]:
    rows, columns = np.indices(picture.shape[:2])
    turn = np.pi / 2 + random.uniform(-0.3, 0.3)
    period = random.uniform(0.06, 0.2) * picture.shape[1]
    waves = np.sin((columns * np.cos(turn) + rows * np.sin(turn)) * 2 * np.pi / period)
    waves = waves.reshape(*waves.shape, *(1,) * (picture.ndim - 2))
    strength = random.uniform(0.2, 0.8)
    striped = (1 - strength) * picture + strength * 127.5 * (1 + waves)
    return np.asarray(np.rint(striped), np.uint8)
