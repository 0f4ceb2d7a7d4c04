"""Threads of the libraries that a prediction runs on, and the import of OpenCV when needed."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from cxr_edge.device.forks import without_forks

_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""Read when numpy is imported."""

_is_limited = False


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let numpy's OpenBLAS and OpenCV use no threads in a process that only predicts.

    Workers share the processors. OpenBLAS's threads wait in a loop: they take 80 ms of processor
    time from a start on two processors. Whoever set its variable keeps it.
    """
    global _is_limited
    was_limited = _is_limited
    missing = {name: value for name, value in _ONE_THREAD.items() if name not in os.environ}
    os.environ.update(missing)
    _is_limited = True
    try:
        if "cv2" in sys.modules:  # imported before, in a program that calls this command
            sys.modules["cv2"].setNumThreads(1)
        yield
    finally:
        _is_limited = was_limited
        for name in missing:
            os.environ.pop(name, None)


@contextlib.contextmanager
def importing_opencv() -> Iterator[None]:
    """Around ``import cv2`` in a function, which a prediction on a JPEG never calls.

    Threads of the program may call it: no fork may happen meanwhile.
    """
    with without_forks():
        yield
    if _is_limited:
        sys.modules["cv2"].setNumThreads(1)
