"""Ctrl-C: exit code 130 and no traceback, whatever is going on."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

from cxr_edge import extras

INTERRUPTED = 130
"""Exit code after Ctrl-C."""


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C while the block runs, unless the caller ignores it.

    While Keras or its backend loads, the process ends at once instead: an exception that passes
    through TensorFlow's native code crashes Python.
    """
    previous = signal.getsignal(signal.SIGINT)
    if not callable(previous):  # ignored, as in the background of a shell
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _interrupt(number: int, frame: object) -> None:
    if extras.is_loading_keras():
        extras.delete_home_writes()
        os._exit(INTERRUPTED)
    raise KeyboardInterrupt
