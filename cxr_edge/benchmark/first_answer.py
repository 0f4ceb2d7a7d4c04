"""A row in processes of its own: time to the first answer, and memory."""

from __future__ import annotations

import numpy as np

from cxr_edge.benchmark.report import FirstAnswer, Row
from cxr_edge.bundle.reader import Bundle
from cxr_edge.device.process import run_python
from cxr_edge.device.temporary import temporary_folder

# A thread samples the memory: /proc/self/statm costs 10 us, and an engine lets other threads run.
_PROGRAM = """
import importlib, json, os, sys, time
folder, artifact, stock_file, engine, threads, seconds = sys.argv[1:]
start = time.perf_counter()
import numpy, cv2
from cxr_edge.bundle.reader import Bundle
from cxr_edge.engines import ENGINES, open_engine
importlib.import_module(ENGINES[engine].module)
imported = time.perf_counter()
bundle, threads = Bundle.open(folder), int(threads)
if artifact:
    model = bundle.load(bundle.artifact(artifact), engine, threads=threads)
else:
    file = open(stock_file, "rb").read()
    model = open_engine(engine, file, bundle.manifest.spec, threads=threads)
loaded = time.perf_counter()
image = numpy.zeros((1, *bundle.manifest.spec.input_shape), numpy.float32)
model.run(image)
answered = time.perf_counter()

import threading
resident, done = [], threading.Event()
def sample():
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    while not done.wait(.01):
        with open("/proc/self/statm") as statm:
            resident.append(int(statm.read().split()[1]) * page_bytes)
sampler = None
if os.path.exists("/proc/self/statm"):
    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
while time.perf_counter() < answered + float(seconds) or (sampler and not resident):
    model.run(image)
done.set()
if sampler:
    sampler.join()
average = sum(resident) / len(resident) if resident else 0
print(json.dumps([start, imported, loaded, answered, average, max(resident, default=0)]))
"""


def measure_first_answer(
    bundle: Bundle,
    row: Row,
    stock_file: bytes | None,
    *,
    processes: int,
    memory_s: float,
) -> FirstAnswer:
    """Start a row's process, run an inference, and repeat it; several times one after the other.

    Args:
        bundle: a bundle on disk.
        row: names the artifact, the engine and the threads.
        stock_file: the model file of a row without an artifact.
        processes: number of processes; the figures are medians over them.
        memory_s: seconds of inferences over which the memory of each is averaged.

    Raises:
        EngineError: a process failed or crashed.
    """
    with temporary_folder() as folder:
        path = folder / "stock"
        path.write_bytes(stock_file or b"")
        names = [str(bundle.folder), row.artifact or "", str(path), row.engine]
        arguments = ["-c", _PROGRAM, *names, str(row.threads), str(memory_s)]
        runs = [run_python(row.name, arguments) for _ in range(processes)]
    times_s = np.array([[run.started_s, *run.numbers(6)[:4]] for run in runs])
    average_mb, largest_mb = (np.array([run.numbers(6)[4:] for run in runs]) / 1e6).T
    # The kernel's peak lags behind what /proc says by up to 1 MB.
    peaks_mb = np.maximum([run.peak_mb for run in runs], largest_mb)
    _, import_ms, load_ms, first_ms = np.median(1e3 * np.diff(times_s), axis=0).tolist()
    return FirstAnswer(
        to_first_ms=float(np.median(1e3 * (times_s[:, 4] - times_s[:, 0]))),
        import_ms=import_ms,
        load_ms=load_ms,
        first_ms=first_ms,
        peak_mb=float(np.median(peaks_mb)),
        average_mb=float(np.median(average_mb)) or None,
    )
