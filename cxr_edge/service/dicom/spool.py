"""An object on its way to the disk: written while it arrives, whole and flushed, or gone.

The name of a finished file is the hash of its bytes, and the bytes are the same whoever sends the
object, whenever: an object that is sent again, since its sender never heard that it had arrived,
takes the place of the first copy. With its name as path the store has one row for both.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from cxr_edge.errors import OutputError
from cxr_edge.extras import require
from cxr_edge.files import printable, sync_folder, why

SUFFIX = ".dcm"

_UNFINISHED = ".receiving-"
_IMPLEMENTATION_UID = "2.25.208432913263190331837103063829146402897"
_IMPLEMENTATION_VERSION = "CXR_EDGE"
"""Without a number: a new version must write the same bytes."""
_CHECK_EVERY_BYTES = 2**20


class TooLarge(Exception):  # noqa: N818 - an answer, not a fault of the service
    """The object exceeds the limit."""


class ReceivedFolder:
    """The folder where received objects wait to be classified."""

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        min_free_bytes: float,
        is_full: Callable[[], bool] = lambda: False,
    ) -> None:
        """Use a folder.

        Args:
            folder: it is made by :meth:`prepare`.
            max_bytes: of an object.
            min_free_bytes: of the disk; with less nothing is received.
            is_full: whether the service knows already that there is too little.
        """
        self.folder, self.max_bytes = folder, max_bytes
        self._min_free_bytes, self._is_full = min_free_bytes, is_full
        self._is_mount = False

    def prepare(self) -> None:
        """Make the folder, and remove what a process that died was receiving.

        Raises:
            OutputError: this is not possible.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for unfinished in self.folder.glob(f"{_UNFINISHED}*"):
                unfinished.unlink(missing_ok=True)
            self._is_mount = self.folder.is_mount()
        except OSError as err:
            name = printable(self.folder)
            raise OutputError(f"{name}: cannot be used: {why(err)}") from err

    def has_room(self) -> bool:
        """Whether the disk is there, and has space for more."""
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError:
            return False
        if self._is_mount and not self.folder.is_mount():
            return False  # what lay below the disk is not where the objects are looked for
        return free >= self._min_free_bytes and not self._is_full()


class Spool:
    """The file of one object; pynetdicom writes to it as to a temporary file."""

    def __init__(self, folder: ReceivedFolder, file_meta: bytes) -> None:
        """Begin a file; where that is not possible, the object is refused later.

        Args:
            folder: where it is to be.
            file_meta: preamble and file meta information.
        """
        self._folder = folder
        self._path = folder.folder / f"{_UNFINISHED}{os.urandom(8).hex()}"
        self.name = str(self._path)
        """For pynetdicom, which deletes the file of this name when the object was answered."""
        self.file = self
        """For pynetdicom, which flushes it."""
        self._size = 0
        self._unchecked = _CHECK_EVERY_BYTES
        self._hash = hashlib.sha256()
        self._opened: BinaryIO | None = None
        self.is_refused = False
        """Whether there was no room; what follows is not written."""
        with self._refusing():
            self._opened = self._path.open("xb")
        self.write(file_meta)

    @property
    def path(self) -> Path:
        """Where the unfinished file is."""
        return self._path

    def write(self, data: bytes) -> None:
        """Append a part of the object, unless it is refused.

        Raises:
            TooLarge: there is more than the limit.
        """
        self._size += len(data)
        if self._size > self._folder.max_bytes:
            self.discard()
            raise TooLarge
        self._unchecked += len(data)
        if self._opened and self._unchecked >= _CHECK_EVERY_BYTES:
            self._unchecked = 0
            if not self._folder.has_room():
                self._refuse()
        if self._opened:
            with self._refusing():
                self._opened.write(data)
                self._hash.update(data)

    def flush(self) -> None:
        """Nothing: :meth:`finish` does it once, when the whole object is there."""

    def close_whole(self) -> bool:
        """Write what is still in memory, before the file is looked at.

        Returns:
            Whether everything is in the file.
        """
        if self._opened:
            with self._refusing():
                self._opened.flush()
        return self._opened is not None

    def finish(self) -> Path | None:
        """Flush the object to the disk and give it its name.

        Returns:
            The file, which survives a power cut; None: the disk did not take it.
        """
        if self._opened is None:
            return None
        final = self._folder.folder / f"{self._hash.hexdigest()}{SUFFIX}"
        try:
            self._opened.flush()
            os.fsync(self._opened.fileno())
            self._opened.close()
            self._path.rename(final)
            sync_folder(self._folder.folder)
        except (OSError, OutputError):
            self.discard()
            return None
        self._opened = None
        return final

    def close(self) -> None:
        """Remove the file unless it was finished; for pynetdicom."""
        self.discard()

    def discard(self) -> None:
        """Remove the file unless it was finished."""
        opened, self._opened = self._opened, None
        if opened:
            with contextlib.suppress(OSError):  # what is in memory finds no room
                opened.close()
            with contextlib.suppress(OSError):  # the next start removes it
                self._path.unlink(missing_ok=True)

    def _refuse(self) -> None:
        self.is_refused = True
        self.discard()

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        """Refuse the object where the disk takes no more of it."""
        try:
            yield
        except OSError:
            self._refuse()


def file_meta_of(sop_class: str, instance: str, syntax: str) -> bytes:
    """Preamble and file meta information of an object, the same each time."""
    meta = require("pynetdicom.dsutils", "dicom").create_file_meta(
        sop_class_uid=sop_class,
        sop_instance_uid=instance,
        transfer_syntax=syntax,
        implementation_uid=_IMPLEMENTATION_UID,
        implementation_version=_IMPLEMENTATION_VERSION,
    )
    written = io.BytesIO()
    written.write(b"\0" * 128 + b"DICM")
    require("pydicom.filewriter", "dicom").write_file_meta_info(written, meta)
    return written.getvalue()
