"""Timing several things against each other: all in turn, so that drift of the machine cancels."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import CxrEdgeError
from cxr_edge.reporting import Reporter

Times = npt.NDArray[np.float64]
"""(rounds, repeats) milliseconds of one step."""

WARM_UP = 5
"""Turns that each step gets before any counts."""


def time_in_turn(
    steps: Sequence[Callable[[], object]],
    *,
    rounds: int,
    repeats: int,
    reporter: Reporter,
    failed: dict[int, CxrEdgeError] | None = None,
) -> list[Times]:
    """Give every step its turn, again and again.

    A turn is one call that does not count, since threads of the step before may still be spinning
    and caches hold its weights, then the counted ones.

    Args:
        steps: what to call.
        rounds: turns of each step.
        repeats: counted calls of a turn.
        reporter: shows progress.
        failed: takes the error of a step that fails, by its position; it gets no more turns, and
            its times mean nothing. None: the error is raised.

    Returns:
        The times of every step, in the same order.
    """
    times = [np.zeros((rounds, repeats)) for _ in steps]
    with reporter.bar("timing in turn") as advance:
        for turn in range(-WARM_UP, rounds):
            for number, step in enumerate(steps):
                if failed is not None and number in failed:
                    continue
                try:
                    found = _turn(step, repeats)
                except CxrEdgeError as err:
                    if failed is None:
                        raise
                    failed[number] = err
                    continue
                if turn >= 0:
                    times[number][turn] = found
            advance(turn + WARM_UP + 1, rounds + WARM_UP)
    return times


def _turn(step: Callable[[], object], repeats: int) -> list[float]:
    step()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        found.append(1e3 * (time.perf_counter() - start))
    return found
