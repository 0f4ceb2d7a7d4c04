"""Sweeps the inbox when something in it changes, and periodically."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from cxr_edge.service.inbox.sweep import Inbox

_GATHER_MS, _STEP_MS = 200, 50
"""Changes are gathered for so long."""


class Watcher:
    """A thread that sweeps an inbox."""

    def __init__(
        self,
        inbox: Inbox,
        *,
        settle_s: float,
        sweep_s: float,
        on_sweep: Callable[[], None],
        is_watched: bool = True,
    ) -> None:
        """Prepare the thread.

        Args:
            inbox: what is swept.
            settle_s: files that are growing are looked at again after this time.
            sweep_s: longest time between two sweeps.
            on_sweep: called after each.
            is_watched: whether changes are noticed; where only this process puts files there, it
                says so by :meth:`nudge`.
        """
        self._inbox, self._on_sweep = inbox, on_sweep
        self._sweep_s, self._settle_s = sweep_s, settle_s
        self._stop = threading.Event()
        self._changed = threading.Event()
        self._threads = [threading.Thread(target=self._sweep, name="sweep", daemon=True)]
        if is_watched:
            self._threads.append(threading.Thread(target=self._watch, name="watch", daemon=True))

    def start(self) -> None:
        """Sweep once, and begin."""
        self._inbox.sweep()
        self._on_sweep()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop both threads and wait for them."""
        self._stop.set()
        self._changed.set()
        for thread in self._threads:
            thread.join(timeout=5)

    def nudge(self) -> None:
        """Sweep soon: the worker has taken what was ready, or there is something new."""
        self._changed.set()

    def _sweep(self) -> None:
        while not self._stop.is_set():
            wait = self._sweep_s
            if self._inbox.growing:
                wait = min(wait, self._settle_s)
            self._changed.wait(wait)
            self._changed.clear()
            if not self._stop.is_set():
                self._inbox.sweep()
                self._on_sweep()

    def _watch(self) -> None:
        """Wait for changes; where the folder is away, try again after each sweep's time."""
        from watchfiles import Change, watch

        while not self._stop.is_set():
            try:
                folder = self._identity()
                for changes in watch(
                    self._inbox.folder,
                    watch_filter=None,
                    debounce=_GATHER_MS,
                    step=_STEP_MS,
                    stop_event=self._stop,
                    rust_timeout=1000,
                    yield_on_timeout=True,
                    raise_interrupt=False,
                    ignore_permission_denied=True,
                ):
                    if self._identity() != folder:
                        break  # another file system was mounted there, or unmounted
                    # What is deleted, as by our own moving, makes nothing complete.
                    if any(kind != Change.deleted for kind, _ in changes):
                        self._changed.set()
            except (OSError, RuntimeError):  # watchfiles raises what its Rust half says
                self._stop.wait(self._sweep_s)

    def _identity(self) -> tuple[int, int]:
        status = Path(self._inbox.folder).stat()
        return status.st_dev, status.st_ino
