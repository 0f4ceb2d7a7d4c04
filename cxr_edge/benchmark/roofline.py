"""The best one thread of this machine can do, which every latency is related to."""

from __future__ import annotations

from cxr_edge.benchmark.report import Roofline
from cxr_edge.device.process import run_python

# The best of several tries: a roofline is what is possible, not what is usual.
_PROGRAM = """
import json, time
import numpy as np
def best(work, tries):
    times = []
    for _ in range(tries):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
side = 768
a, b = (np.random.default_rng(i).random((side, side), np.float32) for i in (0, 1))
out = np.empty_like(a)
product = best(lambda: np.matmul(a, b, out=out), 12)
source = np.ones(16_000_000)
target = np.empty_like(source)
copy = best(lambda: np.copyto(target, source), 5)
print(json.dumps([2 * side**3 / product / 1e9, 2 * source.nbytes / copy / 1e9]))
"""
_ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
_INT8_SPEED_UP = 4


def measure_roofline(multiply_adds: int | None) -> Roofline:
    """Time a float32 matrix product and a memory copy, in a process of its own.

    Args:
        multiply_adds: multiply-adds of one inference; None: unknown.

    Raises:
        EngineError: the process failed.
    """
    process = run_python("the roofline measurement", ["-c", _PROGRAM], **_ONE_THREAD)
    gflops, copy_gb_s = process.numbers(2)
    float32_ms = None if multiply_adds is None else 2 * multiply_adds / gflops / 1e6
    int8_ms = None if float32_ms is None else float32_ms / _INT8_SPEED_UP
    return Roofline(multiply_adds, gflops, copy_gb_s, float32_ms, int8_ms)
