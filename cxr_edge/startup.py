"""Where the time of a start goes, measured in fresh processes: ``cxr-edge doctor --startup``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cxr_edge.errors import EngineError
from cxr_edge.phantom import draw_phantom
from cxr_edge.reporting import Reporter

FLOOR = "python -c 'import numpy, cv2, onnxruntime'"
"""What no runtime of this kind can do without: the others are compared with it."""

# A process counts what its parent had before it became itself, so the parent must be a small one.
_WATCH = """
import os, sys, time
silent = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
start = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=silent)
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), time.perf_counter() - start, usage.ru_maxrss)
"""


@dataclass(frozen=True, slots=True)
class Start:
    """One kind of process."""

    command: str
    """What it ran, in words."""
    ms: float
    """Median time from start to end, milliseconds."""
    peak_mb: float
    """Median of the most memory it had, 10**6 bytes."""


def measure_starts(
    bundle: Path | None, options: Sequence[str], starts: int, reporter: Reporter
) -> tuple[Start, ...]:
    """Time processes that each do a little more than the one before, all in turn.

    Args:
        bundle: folder of a bundle; None: the reference.
        options: more options for ``predict``, such as an engine.
        starts: how often each is started.
        reporter: shows progress.

    Raises:
        EngineError: a process failed.
    """
    given = ["-b", str(bundle)] if bundle else []
    with tempfile.TemporaryDirectory(prefix="cxr-edge-") as folder:
        image = Path(folder, "phantom.jpeg")
        image.write_bytes(_draw_jpeg())
        python = [sys.executable, "-c"]
        commands = {
            "python -c pass": [*python, "pass"],
            "python -c 'import numpy'": [*python, "import numpy"],
            "python -c 'import numpy, cv2'": [*python, "import numpy, cv2"],
            FLOOR: [*python, "import numpy, cv2, onnxruntime"],
            "cxr-edge --help": [sys.executable, "-m", "cxr_edge", "--help"],
            "Classifier.load()": [
                *python,
                "import sys; from cxr_edge import Classifier; Classifier.load(sys.argv[1] or None)",
                str(bundle or ""),
            ],
            f"cxr-edge {' '.join(['predict', *given, *options])} image.jpeg": [
                *(sys.executable, "-m", "cxr_edge", "predict", *given, *options, str(image)),
            ],
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        with reporter.bar("starting processes in turn") as advance:
            for turn in range(starts):
                for name, command in commands.items():
                    found[name].append(_run(name, command))
                advance(turn + 1, starts)
    medians = {name: np.median(runs, axis=0).tolist() for name, runs in found.items()}
    return tuple(Start(name, ms, peak_mb) for name, (ms, peak_mb) in medians.items())


def _draw_jpeg() -> bytes:
    """A drawn picture of the usual size of a radiograph."""
    image = draw_phantom(np.random.default_rng(0), height=876, width=1280)
    return cv2.imencode(".jpg", image)[1].tobytes()


def _run(name: str, command: list[str]) -> tuple[float, float]:
    """Milliseconds of a process, and the most memory it had."""
    # As in the runtime: onnxruntime would connect to a network at import.
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    watched = [sys.executable, "-I", "-S", "-c", _WATCH, *command]
    done = subprocess.run(  # noqa: S603 - this Python, on our own code
        watched, env=environment, capture_output=True, text=True, check=True
    )
    status, seconds, peak = done.stdout.split()
    if status != "0":
        raise EngineError(f"{name}: exited with {status}; run it to see why")
    unit = 1 if sys.platform == "darwin" else 1024
    return 1e3 * float(seconds), int(peak) * unit / 1e6
