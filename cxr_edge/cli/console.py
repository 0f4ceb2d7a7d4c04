"""Messages and progress on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

import typer

from cxr_edge.reporting import Advance


class Terminal:
    """Shows messages and a progress bar with the time left on stderr."""

    def say(self, message: str) -> None:
        """Print a message on lines of its own."""
        # A bar redraws its line after a carriage return: wipe what it left there.
        wipe = "\r\x1b[K" if sys.stderr.isatty() else ""
        print(f"{wipe}{message}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def bar(self, label: str, *, with_rate: bool = False) -> Iterator[Advance]:
        """Show a bar while the block runs; without a terminal only its label.

        Args:
            label: what is done.
            with_rate: whether to say how many steps are done a second.
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
