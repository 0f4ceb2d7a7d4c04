"""Breakdown of the start-up time, measured in fresh processes: ``cxr-edge doctor --startup``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_edge.data.phantom import phantom_jpeg
from cxr_edge.device.process import run_python
from cxr_edge.device.temporary import temporary_folder
from cxr_edge.reporting import Reporter

FLOOR = "python -c 'import numpy, cv2, onnxruntime'"
"""The imports that no such runtime can avoid; other processes are compared with it."""


@dataclass(frozen=True, slots=True)
class ProcessStart:
    """Medians over several starts of one command."""

    command: str
    ms: float
    """Time from start to exit, milliseconds."""
    peak_mb: float
    """Peak memory, 10**6 bytes."""


def measure_starts(
    bundle: Path | None, options: Sequence[str], starts: int, reporter: Reporter
) -> tuple[ProcessStart, ...]:
    """Time processes that each do a little more than the one before, in turn.

    Args:
        bundle: folder of a bundle; None: the reference bundle.
        options: additional options of ``predict``, for example an engine.
        starts: number of starts of each command.
        reporter: shows progress.

    Raises:
        EngineError: a process failed.
    """
    bundle_option = ["-b", str(bundle)] if bundle else []
    with temporary_folder() as folder:
        image = folder / "phantom.jpeg"
        image.write_bytes(phantom_jpeg())
        load = "import sys; from cxr_edge import Classifier; Classifier.load(sys.argv[1] or None)"
        predict = ["predict", *bundle_option, *options]
        commands = {
            "python -c pass": ["-c", "pass"],
            "python -c 'import numpy'": ["-c", "import numpy"],
            "python -c 'import numpy, cv2'": ["-c", "import numpy, cv2"],
            FLOOR: ["-c", "import numpy, cv2, onnxruntime"],
            "cxr-edge --help": ["-m", "cxr_edge", "--help"],
            "Classifier.load()": ["-c", load, str(bundle or "")],
            f"cxr-edge {' '.join(predict)} image.jpeg": ["-m", "cxr_edge", *predict, str(image)],
        }
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        with reporter.bar("starting processes in turn") as advance:
            for turn in range(starts):
                for name, arguments in commands.items():
                    finished = run_python(name, arguments)
                    runs[name].append((finished.ms, finished.peak_mb))
                advance(turn + 1, starts)
    medians = {name: np.median(values, axis=0).tolist() for name, values in runs.items()}
    return tuple(ProcessStart(name, ms, peak_mb) for name, (ms, peak_mb) in medians.items())
