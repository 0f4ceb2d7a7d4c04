"""Golden inputs: drawn pictures with the original model's scores, to check parity anywhere."""

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
"""Pictures drawn, from which golden inputs are chosen."""

ROUNDING = 1e-3
"""Distance from a change of decision, 0..1, below which an input tests rounding, no decision."""


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
        first: number of the first picture; a number always gives the same picture.
        count: pictures to draw.
        advance: called after each picture.
        striped: whether every second one has level stripes of random strength and width. A
            network may give all plain phantoms one label; stripes look like ribs and change it.

    Returns:
        (count, height, width, channels) uint8.
    """
    drawn = []
    for number in range(count):
        drawn.append(draw_picture(spec, first + number, striped=striped and number % 2 == 1))
        if advance:
            advance(number + 1, count)
    return np.concatenate(drawn)


def draw_picture(spec: ModelSpec, number: int, *, striped: bool) -> Pixels:
    """Draw one phantom at the network's size, (1, height, width, channels) uint8."""
    random = np.random.default_rng([20260101, number])
    picture = _picture(random, spec)
    if striped:
        picture = _with_stripes(picture, random)
    return resize_to_input(picture, spec.input)


def choose_golden(pool: GoldenSet, spec: ModelSpec, margin: float) -> tuple[GoldenSet, float]:
    """Choose inputs that spread over the original model's scores.

    Args:
        pool: drawn inputs with the original's scores.
        spec: the decision rule.
        margin: how far scores should be from a change of decision, 0..1: the change that a
            quantized model is allowed. If no input of a decision is that far, nearer ones are used.

    Returns:
        At most :data:`COUNT` inputs with the original's scores, and the smallest margin of them.

    Raises:
        EngineError: a score of the original model is no probability.
        ExportError: all its scores are too close to the threshold to test a decision.
    """
    table = probabilities(pool.scores, spec)
    decisions, margins = decide(table, spec), decision_margins(table, spec)
    clear = margins > ROUNDING
    if not clear.any():
        nearly = (
            "gives two labels nearly the same probability for every golden input"
            if spec.threshold is None
            else f"scores every golden input within {ROUNDING} of the threshold {spec.threshold}"
        )
        raise ExportError(f"the original model {nearly}: none tests a decision; train it first")
    for decision in np.unique(decisions):
        far = (decisions == decision) & (margins > margin)
        if far.any():
            clear &= (decisions != decision) | far
    chosen = _spread(positive_scores(table, spec), decisions, clear)
    return GoldenSet(pool.pixels[chosen], pool.scores[chosen]), float(margins[chosen].min())


def describe_golden(pool: int) -> str:
    """What the manifest says of golden inputs that were chosen from ``pool`` drawn pictures."""
    return f"{COUNT} of {pool} drawn phantoms, half of them striped, spread over the model's scores"


def _spread(
    ranked: npt.NDArray[np.float64], decisions: npt.NDArray[np.intp], clear: npt.NDArray[np.bool_]
) -> npt.NDArray[np.intp]:
    """Indices of at most COUNT clear inputs, as evenly over decisions and scores as they allow."""
    labels = np.unique(decisions)
    groups = [np.flatnonzero(clear & (decisions == label)) for label in labels]
    groups = [group[np.argsort(ranked[group], kind="stable")] for group in groups if len(group)]
    chosen: list[int] = []
    for number, group in enumerate(
        sorted(groups, key=len)
    ):  # small groups first, so that none is left out
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
    tint = random.uniform(0.6, 1.0, 3)  # makes swapped channels visible
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
