"""The inbox: which of its files are complete, in the order in which they are taken.

A file is complete when its size and time have not changed for the settle time, or when its last
change of any kind came that long after the last change of its content: it was renamed into the
inbox, or its copying ended with setting its times. Both times are of the file system, so that the
clock of a network share does not matter.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cxr_edge.files import printable, why
from cxr_edge.image.listing import is_litter
from cxr_edge.service.inbox.moving import (
    Signature,
    is_leftover,
    remove_if_empty,
    signature_of,
)

_UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload", "~")
"""Ends of names that programs give to files which they are still writing."""

_READY = 256
"""Files that are offered at a time; the rest waits in the folder, not in memory."""

_EXAMINED = 20_000
"""Files that one sweep looks at, without those left alone."""


_AGAIN_S = 60.0
"""After which a file that could not be moved is offered again."""


@dataclass(frozen=True, slots=True)
class InboxFile:
    """A complete file."""

    file: Path
    path: str
    """Relative to the inbox."""
    signature: Signature


@dataclass(slots=True)
class _Seen:
    signature: Signature
    since: float
    """When it was first seen so, seconds of the monotonic clock."""


class Inbox:
    """A folder that is swept for complete files.

    :meth:`sweep` and :meth:`take` may be called by different threads.
    """

    def __init__(
        self, folder: Path, settle_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder = folder
        self._settle_s, self._clock = settle_s, clock
        self._lock = threading.Lock()
        self._ready: deque[InboxFile] = deque()
        self._taken: set[str] = set()
        self._growing: dict[str, _Seen] = {}
        self._left_alone: dict[str, _Seen] = {}
        self.growing = 0
        """Files that were not complete at the last sweep."""
        self.waiting = 0
        """Files in the inbox as of the last sweep, without those left alone."""
        self.problem = ""
        """Why the inbox, or a part of it, cannot be read; empty: it can."""
        self.leftovers = 0
        """Claimed files of a process that died, as of the last sweep."""
        self._leftovers: deque[Path] = deque()
        self._put_off: dict[Path, float] = {}
        self._claimed: list[Path] = []
        self._was_mounted = False
        self._unreadable = 0

    def sweep(self) -> None:
        """Look through the inbox once."""
        now = self._clock()
        growing: dict[str, _Seen] = {}
        left_alone: dict[str, _Seen] = {}
        complete: list[InboxFile] = []
        waiting = incomplete = 0
        self._unreadable = 0
        self._claimed = []
        try:
            self._check_mount()
            for file, path, status in self._files():
                signature = Signature.of(status)
                alone = self._left_alone.get(path)
                if alone and alone.signature == signature and now - alone.since < _AGAIN_S:
                    left_alone[path] = alone
                    continue
                if waiting == _EXAMINED:
                    break
                waiting += 1
                before = self._growing.get(path)
                since = before.since if before and before.signature == signature else now
                if now - since >= self._settle_s or self._was_renamed(status):
                    complete.append(InboxFile(file, path, signature))
                    if before:  # it stays known: where many wait, it is not offered yet
                        growing[path] = _Seen(signature, since)
                else:
                    growing[path] = _Seen(signature, since)
                    incomplete += 1
            self.problem = ""
            if self._unreadable:
                folders = "a folder" if self._unreadable == 1 else f"{self._unreadable} folders"
                self.problem = f"{printable(self.folder)}: {folders} in it cannot be read"
        except OSError as err:
            self.problem = f"{printable(self.folder)}: cannot be read: {why(err)}"
            return
        with self._lock:
            self.leftovers = len(self._claimed)
            due = [path for path in self._claimed if self._put_off.get(path, now) <= now]
            self._leftovers = deque(due)
            self._put_off = {p: t for p, t in self._put_off.items() if p in self._claimed}
            # What was left alone since this sweep began is on its list.
            for item in complete:
                alone = self._left_alone.get(item.path)
                if alone and alone.since >= now and alone.signature == item.signature:
                    left_alone[item.path] = alone
            complete = [item for item in complete if item.path not in left_alone]
            self._growing, self._left_alone = growing, left_alone
            self.growing, self.waiting = incomplete, waiting
            offered = {item.path for item in self._ready} | self._taken
            fresh = (item for item in complete if item.path not in offered)
            for item, _ in zip(fresh, range(_READY - len(self._ready)), strict=False):
                self._ready.append(item)

    def _check_mount(self) -> None:
        """Notice an inbox that is away.

        Raises:
            OSError: it is not there, or nothing is mounted there any more.
        """
        self.folder.stat()
        if os.path.ismount(self.folder):
            self._was_mounted = True
        elif self._was_mounted:
            raise OSError(errno.ENODEV, "nothing is mounted there any more")

    def _was_renamed(self, status: os.stat_result) -> bool:
        return status.st_ctime_ns - status.st_mtime_ns >= 1e9 * self._settle_s

    def _files(self) -> Iterator[tuple[Path, str, os.stat_result]]:
        """Regular files with their status, in sorted order.

        Raises:
            OSError: the inbox itself cannot be listed.
        """
        for root, folders, names in os.walk(self.folder, onerror=self._raise_for_root):
            for name in folders:
                if name.startswith(".") and is_leftover(Path(root, name)):
                    self._claimed += self._regular_files(Path(root, name))
            folders[:] = sorted(name for name in folders if not is_litter(name))
            for name in sorted(names):
                if name.startswith(".") or name.lower().endswith(_UNFINISHED):
                    continue
                file = Path(root, name)
                try:
                    status = file.lstat()
                except OSError:  # gone, or not to be examined
                    continue
                if stat.S_ISREG(status.st_mode):
                    yield file, file.relative_to(self.folder).as_posix(), status

    def _regular_files(self, folder: Path) -> list[Path]:
        """The files of a folder of claimed files, which is removed if it has none."""
        try:
            files = [path for path in folder.iterdir() if signature_of(path)]
        except OSError:
            self._unreadable += 1
            return []
        if not files:
            remove_if_empty(folder)
        return files

    def _raise_for_root(self, err: OSError) -> None:
        if err.filename == str(self.folder):
            raise err
        if not isinstance(err, FileNotFoundError):
            self._unreadable += 1

    def take(self) -> InboxFile | None:
        """The next complete file; None: there is none now.

        It is not offered again before :meth:`done`.
        """
        with self._lock:
            if not self._ready:
                return None
            item = self._ready.popleft()
            self._taken.add(item.path)
            return item

    def take_leftover(self) -> Path | None:
        """The next claimed file of a process that died; None: there is none now."""
        with self._lock:
            return self._leftovers.popleft() if self._leftovers else None

    def put_off(self, leftover: Path) -> None:
        """Say that a claimed file cannot be dealt with before a minute has passed."""
        with self._lock:
            self._put_off[leftover] = self._clock() + _AGAIN_S

    def done(self, item: InboxFile, *, leave_alone: bool = False) -> None:
        """Say that a file has been dealt with.

        Args:
            item: the file.
            leave_alone: it cannot be moved out of the inbox; it is offered again after a minute,
                or when it changes.
        """
        with self._lock:
            self._taken.discard(item.path)
            if leave_alone:
                self._left_alone[item.path] = _Seen(item.signature, self._clock())

    @property
    def left_alone(self) -> int:
        """Files that cannot be dealt with now, as of the last sweep."""
        return len(self._left_alone)

    @property
    def ready(self) -> int:
        """Complete files and leftovers that are not taken yet."""
        return len(self._ready) + len(self._leftovers)
