"""How fast the exported files are here, against the original network's unchanged float32 ONNX."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from cxr_edge.engines import Engine
from cxr_edge.export.report import Speed
from cxr_edge.preprocess import Batch
from cxr_edge.reporting import Reporter
from cxr_edge.timing import time_in_turn

_ROUNDS, _REPEATS = 30, 2


def measure_speed(
    stock: Engine, files: Sequence[Engine], batch: Batch, reporter: Reporter
) -> list[Speed]:
    """Time every file, all in turn so that drift cancels.

    Args:
        stock: the original network as a converter leaves it.
        files: each exported file on its preferred engine, one thread.
        batch: (1, height, width, channels) float32.
        reporter: shows progress.

    Returns:
        One figure a file, in the same order.
    """
    steps = [functools.partial(engine.run, batch) for engine in (stock, *files)]
    first, *times = time_in_turn(steps, rounds=_ROUNDS, repeats=_REPEATS, reporter=reporter)
    return [Speed(float(np.median(each)), float(np.median(each / first))) for each in times]
