"""Starts children of a process with a loaded model and counts how each ends.

``forking.py ENGINE THREADS COUNT [idle] [busy] [pools]`` prints JSON: outcomes by
scenario, of all three by default. A child that hangs ends by SIGALRM. tests/engines/test_forks.py
runs it with one child each, 50 are a soak.
"""

from __future__ import annotations

import contextlib
import gc
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from cxr_edge.bundle.reader import Bundle
from cxr_edge.engines import Engine, open_engine
from cxr_edge.errors import EngineError
from cxr_edge.export.convert.ncnn_archive import pack_ncnn
from cxr_edge.spec import ModelSpec

MOST_SECONDS = 30
ARTIFACTS = {
    "onnxruntime": "onnx-int8",
    "litert": "tflite-int8-dynamic",
    "openvino": "onnx-int8",
}
HANGS = f"signal {int(signal.SIGALRM)}"


def draw_ncnn(spec: ModelSpec) -> bytes:
    """A .ncnn file of one convolution, which the reference has none of."""
    height, width, _ = spec.input_shape
    layers = [
        f"Input image 0 1 image 0={width} 1={height} 2=1",
        "Convolution conv 1 1 image a 0=16 1=3 11=3 2=1 12=1 3=1 13=1 4=1 15=1 14=1 16=1 5=1 6=144",
        "Pooling pool 1 1 a b 0=1 4=1",
        "InnerProduct dense 1 1 b c 0=1 1=1 2=16",
        "Sigmoid sigmoid 1 1 c scores",
    ]
    param = "\n".join(["7767517", "5 5", *layers, ""]).encode()
    weights = bytes(4 + 4 * (144 + 16)) + bytes(4 + 4 * (16 + 1))
    members = {"precision": b"fp32", "metadata.json": b"{}"}
    return pack_ncnn({**members, "model.param": param, "model.bin": weights})


def load(name: str, threads: int) -> Engine:
    bundle = Bundle.open()
    if name == "ncnn":
        spec = bundle.manifest.spec
        return open_engine(name, draw_ncnn(spec), spec, threads=threads)
    return bundle.load(bundle.artifact(ARTIFACTS[name]), name, threads=threads)


def answer(engine: Engine) -> bytes:
    shape = Bundle.open().manifest.spec.input_shape
    return engine.run(np.zeros((1, *shape), np.float32)).tobytes()


class Parent:
    """A process that has loaded a model and used it."""

    def __init__(self, name: str, threads: int, count: int) -> None:
        self.name, self.threads, self.count = name, threads, count
        self.engine: Engine | None = load(name, threads)
        self.expected = answer(self.engine)

    # What a child does. The outcome is the exit code's name.

    def use(self) -> bool:
        assert self.engine
        return answer(self.engine) == self.expected

    def load_anew(self) -> bool:
        return answer(load(self.name, self.threads)) == self.expected

    def exit(self) -> bool:
        return True

    def collect(self) -> bool:
        self.engine = None
        gc.collect()
        return True

    def collect_and_load(self) -> bool:
        return self.collect() and self.load_anew()

    # How children are started.

    def fork(self, action: Callable[[], bool]) -> str:
        child = os.fork()
        if child == 0:
            signal.alarm(MOST_SECONDS)
            try:
                code = 0 if action() else 20
            except EngineError:
                code = 10
            sys.exit(code)  # through the interpreter's end, which destroys objects
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        names = {0: "works", 10: "EngineError", 20: "another answer"}
        return names.get(status, f"signal {-status}" if status < 0 else f"exit {status}")

    def raw_forks(self) -> dict[str, Counter[str]]:
        actions = (self.use, self.load_anew, self.exit, self.collect, self.collect_and_load)
        return {
            action.__name__: Counter(self.fork(action) for _ in range(self.count))
            for action in actions
        }

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Two threads that predict while the block runs."""
        stop, engine = threading.Event(), self.engine
        assert engine

        def predict() -> None:
            while not stop.is_set():
                answer(engine)

        threads = [threading.Thread(target=predict) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            time.sleep(0.05)
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def pools(self) -> dict[str, Counter[str]]:
        outcomes = {}
        for method in ("fork", "spawn", "forkserver"):
            context = multiprocessing.get_context(method)
            if method == "forkserver":
                context.set_forkserver_preload([f"cxr_edge.engines.{self.name}"])
            with context.Pool(1, maxtasksperchild=1) as pool:
                given = [(self.name, self.threads, self.expected)] * self.count
                results = pool.starmap_async(load_in_worker, given, chunksize=1)
                try:
                    outcomes[f"{method} pool"] = Counter(results.get(20 + 2 * self.count))
                except multiprocessing.TimeoutError:
                    outcomes[f"{method} pool"] = Counter({HANGS: self.count})
        return outcomes


def load_in_worker(name: str, threads: int, expected: bytes) -> str:
    try:
        return "works" if answer(load(name, threads)) == expected else "another answer"
    except EngineError:
        return "EngineError"


def main() -> None:
    name, threads, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    wanted = sys.argv[4:] or ["idle", "busy", "pools"]
    parent = Parent(name, threads, count)
    outcomes = parent.raw_forks() if "idle" in wanted else {}
    if "busy" in wanted:
        with parent.busy():
            outcomes |= {f"{action}, busy": ends for action, ends in parent.raw_forks().items()}
    if "pools" in wanted:
        outcomes |= parent.pools()
    assert parent.use()  # the parent's model still works
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
