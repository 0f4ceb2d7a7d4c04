"""Messages and progress on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

import typer

from cxr_edge.reporting import Advance


class Terminal:
    """Shows messages, and progress with the time left, on stderr."""

    def say(self, message: str) -> None:
        """Print a message on lines of its own."""
        # A progress bar may have left its text on this line.
        erase = "\r\x1b[K" if sys.stderr.isatty() else ""
        print(f"{erase}{message}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def bar(self, label: str, *, with_rate: bool = False) -> Iterator[Advance]:
        """Show a progress bar while the block runs; only its label where stderr is no terminal.

        Args:
            label: the work in progress.
            with_rate: whether to show steps per second.
        """
        start = time.monotonic()
        with typer.progressbar(length=1, label=label, file=sys.stderr, show_pos=True) as shown:

            def advance(done: int, total: int) -> None:
                shown.length = total
                if with_rate:
                    seconds = max(time.monotonic() - start, 1e-3)
                    shown.label = f"{label}, {done / seconds:.0f}/s"
                shown.update(done - shown.pos)

            yield advance
