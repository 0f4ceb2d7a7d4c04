"""Runs this Python in a child process and measures its time and peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from cxr_edge.errors import EngineError

# ru_maxrss survives exec, so the child is spawned by a small process instead of by this one.
_WATCH = """
import os, sys, time
start = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print()
print(os.waitstatus_to_exitcode(status), start, time.perf_counter() - start, usage.ru_maxrss)
"""


@dataclass(frozen=True, slots=True)
class FinishedProcess:
    """A process that exited with 0."""

    name: str
    """Its name in error messages."""
    output: str
    """Its standard output."""
    started_s: float
    """When it was started, on the clock ``time.perf_counter``, which processes share."""
    ms: float
    """Time from start to exit, milliseconds."""
    peak_mb: float
    """Peak memory, 10**6 bytes."""

    def numbers(self, count: int) -> list[float]:
        """The JSON list of numbers in the last line of its output.

        Raises:
            EngineError: the last line is not a list of ``count`` numbers.
        """
        last = self.output.rpartition("\n")[2]
        try:
            numbers = [float(number) for number in json.loads(last)]
        except (ValueError, TypeError):
            numbers = []
        if len(numbers) != count:
            raise EngineError(f"{self.name} printed {last!r:.100}, expected {count} numbers")
        return numbers


def run_python(name: str, arguments: Sequence[str], **environment: str) -> FinishedProcess:
    """Run this Python in a child process and wait for it.

    Args:
        name: what error messages call the process.
        arguments: command-line arguments of ``python``.
        environment: additional environment variables.

    Raises:
        EngineError: it failed; the message ends with the last line of its standard error.
    """
    # As in the runtime: without this, onnxruntime opens network connections at import.
    variables = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", **environment}
    watched = [sys.executable, "-I", "-S", "-c", _WATCH, sys.executable, *arguments]
    completed = subprocess.run(  # noqa: S603 - this Python, on our own code
        watched, env=variables, capture_output=True, text=True, check=False
    )
    error = (completed.stderr.strip().splitlines() or ["it printed no error"])[-1]
    if completed.returncode != 0:
        raise EngineError(f"{name} could not be started: {error}")
    output, _, last = completed.stdout.rstrip("\n").rpartition("\n")
    status, started_s, seconds, peak = last.split()
    if status != "0":
        signal = f"was killed by signal {status[1:]}"
        raise EngineError(
            f"{name} {signal if status[0] == '-' else f'exited with {status}'}: {error}"
        )
    unit = 1 if sys.platform == "darwin" else 1024
    return FinishedProcess(
        name,
        output.rstrip("\n"),
        float(started_s),
        1e3 * float(seconds),
        int(peak) * unit / 1e6,
    )
