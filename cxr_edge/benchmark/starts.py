"""A first answer, each in a process of its own."""

from __future__ import annotations

import json

import numpy as np

from cxr_edge.benchmark.report import FirstAnswer
from cxr_edge.bundle.reader import Bundle
from cxr_edge.device.process import run_python

_PROCESSES = 3
_START = """
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


def measure_start(bundle: Bundle, artifact: str, engine: str) -> FirstAnswer:
    """Load a file and let it answer once, in some processes, one after the other.

    Raises:
        EngineError: a process failed; a crash of the engine ends it, not the benchmark.
    """
    arguments = ["-c", _START, str(bundle.folder), artifact, engine]
    runs = [run_python(f"{artifact} on {engine}", arguments) for _ in range(_PROCESSES)]
    times = np.asarray([json.loads(run.output.splitlines()[-1]) for run in runs])
    imported, loaded, answered = np.median(times, axis=0).tolist()
    peak = float(np.median([run.peak_mb for run in runs]))
    return FirstAnswer(import_ms=imported, load_ms=loaded, first_ms=answered, peak_mb=peak)
