"""Where the time of a start goes, measured in fresh processes: ``cxr-edge doctor --startup``."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_edge.data.phantom import phantom_jpeg
from cxr_edge.device.process import run_python
from cxr_edge.reporting import Reporter

FLOOR = "python -c 'import numpy, cv2, onnxruntime'"
"""What no runtime of this kind can do without: the others are compared with it."""


@dataclass(frozen=True, slots=True)
class ProcessStart:
    """One kind of process."""

    command: str
    """What it ran, in words."""
    ms: float
    """Median time from start to end, milliseconds."""
    peak_mb: float
    """Median of the most memory it had, 10**6 bytes."""


def measure_starts(
    bundle: Path | None, options: Sequence[str], starts: int, reporter: Reporter
) -> tuple[ProcessStart, ...]:
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
        image.write_bytes(phantom_jpeg())
        load = "import sys; from cxr_edge import Classifier; Classifier.load(sys.argv[1] or None)"
        predict = ["predict", *given, *options]
        commands = {
            "python -c pass": ["-c", "pass"],
            "python -c 'import numpy'": ["-c", "import numpy"],
            "python -c 'import numpy, cv2'": ["-c", "import numpy, cv2"],
            FLOOR: ["-c", "import numpy, cv2, onnxruntime"],
            "cxr-edge --help": ["-m", "cxr_edge", "--help"],
            "Classifier.load()": ["-c", load, str(bundle or "")],
            f"cxr-edge {' '.join(predict)} image.jpeg": ["-m", "cxr_edge", *predict, str(image)],
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        with reporter.bar("starting processes in turn") as advance:
            for turn in range(starts):
                for name, arguments in commands.items():
                    done = run_python(name, arguments)
                    found[name].append((done.ms, done.peak_mb))
                advance(turn + 1, starts)
    medians = {name: np.median(runs, axis=0).tolist() for name, runs in found.items()}
    return tuple(ProcessStart(name, ms, peak_mb) for name, (ms, peak_mb) in medians.items())
