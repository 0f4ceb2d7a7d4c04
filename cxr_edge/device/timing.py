"""Interleaved timing: all steps take turns, so that drift of the machine affects them equally."""

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
"""Untimed rounds before the timed ones."""


def time_in_turn(
    steps: Sequence[Callable[[], object]],
    *,
    rounds: int,
    repeats: int,
    reporter: Reporter,
    failed: dict[int, CxrEdgeError] | None = None,
) -> list[Times]:
    """Time steps in rounds; each step gets one turn in a round.

    A turn starts with an untimed call, because threads of the step before may still be spinning
    and the caches hold its weights.

    Args:
        steps: functions to time.
        rounds: timed rounds.
        repeats: timed calls in a turn.
        reporter: shows progress.
        failed: receives the error of a step that fails, by its index. The step gets no more turns
            and its times are meaningless. None: the error is raised.

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
                    turn_ms = _take_turn(step, repeats)
                except CxrEdgeError as err:
                    if failed is None:
                        raise
                    failed[number] = err
                    continue
                if turn >= 0:
                    times[number][turn] = turn_ms
            advance(turn + WARM_UP + 1, rounds + WARM_UP)
    return times


def _take_turn(step: Callable[[], object], repeats: int) -> list[float]:
    step()
    times_ms = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times_ms.append(1e3 * (time.perf_counter() - start))
    return times_ms
