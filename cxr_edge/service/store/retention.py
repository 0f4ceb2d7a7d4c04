"""Keeps the store and the folders of kept files within their bounds."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from cxr_edge.errors import StoreError
from cxr_edge.service.clock import is_plausible, stamp
from cxr_edge.service.config import StoreSettings
from cxr_edge.service.store.writer import Store

_DAY_S = 86_400.0
_ROWS = 500  # deleted in one transaction
_EVERY_S = 60.0
_EVERY_RESULTS = 500


class ResultRetention:
    """Deletes old results; called by the worker's thread."""

    def __init__(self, store: Store, settings: StoreSettings) -> None:
        self._store, self._settings = store, settings
        self._next_s = 0.0
        self._new = 0

    def count(self) -> None:
        """Note a new result."""
        self._new += 1

    def tidy_if_due(self) -> bool:
        """Delete what is too old or too much, a part at a time.

        Returns:
            Whether it was due.

        Raises:
            StoreError: the store cannot be written.
        """
        if time.monotonic() < self._next_s and self._new < _EVERY_RESULTS:
            return False
        self._new, self._next_s = 0, time.monotonic() + _EVERY_S
        newest = self._store.newest_time()
        deleted = 0
        if is_plausible(newest):
            oldest = stamp(time.time() - self._settings.keep_days * _DAY_S)
            deleted = self._store.delete_oldest(_ROWS, before=oldest)
        if self._store.size_bytes() > self._settings.keep_mb * 1e6:
            deleted = max(deleted, self._store.delete_oldest(_ROWS))
        if deleted == _ROWS:  # there may be more
            self._next_s = 0.0
        return True


class FileRetention:
    """A thread that deletes old kept files."""

    def __init__(
        self,
        folders: Iterable[Path],
        settings: StoreSettings,
        newest: Callable[[], str],
        *,
        every_s: float = _EVERY_S,
    ) -> None:
        """Prepare the thread.

        Args:
            folders: of processed and failed files.
            settings: the bounds.
            newest: time of the newest result; see :func:`cxr_edge.service.clock.is_plausible`.
            every_s: time between two rounds.
        """
        self._folders, self._settings, self._newest = tuple(folders), settings, newest
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            with contextlib.suppress(OSError, StoreError):  # tried again in the next round
                self.tidy()

    def tidy(self) -> None:
        """Delete what is too old or too much, the oldest first.

        The time of a file is that of its last change, moving it here included.
        """
        files = sorted(self._files())
        excess = sum(size for _, size, _ in files) - self._settings.keep_images_mb * 1e6
        oldest = time.time() - self._settings.keep_images_days * _DAY_S
        if not is_plausible(self._newest()):
            oldest = 0.0
        for changed, size, path in files:
            if changed >= oldest and excess <= 0:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                excess -= size
                self._remove_empty(path.parent)

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        for folder in self._folders:
            for root, _, names in os.walk(folder):
                for name in names:
                    path = Path(root, name)
                    with contextlib.suppress(OSError):
                        status = path.lstat()
                        yield status.st_ctime, status.st_blocks * 512, path

    def _remove_empty(self, folder: Path) -> None:
        """Remove a folder and those above it, as far as they are empty."""
        while folder not in self._folders:
            folder.rmdir()  # OSError: it is not empty
            folder = folder.parent
