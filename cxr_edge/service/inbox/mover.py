"""Moves files that have a result, and remembers those that cannot be moved."""

from __future__ import annotations

import os
from pathlib import Path

from cxr_edge.errors import CxrEdgeError, StoreError
from cxr_edge.service.health import Health
from cxr_edge.service.inbox.kinds import RECEIVED, FolderKind
from cxr_edge.service.inbox.moving import give_back, move, place, remove_if_empty
from cxr_edge.service.inbox.sweep import Inbox, InboxFile
from cxr_edge.service.store.writer import Store


class Mover:
    """Used by the worker's thread."""

    def __init__(self, store: Store, health: Health, kind: FolderKind) -> None:
        self._store, self._health, self._kind = store, health, kind
        self._unmoved: dict[str, Path] = {}

    def move(self, item: InboxFile, path: str, target: Path, inbox: Inbox, *, note: str) -> bool:
        """Move a file that has a result; where that is not possible, note that it has one.

        Args:
            item: the file.
            path: its path in the store.
            target: its place among processed or failed files.
            inbox: is told.
            note: its place, as the store keeps it.

        Returns:
            Whether it is at its place.
        """
        try:
            moved = move(item.file, item.signature, target)
        except (OSError, CxrEdgeError) as err:
            if path not in self._unmoved:
                self._unmoved[path] = item.file
                self._note(path, str(item.signature), note)
            self._report(err)
            inbox.done(item, leave_alone=True)
            return False
        inbox.done(item)
        self._forget(path)
        return moved

    def _report(self, err: BaseException) -> None:
        reason = getattr(err, "strerror", None) or without_path(err)
        count = len(self._unmoved)
        files = "a classified file" if count == 1 else f"{count} classified files"
        problem = f"{files} cannot be moved out of {self._kind.name}: {reason}"
        self._health.set(self._kind.moving, problem)

    def _forget(self, path: str) -> None:
        if self._unmoved.pop(path, None) and not self._unmoved:
            self._health.set(self._kind.moving, "")

    def _note(self, path: str, signature: str, target: str) -> None:
        try:
            self._store.note_stuck(self._kind.stuck + path, signature, target)
        except StoreError as err:
            self._health.set("store", str(err))

    def place_leftover(self, claimed: Path, target: Path | None, inbox: Inbox) -> None:
        """Deal with a file that a process that died had claimed.

        Args:
            claimed: the file.
            target: its place; None: it has no result and belongs back into the inbox.
            inbox: is told where it must wait.
        """
        try:
            if target is None:
                give_back(claimed)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                place(claimed, target)
            remove_if_empty(claimed.parent)
        except (OSError, CxrEdgeError) as err:
            reason = getattr(err, "strerror", None) or without_path(err)
            problem = f"a file that was being moved when the service died waits: {reason}"
            self._health.set(self._kind.claimed, problem)
            inbox.put_off(claimed)

    def forget_gone(self, inbox: Inbox) -> None:
        """Forget files that could not be moved and are in the inbox no more.

        Raises:
            StoreError: they could not be forgotten.
        """
        for stuck in self._store.stuck_paths():
            prefix, path = self._kind.stuck, stuck.removeprefix(self._kind.stuck)
            if not stuck.startswith(prefix) or path.startswith(RECEIVED.stuck):
                continue  # of the other folder
            # A name with escapes is another on disk, which only this process may know.
            file = self._unmoved.get(path, None if "\\" in path else inbox.folder / path)
            if file and not os.path.lexists(file):
                self._store.forget_stuck(stuck)
                self._forget(path)


def without_path(err: BaseException) -> str:
    """The reason at the end of a message: the journal names no file."""
    return str(err).rpartition(": ")[2]
