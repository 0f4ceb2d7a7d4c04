"""Messages and progress of the library, which knows nothing of terminals."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

Advance = Callable[[int, int], None]
"""Called with the number of steps done and the number of all steps."""


class Reporter(Protocol):
    """Shows messages and progress of long-running work."""

    def say(self, message: str) -> None:
        """Show a message of one or more lines."""

    def bar(self, label: str) -> contextlib.AbstractContextManager[Advance]:
        """Show progress while the block runs."""


class Silent:
    """A reporter that shows nothing, for calls from code."""

    def say(self, message: str) -> None:
        """Show nothing."""

    def bar(self, label: str) -> contextlib.AbstractContextManager[Advance]:
        """Show nothing."""
        return contextlib.nullcontext(lambda done, total: None)


_listeners: list[Callable[[str], None]] = []


@contextlib.contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Call ``listener`` with every announcement while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def announce(message: str) -> None:
    """Say that something slow begins; only the command line listens."""
    for listener in _listeners:
        listener(message)


def notice(message: str) -> None:
    """Log one line as a warning to ``cxr_edge``, which writes to stderr unless configured."""
    import logging  # takes 3 ms, which most starts do not need

    logging.getLogger("cxr_edge").warning("%s", message)
