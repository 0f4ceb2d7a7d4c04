"""Keeps the store and the folders of kept files within their bounds."""

from __future__ import annotations

import contextlib
import heapq
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from cxr_edge.errors import StoreError
from cxr_edge.service.clock import is_plausible, stamp
from cxr_edge.service.config import StoreSettings
from cxr_edge.service.store.writer import Store

_DAY_S = 86_400.0
_ROWS = 500  # deleted in one transaction
_EVERY_S = 60.0
_EVERY_RESULTS = 500
_FILES = 1_000  # the oldest, held in memory at a time


class _KeptFile(NamedTuple):
    """A processed or failed file; in a sorted list the oldest is first."""

    changed: float
    size: int
    path: str


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
        oldest = time.time() - self._settings.keep_images_days * _DAY_S
        if not is_plausible(self._newest()):
            oldest = 0.0
        excess = -self._settings.keep_images_mb * 1e6
        for file in self._files():
            if file.changed >= oldest or not self._delete(file):
                excess += file.size
        while excess > 0:
            deleted = 0.0
            for file in heapq.nsmallest(_FILES, self._files()):
                if deleted < excess and self._delete(file):
                    deleted += file.size
            if not deleted:
                break
            excess -= deleted

    def _files(self) -> Iterator[_KeptFile]:
        """Every kept file; only the folders that are being listed are held in memory."""
        for top in self._folders:
            folders = [str(top)]
            while folders:
                with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                            continue
                        with contextlib.suppress(OSError):
                            status = entry.stat(follow_symlinks=False)
                            size = status.st_blocks * 512
                            yield _KeptFile(status.st_ctime, size, entry.path)

    def _delete(self, file: _KeptFile) -> bool:
        path = Path(file.path)
        try:
            path.unlink()
        except OSError:
            return False
        with contextlib.suppress(OSError):
            self._remove_empty(path.parent)
        return True

    def _remove_empty(self, folder: Path) -> None:
        """Remove a folder and those above it, as far as they are empty."""
        while folder not in self._folders:
            folder.rmdir()  # OSError: it is not empty
            folder = folder.parent
