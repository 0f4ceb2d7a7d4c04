"""Ctrl-C and SIGTERM: exit code 130 or 143 and no traceback, whatever is going on."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from cxr_edge.device import temporary

INTERRUPTED = 130
"""Exit code after Ctrl-C."""

TERMINATED = 143
"""Exit code after SIGTERM, as of a process that has no handler for it."""


class Interrupted(Exception):  # noqa: N818 - nothing failed
    """Ctrl-C, with what the user is told: one line without ``cxr-edge:``."""


_CODES = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C and SystemExit on SIGTERM while the block runs.

    A signal that the caller ignores stays ignored. While a module is imported, the process ends at
    once instead: native code, such as TensorFlow's, crashes or raises an ImportError then.
    """
    # Where Python's own handler is left for SIGTERM, there is none: the command runs in a program.
    handlers = {number: signal.getsignal(number) for number in _CODES}
    replaced = {number: handler for number, handler in handlers.items() if callable(handler)}
    hook, sys.unraisablehook = sys.unraisablehook, _exit_if_interrupted
    for number in replaced:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


@contextlib.contextmanager
def explained(state: Callable[[], str]) -> Iterator[None]:
    """Say on Ctrl-C what was done until then, or what is as it was.

    Args:
        state: a clause such as ``3 images were predicted``, asked for when the block is left.

    Raises:
        Interrupted: in place of KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt as err:
        raise Interrupted(f"interrupted; {state()}") from err


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    code = _CODES[signal.Signals(number)]
    if _is_importing(frame):
        _exit(code)
    if code == TERMINATED:
        raise SystemExit(code)
    raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib."):
        frame = frame.f_back
    return frame is not None


def _exit_if_interrupted(unraisable: sys.UnraisableHookArgs) -> None:
    """End the process where an interruption cannot be raised, as in the deletion of an object."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        _exit(INTERRUPTED)
    if isinstance(unraisable.exc_value, SystemExit):
        _exit(TERMINATED)
    sys.__unraisablehook__(unraisable)


def _exit(code: int) -> NoReturn:
    temporary.delete_process_folder()
    os._exit(code)
