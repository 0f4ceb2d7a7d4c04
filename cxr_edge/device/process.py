"""Processes of this Python, watched: how long one ran, and the most memory that it had."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from cxr_edge.errors import EngineError

# A process counts as its own what its parent had before it became itself, so the parent must be a
# small one.
_WATCH = """
import os, sys, time
start = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print()
print(os.waitstatus_to_exitcode(status), time.perf_counter() - start, usage.ru_maxrss)
"""


@dataclass(frozen=True, slots=True)
class Watched:
    """A process that ended well."""

    output: str
    """What it wrote to stdout."""
    ms: float
    """Time from start to end, milliseconds."""
    peak_mb: float
    """Most memory that it had, 10**6 bytes."""


def run_python(name: str, arguments: Sequence[str], **environment: str) -> Watched:
    """Run this Python in a process of its own and wait for it.

    Args:
        name: what messages call the process.
        arguments: what follows ``python``.
        environment: more variables.

    Raises:
        EngineError: it failed; the message has the last line that it wrote to stderr.
    """
    # As in the runtime: onnxruntime would connect to a network at import.
    variables = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", **environment}
    watched = [sys.executable, "-I", "-S", "-c", _WATCH, sys.executable, *arguments]
    done = subprocess.run(  # noqa: S603 - this Python, on our own code
        watched, env=variables, capture_output=True, text=True, check=True
    )
    *output, last = done.stdout.splitlines()
    status, seconds, peak = last.split()
    if status != "0":
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        how = f"was ended by signal {status[1:]}" if status[0] == "-" else f"exited with {status}"
        raise EngineError(f"{name} {how}: {said}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Watched("\n".join(output[:-1]), 1e3 * float(seconds), int(peak) * unit / 1e6)
