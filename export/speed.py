"""How fast the exported files are here, against the original network's unchanged float32 ONNX."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from cxr_edge.engines import Engine
from cxr_edge.export.report import Speed
from cxr_edge.preprocess import Batch
from cxr_edge.reporting import Reporter

_ROUNDS, _WARM_UP = 60, 10


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
    engines = [stock, *files]
    times = np.zeros((len(engines), _ROUNDS))
    with reporter.bar("timing the files in turn") as advance:
        for turn in range(_WARM_UP + _ROUNDS):
            for number, engine in enumerate(engines):
                start = time.perf_counter()
                engine.run(batch)
                times[number, turn - _WARM_UP] = time.perf_counter() - start
            advance(turn + 1, _WARM_UP + _ROUNDS)
    ratios = np.median(times / times[0], axis=1)
    return [
        Speed(float(np.median(times[i + 1]) * 1e3), float(ratios[i + 1])) for i in range(len(files))
    ]
