"""What a fork must not break: native objects of the parent, and locks that another thread holds."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LONGEST_WAIT = 30.0
"""Seconds that a fork waits for a block of :func:`without_forks`."""

_lock = threading.RLock()
_holds_lock = False
_native: weakref.WeakSet[object] = weakref.WeakSet()
_keep: Callable[[object], None] | None = None
"""Adds a reference that nothing ever takes away."""


@contextmanager
def without_forks() -> Iterator[None]:
    """Let forks by other threads wait until the block ends.

    For imports and for loading models: a child that is forked meanwhile inherits locks of Python
    and of native libraries that nobody in it will release.
    """
    with _lock:
        yield


def keep_in_children(owner: object) -> None:
    """Never destroy an object in a forked child, not even when the child exits.

    Destroying an inference session waits for its threads, which a fork does not copy: the child
    would hang or die of SIGSEGV.
    """
    global _keep
    if _keep is None:
        import ctypes  # numpy has imported it; what loads no model does without

        increment = ctypes.pythonapi.Py_IncRef
        increment.argtypes, increment.restype = [ctypes.py_object], None
        _keep = increment
    _native.add(owner)


def _before() -> None:
    global _holds_lock
    _holds_lock = _lock.acquire(timeout=_LONGEST_WAIT)


def _release() -> None:
    if _holds_lock:
        _lock.release()


def _in_child() -> None:
    _release()
    if _keep is not None:
        for owner in list(_native):
            _keep(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_release, after_in_child=_in_child)
