"""What a fork must not break: native objects of the parent, and locks that another thread holds."""

from __future__ import annotations

import functools
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cxr_edge.errors import EngineError

_LONGEST_WAIT = 30.0
"""Seconds that a fork waits for a block of :func:`without_forks`."""

_lock = threading.RLock()
_held = 0
"""How many times hooks before a fork have taken the lock, and none has given it back yet."""
_was_unsafe = False
"""Whether this process was forked while a thread of its parent was in :func:`without_forks`."""
_native: weakref.WeakSet[object] = weakref.WeakSet()
_keep: Callable[[object], None] | None = None
"""Adds a reference that nothing ever takes away."""


@contextmanager
def without_forks() -> Iterator[None]:
    """Let forks by other threads wait until the block ends.

    For imports and for loading models: a child that is forked meanwhile inherits locks of Python
    and of native libraries that nobody in it will release.

    Raises:
        EngineError: this process is such a child; nothing can be loaded here.
    """
    if _was_unsafe:
        raise EngineError(
            "the process was forked while another thread loaded a model or a library, and would "
            "wait for ever; start it with 'spawn', or load everything before the fork"
        )
    with _lock:
        _register()
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
    with _lock:
        _register()
    _native.add(owner)


def _before() -> None:
    global _held
    if _lock.acquire(timeout=_LONGEST_WAIT):
        _held += 1


def _release() -> bool:
    """Give the lock back once; False if the hook before the fork could not take it."""
    global _held
    if not _held:
        return False
    _held -= 1
    _lock.release()
    return True


def _in_child() -> None:
    global _was_unsafe
    _was_unsafe = not _release() or _was_unsafe
    if _keep is not None:
        for owner in list(_native):
            _keep(owner)


def _register() -> None:
    """Register the hooks, when there is something to protect.

    Hooks before a fork run in reverse order. Ours must come before that of logging, which is
    registered when logging is imported: a thread that holds our lock may be about to log. Where
    other threads may fork now, logging is therefore imported first; where none can, once it is
    there ours are registered again, which does no harm: the lock is taken twice and given twice.
    """
    if threading.active_count() > 1:
        import logging  # noqa: F401 - takes 4 ms, which a start with one thread does without
    _register_hooks("logging" in sys.modules)


@functools.cache
def _register_hooks(behind_logging: bool) -> None:
    """Register the hooks once behind those of logging, and once without them."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before, after_in_parent=_release, after_in_child=_in_child)
