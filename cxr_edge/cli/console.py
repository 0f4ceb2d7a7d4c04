"""Messages and progress on stderr."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator

import typer

from cxr_edge.reporting import Advance

_LEAST_STEPS, _LEAST_SECONDS = 5, 2.0
"""What an estimate of the time left is based on at least."""


class Terminal:
    """Shows messages, and progress with the time left, on stderr."""

    def say(self, message: str) -> None:
        """Print a message on lines of its own."""
        # A progress bar may have left its text on this line.
        erase = "\r\x1b[K" if sys.stderr.isatty() else ""
        print(f"{erase}{message}", file=sys.stderr, flush=True)

    def warn(self, message: str) -> None:
        """Print a message that must not be overlooked."""
        mark = "WARNING"
        if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
            mark = f"\x1b[1;31m{mark}\x1b[0m"
        self.say(f"{mark}: {message}")

    @contextlib.contextmanager
    def bar(self, label: str, *, with_rate: bool = False) -> Iterator[Advance]:
        """Show a progress bar while the block runs; only its label where stderr is no terminal.

        Args:
            label: the work in progress.
            with_rate: whether to show steps per second.
        """
        start, time_left = time.monotonic(), TimeLeft()
        # typer's own estimate counts what happens before the second step, such as compiling.
        with typer.progressbar(length=1, label=label, file=sys.stderr, show_eta=False) as shown:

            def advance(done: int, total: int) -> None:
                shown.length = total
                shown.show_pos = True  # not before: the number of steps was unknown
                if sys.stderr.isatty():  # elsewhere a new label is a new line
                    rate = f", {done / max(time.monotonic() - start, 1e-3):.0f}/s"
                    left = time_left.text(done, total)
                    shown.label = label + (rate if with_rate else "") + (left and f", {left}")
                shown.update(done - shown.pos)

            yield advance


class TimeLeft:
    """Estimates the time left from all steps but the first, which often loads or compiles.

    Args:
        clock: seconds that only rise.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[int, float] | None = None

    def text(self, done: int, total: int) -> str:
        """``4 min left`` after ``done`` steps of ``total``; empty while that would be a guess."""
        now = self._clock()
        if self._first is None:
            self._first = done, now
        steps, seconds = done - self._first[0], now - self._first[1]
        if steps < _LEAST_STEPS or seconds < _LEAST_SECONDS or done >= total:
            return ""
        left = seconds / steps * (total - done)
        if left < 60:
            return f"{left:.0f} s left"
        if left < 3600:
            return f"{left / 60:.0f} min left"
        return f"{left / 3600:.1f} h left"
