"""Moves files that have a result, and remembers those that cannot be moved."""

from __future__ import annotations

import os
from pathlib import Path

from cxr_edge.errors import CxrEdgeError, StoreError
from cxr_edge.service.health import Health
from cxr_edge.service.inbox.moving import move
from cxr_edge.service.inbox.sweep import Inbox, InboxFile
from cxr_edge.service.store.writer import Store


class Mover:
    """Used by the worker's thread."""

    def __init__(self, store: Store, health: Health) -> None:
        self._store, self._health = store, health
        self._unmoved: set[str] = set()

    def move(self, item: InboxFile, path: str, target: Path, inbox: Inbox) -> bool:
        """Move a file that has a result; where that is not possible, note that it has one.

        Args:
            item: the file.
            path: its path in the store.
            target: its place among processed or failed files.
            inbox: is told.

        Returns:
            Whether it is at its place.
        """
        try:
            moved = move(item.file, item.signature, target)
        except (OSError, CxrEdgeError) as err:
            if path not in self._unmoved:
                self._unmoved.add(path)
                self._note(path, str(item.signature), str(target))
            reason = getattr(err, "strerror", None) or without_path(err)
            count = len(self._unmoved)
            files = "a classified file" if count == 1 else f"{count} classified files"
            self._health.set("moving", f"{files} cannot be moved out of the inbox: {reason}")
            inbox.done(item, leave_alone=True)
            return False
        inbox.done(item)
        self._unmoved.discard(path)
        if not self._unmoved:
            self._health.set("moving", "")
        return moved

    def _note(self, path: str, signature: str, target: str) -> None:
        try:
            self._store.note_stuck(path, signature, target)
        except StoreError as err:
            self._health.set("store", str(err))

    def forget_gone(self, inbox: Inbox) -> None:
        """Forget files that could not be moved and are in the inbox no more.

        Raises:
            StoreError: they could not be forgotten.
        """
        for path in self._store.stuck_paths():
            is_escaped = "\\" in path  # the name on disk is another
            if not is_escaped and not os.path.lexists(inbox.folder / path):
                self._store.forget_stuck(path)
                self._unmoved.discard(path)


def without_path(err: BaseException) -> str:
    """The reason at the end of a message: the journal names no file."""
    return str(err).rpartition(": ")[2]
