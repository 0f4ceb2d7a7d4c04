"""Breakdown of the start-up time, measured in fresh processes: ``cxr-edge doctor --startup``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_edge.bundle.reader import Bundle
from cxr_edge.data.phantom import phantom_jpeg
from cxr_edge.device.process import run_python
from cxr_edge.device.profile import find_profile
from cxr_edge.device.temporary import temporary_folder
from cxr_edge.engines import ENGINES, installed_engines
from cxr_edge.reporting import Reporter

FLOOR = "python -c 'import numpy, cv2, onnxruntime'"
"""The imports of a plain script that does the same; other processes are compared with it."""

# What the script "cxr-edge" does.
_RUN = "from cxr_edge.__main__ import main; main()"

# A prediction in parts; prints the time and the peak memory at the end of each.
_IN_PARTS = """
import gc, resource, sys, time
gc.set_threshold(50_000)  # as the command does, and gc.freeze() below
marks = [time.perf_counter()]; peaks = []
def mark():
    marks.append(time.perf_counter())
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
bundle, artifact, engine, module, image = sys.argv[1:]
from cxr_edge.device.threads import one_thread
with one_thread():
    import numpy
mark()
import cxr_edge.cli
import cxr_edge.cli.predict.command
import cxr_edge.classifier
mark()
import importlib
importlib.import_module(module)
mark()
classifier = cxr_edge.classifier.Classifier.load(bundle or None, artifact=artifact, engine=engine)
mark()
classifier.predict(image)
mark()
unit = 1 if sys.platform == "darwin" else 1024
ms = [1e3 * (after - before) for before, after in zip(marks, marks[1:])]
print([*ms, *(peak * unit / 1e6 for peak in peaks)])
gc.freeze()
"""


@dataclass(frozen=True, slots=True)
class ProcessStart:
    """Medians over several starts of one command."""

    command: str
    ms: float
    """Time from start to exit, milliseconds."""
    peak_mb: float
    """Peak memory, 10**6 bytes."""


@dataclass(frozen=True, slots=True)
class StartPart:
    """One part of a prediction's start, medians over several starts."""

    part: str
    ms: float
    """Milliseconds."""
    peak_mb: float
    """Peak memory until its end, 10**6 bytes."""


@dataclass(frozen=True, slots=True)
class Startup:
    """What starting takes."""

    processes: tuple[ProcessStart, ...]
    """Commands, each doing a little more than the one before; the last ones predict."""
    parts: tuple[StartPart, ...]
    """A prediction in order. Its sum is less than the command's time, which also reads options and
    prints."""


def measure_startup(
    folder: Path | None, engine: str | None, starts: int, reporter: Reporter
) -> Startup:
    """Time starts in fresh processes, in turn.

    Args:
        folder: of a bundle; None: the reference bundle.
        engine: the engine to predict on; None: each that is installed and that the bundle was
            proven on, the preferred one first.
        starts: number of starts of each command.
        reporter: shows progress.

    Raises:
        BundleError, UsageError, MissingExtraError, EngineError: the bundle has nothing that runs
            here, or a process failed.
    """
    bundle = Bundle.open(folder)
    tuned = find_profile(bundle.manifest) if engine is None else None
    if tuned:  # what a prediction runs without being told
        record, chosen = bundle.artifact(tuned.profile.artifact), tuned.profile.engine
    else:
        record, chosen = bundle.choose(None, engine)
    engines = [None, *_others(bundle, chosen)] if engine is None else [engine]
    with temporary_folder() as temporary:
        image = temporary / "phantom.jpeg"
        image.write_bytes(phantom_jpeg())
        commands = _commands(folder, engines, image)
        module = ENGINES[chosen].module
        in_parts = ["-c", _IN_PARTS, str(folder or ""), record.name, chosen, module, str(image)]
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        parts: list[list[float]] = []
        imports = ("import numpy", "our modules", f"import {ENGINES[chosen].package}")
        names = (*imports, "load the model", "predict")
        with reporter.bar("starting processes in turn") as advance:
            for turn in range(starts):
                for name, arguments in commands.items():
                    finished = run_python(name, arguments)
                    runs[name].append((finished.ms, finished.peak_mb))
                finished = run_python("a prediction in parts", in_parts)
                numbers = finished.numbers(2 * len(names))
                parts.append([*numbers, finished.ms, finished.peak_mb])
                advance(turn + 1, starts)
    medians = {name: np.median(values, axis=0).tolist() for name, values in runs.items()}
    processes = tuple(ProcessStart(name, ms, peak) for name, (ms, peak) in medians.items())
    return Startup(processes, _parts(names, parts, processes[0]))


def _commands(
    folder: Path | None, engines: Sequence[str | None], image: Path
) -> dict[str, list[str]]:
    """What is started, each doing a little more than the one before: name → Python's arguments."""
    load = "import sys; from cxr_edge import Classifier; Classifier.load(sys.argv[1] or None)"
    commands = {
        "python -c pass": ["-c", "pass"],
        "python -c 'import numpy'": ["-c", "import numpy"],
        "python -c 'import numpy, cv2'": ["-c", "import numpy, cv2"],
        FLOOR: ["-c", "import numpy, cv2, onnxruntime"],
        "cxr-edge --help": ["-c", _RUN, "--help"],
        "Classifier.load()": ["-c", load, str(folder or "")],
    }
    option = ["-b", str(folder)] if folder else []
    for name in engines:
        predict = ["predict", *option, *(["-e", name] if name else [])]
        commands[f"cxr-edge {' '.join(predict)} image.jpeg"] = ["-c", _RUN, *predict, str(image)]
    return commands


def _others(bundle: Bundle, chosen: str) -> list[str]:
    """The other engines that are installed and that an artifact of the bundle was proven on."""
    proven = {one.engine for artifact in bundle.manifest.artifacts for one in artifact.engines}
    return [name for name in installed_engines() if name in proven - {chosen}]


def _parts(
    names: Sequence[str], runs: Sequence[Sequence[float]], bare: ProcessStart
) -> tuple[StartPart, ...]:
    """The parts between the start of Python, which a bare process takes, and the end."""
    *numbers, whole_ms, whole_mb = np.median(runs, axis=0).tolist()
    times, peaks = numbers[: len(names)], numbers[len(names) :]
    between = [StartPart(*part) for part in zip(names, times, peaks, strict=True)]
    end = StartPart("end", max(whole_ms - bare.ms - sum(times), 0.0), whole_mb)
    return (StartPart("start Python", bare.ms, bare.peak_mb), *between, end)
