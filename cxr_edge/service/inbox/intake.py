"""What is done with a file of the inbox: classified and stored once, then moved to its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cxr_edge.errors import ImageError, MissingExtraError, StoreError
from cxr_edge.files import printable, read_file, sha256
from cxr_edge.service.clock import stamp
from cxr_edge.service.config import ServiceConfig
from cxr_edge.service.health import Health
from cxr_edge.service.inbox.mover import Mover
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
    """What the worker's thread does with the files of an inbox."""

    def __init__(
        self, config: ServiceConfig, inbox: Inbox, recorder: Recorder, store: Store, health: Health
    ) -> None:
        self._config, self._inbox = config, inbox
        self._recorder, self._store, self._health = recorder, store, health
        self.mover = Mover(store, health)

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
        return False

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
            target = self._store.find_stuck(path, str(item.signature))
            if target is None:
                result = self._result_of(item, path)
        except StoreError as err:
            self._health.set("store", str(err))
            self._inbox.done(item)
            return
        except MissingExtraError as err:  # the fault of the installation, not of the file
            reason = str(err).replace(f"{path}: ", "")
            self._health.set("extra", f"files wait in the inbox: {reason}")
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
            delivery = Delivery("inbox", stored_path(relative.as_posix()), data.content)
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
        delivery = Delivery("inbox", path, read.content)
        stored = self._store.find_delivery(delivery)
        if stored:
            return stored
        data = read.data
        if isinstance(data, ImageError):
            data = ImageError(str(data).replace(printable(item.file), path))
        return self._recorder.classify(delivery, data, received, path)


def _noted(result: StoredResult) -> str:
    """The place of a file of the inbox, as the store notes it."""
    return f"{'processed' if result.document['ok'] else 'failed'}/{result.kept}"
