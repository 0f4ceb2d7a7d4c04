"""How long-running work tells a person where it stands, without knowing of terminals."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol

Advance = Callable[[int, int], None]
"""Called with how many steps are done and how many there are."""


class Reporter(Protocol):
    """Something that shows messages and progress."""

    def say(self, message: str) -> None:
        """Show a message, one or more whole lines."""

    def bar(self, label: str) -> contextlib.AbstractContextManager[Advance]:
        """Show progress while the block runs."""


class Silent:
    """Shows nothing; what a library call uses."""

    def say(self, message: str) -> None:
        """Show nothing."""

    def bar(self, label: str) -> contextlib.AbstractContextManager[Advance]:
        """Show nothing."""
        return contextlib.nullcontext(lambda done, total: None)


def notice(text: str) -> None:
    """Log one line as a warning to ``cxr_edge``: worth saying, but no error; stderr by default."""
    import logging  # 3 ms that a start without anything to say does not need

    logging.getLogger("cxr_edge").warning("%s", text)
