"""Threads of the libraries that a command runs on."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}
"""Read by numpy and by OpenCV when they are imported."""


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let numpy's OpenBLAS and OpenCV start no threads in a process that only predicts.

    Workers share the processors. OpenBLAS's threads wait in a loop: they take 80 ms of processor
    time from a start on two processors. Whoever set a variable keeps it.
    """
    missing = {name: value for name, value in _ONE_THREAD.items() if name not in os.environ}
    os.environ.update(missing)
    if "cv2" in sys.modules:  # imported before, in a program that calls this command
        sys.modules["cv2"].setNumThreads(1)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
