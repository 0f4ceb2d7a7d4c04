"""Time and memory up to the first answer of a fresh process."""

from __future__ import annotations

import numpy as np

from cxr_edge.benchmark.report import FirstAnswer
from cxr_edge.bundle.reader import Bundle
from cxr_edge.device.process import run_python

_PROGRAM = """
import importlib, json, sys, time
folder, artifact, engine = sys.argv[1:]
start = time.perf_counter()
import numpy, cv2
from cxr_edge.bundle.reader import Bundle
from cxr_edge.engines import ENGINES
importlib.import_module(ENGINES[engine].module)
imported = time.perf_counter()
bundle = Bundle.open(folder)
loaded_engine = bundle.load(bundle.artifact(artifact), engine)
loaded = time.perf_counter()
loaded_engine.run(numpy.zeros((1, *bundle.manifest.spec.input_shape), numpy.float32))
answered = time.perf_counter()
print(json.dumps([1e3 * (imported - start), 1e3 * (loaded - imported), 1e3 * (answered - loaded)]))
"""


def measure_first_answer(
    bundle: Bundle, artifact: str, engine: str, *, processes: int = 3
) -> FirstAnswer:
    """Load an artifact and run one inference, in several processes one after the other.

    Args:
        bundle: a bundle on disk.
        artifact: name of the artifact.
        engine: name of the engine.
        processes: number of processes; the figures are medians over them.

    Raises:
        EngineError: a process failed or crashed.
    """
    arguments = ["-c", _PROGRAM, str(bundle.folder), artifact, engine]
    runs = [run_python(f"{artifact} on {engine}", arguments) for _ in range(processes)]
    import_ms, load_ms, first_ms = np.median([run.numbers(3) for run in runs], axis=0).tolist()
    peak_mb = float(np.median([run.peak_mb for run in runs]))
    return FirstAnswer(import_ms=import_ms, load_ms=load_ms, first_ms=first_ms, peak_mb=peak_mb)
