"""What is done with a file of the inbox: classified and stored once, then moved to its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cxr_edge.errors import ImageError, MissingExtraError, OutputError, StoreError
from cxr_edge.files import printable, read_file, sha256
from cxr_edge.service.clock import stamp
from cxr_edge.service.config import ServiceConfig
from cxr_edge.service.health import Health
from cxr_edge.service.inbox.kinds import INBOX, FolderKind
from cxr_edge.service.inbox.mover import Mover, without_path
from cxr_edge.service.inbox.moving import Signature, signature_of, stored_path
from cxr_edge.service.inbox.sweep import Inbox, InboxFile
from cxr_edge.service.recorder import Recorder
from cxr_edge.service.store.rows import Delivery, StoredResult
from cxr_edge.service.store.writer import Store


@dataclass(frozen=True, slots=True)
class _Content:
    data: bytes | ImageError
    """A file's bytes, or why they cannot be read."""
    content: str
    """Their hash, or that of what else tells the file from others."""


class Intake:
    """What the worker's thread does with the files of a folder."""

    def __init__(
        self,
        config: ServiceConfig,
        inbox: Inbox,
        recorder: Recorder,
        store: Store,
        health: Health,
        *,
        kind: FolderKind = INBOX,
        on_stored: Callable[[StoredResult, bytes], None] | None = None,
    ) -> None:
        """Take files from a folder.

        Args:
            config: folders and limits.
            inbox: the folder.
            recorder: classifies and stores.
            store: is asked for results.
            health: is told what does not work.
            kind: which folder it is.
            on_stored: called with each result, also one of an earlier process, and the file's
                bytes, before the file is moved. Where it raises OutputError, the file stays.
        """
        self._config, self._inbox, self._kind = config, inbox, kind
        self._recorder, self._store, self._health = recorder, store, health
        self._on_stored = on_stored
        self.mover = Mover(store, health, kind)
        self.nudge: Callable[[], None] = lambda: None
        """Called when more files wait than were offered."""

    def take(self) -> bool:
        """Deal with the next file.

        Returns:
            Whether there was one.
        """
        if leftover := self._inbox.take_leftover():
            self.leftover(leftover)
            return True
        if item := self._inbox.take():
            self.file(item)
            return True
        if self.has_more:
            self.nudge()
        return False

    def after_sweep(self) -> bool:
        """Tell the health what a sweep has found.

        Returns:
            Whether there is something to take.
        """
        inbox, kind = self._inbox, self._kind
        self._health.set(kind.unreadable, inbox.problem)
        if not (inbox.leftovers or inbox.problem):
            self._health.set(kind.claimed, "")
        if not (inbox.left_alone or inbox.waiting or inbox.problem):
            self._health.set(kind.moving, "")
            self._health.set(kind.extra, "")
        return bool(inbox.ready)

    def forget_gone(self) -> None:
        """Forget files that could not be moved and are in the folder no more.

        Raises:
            StoreError: they could not be forgotten.
        """
        self.mover.forget_gone(self._inbox)

    @property
    def has_more(self) -> bool:
        """Whether complete files wait that were not offered."""
        return self._inbox.waiting > self._inbox.growing

    @property
    def waiting(self) -> int:
        """Files that are not classified yet."""
        return self._inbox.waiting

    def file(self, item: InboxFile) -> None:
        """Classify and store a file of the inbox, and move it away."""
        path = stored_path(item.path)
        result: StoredResult | None = None
        try:
            target = self._store.find_stuck(self._kind.stuck + path, str(item.signature))
            if target is None:
                result = self._result_of(item, path)
        except StoreError as err:
            self._health.set("store", str(err))
            self._inbox.done(item)
            return
        except MissingExtraError as err:  # the fault of the installation, not of the file
            reason = str(err).replace(f"{path}: ", "")
            self._health.set(self._kind.extra, f"files wait in {self._kind.name}: {reason}")
            self._inbox.done(item, leave_alone=True)
            return
        except OutputError as err:
            problem = f"a report cannot be written, so its image waits: {without_path(err)}"
            self._health.set("reports", problem)
            self._inbox.done(item, leave_alone=True)
            return
        if target is not None:
            self.mover.move(item, path, self._place(target), self._inbox, note=target)
        elif result is None:  # gone, or still changing
            self._inbox.done(item)
        else:
            target = _noted(result)
            if self.mover.move(item, path, self._place(target), self._inbox, note=target):
                self._recorder.draw(result, self._place(target))

    def leftover(self, claimed: Path) -> None:
        """Deal with a file that a process that died had claimed.

        It goes to its place if it has a result, and else back into the inbox.
        """
        relative = (claimed.parent.parent / claimed.name).relative_to(self._inbox.folder)
        try:
            signature = signature_of(claimed)
            if signature is None:
                return
            data = self._read(claimed, signature)
            path = stored_path(relative.as_posix())
            delivery = Delivery(self._kind.source, path, data.content)
            result = self._store.find_delivery(delivery)
        except StoreError as err:
            self._health.set("store", str(err))
            return
        except OSError:
            return
        target = self._place(_noted(result)) if result else None
        self.mover.place_leftover(claimed, target, self._inbox)

    def _place(self, noted: str) -> Path:
        """The place that the store notes as ``processed`` or ``failed``, and a name."""
        kind, _, name = noted.partition("/")
        return Path(getattr(self._config.inbox, kind), name)

    def _read(self, file: Path, signature: Signature) -> _Content:
        limit = int(self._config.worker.max_file_mb * 1e6)
        try:
            data = read_file(file, max_bytes=limit, error=ImageError, follow_symlinks=False)
        except ImageError as err:
            unread = f"{signature.inode} {signature.size} {signature.mtime_ns}"
            return _Content(err, sha256(unread.encode()))
        return _Content(data, sha256(data))

    def _result_of(self, item: InboxFile, path: str) -> StoredResult | None:
        received = stamp()
        read = self._read(item.file, item.signature)
        try:
            if signature_of(item.file) != item.signature:
                return None
        except OSError:
            return None
        delivery = Delivery(self._kind.source, path, read.content)
        data = read.data
        if isinstance(data, ImageError):
            data = ImageError(str(data).replace(printable(item.file), path))
        result = self._store.find_delivery(delivery)
        if result is None:
            kept = f"{self._kind.kept_in}{path}"
            result = self._recorder.classify(delivery, data, received, kept)
        if self._on_stored and isinstance(data, bytes):
            self._on_stored(result, data)
        return result


def _noted(result: StoredResult) -> str:
    """The place of a file of the inbox, as the store notes it."""
    return f"{'processed' if result.document['ok'] else 'failed'}/{result.kept}"
