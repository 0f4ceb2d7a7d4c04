"""What one thread of this machine can do at best, so that a latency can be judged alone."""

from __future__ import annotations

import json

from cxr_edge.benchmark.report import Roofline
from cxr_edge.device.process import run_python

# Of several tries the best: a limit is what is possible, not what is usual.
_MEASURE = """
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
    name: "1" for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
} | {"VECLIB_MAXIMUM_THREADS": "1"}
_INT8_FASTER = 4


def measure_limits(multiply_adds: int | None) -> Roofline:
    """Multiply and copy as fast as this machine can, in a process of its own.

    Args:
        multiply_adds: of one inference; None: not known.

    Raises:
        EngineError: the process failed.
    """
    done = run_python("measuring the machine's limits", ["-c", _MEASURE], **_ONE_THREAD)
    gflops, copied = json.loads(done.output)
    float32 = None if multiply_adds is None else 2 * multiply_adds / gflops / 1e6
    int8 = None if float32 is None else float32 / _INT8_FASTER
    return Roofline(multiply_adds, gflops, copied, float32, int8)
