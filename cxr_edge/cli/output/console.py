"""Messages and progress on stderr."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator

from cxr_edge.cli.output.streams import no_colour
from cxr_edge.reporting import Advance

_BAR_WIDTH = 30
_REDRAW_SECONDS = 0.1
_SLOW_SECONDS = 0.8
_LEAST_STEPS, _LEAST_SECONDS = 5, 2.0
"""What an estimate of the time left is based on at least."""


class Terminal:
    """Shows messages, and progress with the time left, on stderr."""

    def say(self, message: str) -> None:
        """Print a message on lines of its own."""
        print(f"{_erase()}{message}", file=sys.stderr, flush=True)

    def warn(self, message: str) -> None:
        """Print a message that must not be overlooked."""
        mark = "WARNING"
        if sys.stderr.isatty() and not no_colour():
            mark = f"\x1b[1;31m{mark}\x1b[0m"
        self.say(f"{mark}: {message}")

    @contextlib.contextmanager
    def bar(self, label: str, *, with_rate: bool = False) -> Iterator[Advance]:
        """Show a progress bar while the block runs; only its label where stderr is no terminal.

        Args:
            label: the work in progress.
            with_rate: whether to show steps per second.
        """
        if not sys.stderr.isatty():
            self.say(label)
            yield lambda done, total: None
            return
        shown = _Bar(label, with_rate)
        shown.draw()
        try:
            yield shown.advance
        finally:
            shown.draw()
            print(file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def if_slow(self, message: str) -> Iterator[None]:
        """Print a message on a terminal if the block takes longer than a user likes to wonder."""
        if not sys.stderr.isatty():
            yield
            return
        timer = threading.Timer(_SLOW_SECONDS, self.say, [message])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


class _Bar:
    """One line that is drawn again and again."""

    def __init__(self, label: str, with_rate: bool) -> None:
        self._label, self._with_rate = label, with_rate
        self._start = self._drawn = time.monotonic()
        self._done, self._total = 0, 0
        self._time_left, self._left = TimeLeft(), ""

    def advance(self, done: int, total: int) -> None:
        self._done, self._total = done, total
        now = time.monotonic()
        self._left = self._time_left.text(done, total)
        if now - self._drawn >= _REDRAW_SECONDS or done == total:
            self._drawn = now
            self.draw()

    def draw(self) -> None:
        share = self._done / self._total if self._total else 0.0
        bar = "#" * round(share * _BAR_WIDTH)
        label = self._label
        if self._with_rate:
            seconds = max(time.monotonic() - self._start, 1e-3)
            label = f"{label}, {self._done / seconds:.0f}/s"
        text = f"{label}  [{bar:-<{_BAR_WIDTH}}]"
        if self._total:
            text += f"  {self._done}/{self._total}" + (self._left and f"  {self._left}")
        width = shutil.get_terminal_size().columns - 1
        print(f"{_erase()}{text[: max(width, 1)]}", end="", file=sys.stderr, flush=True)


def _erase() -> str:
    """What clears the line, where a progress bar may have left its text."""
    if not sys.stderr.isatty():
        return ""
    if no_colour():
        return f"\r{' ' * (shutil.get_terminal_size().columns - 1)}\r"
    return "\r\x1b[K"


class TimeLeft:
    """Estimates the time left from all steps but the first, which often loads or compiles.

    Args:
        clock: seconds that only rise; the system's by default.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or time.monotonic
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
