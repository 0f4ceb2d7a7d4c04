"""The folder of the bundles that a device has: which one is current, and which was before.

::

    bundles/
      0123456789abcdef/            a bundle, named by the start of its manifest's hash
      current  -> 0123456789abcdef
      previous -> fedcba9876543210
      pending.json                 the change of ``current`` that is not confirmed yet
      served.json, service.lock    of the running service, see :mod:`cxr_edge.bundle.served`

A bundle gets its name when it is complete and on disk, and both links are replaced by a rename:
killed or without power at any moment, ``current`` names a whole bundle. What changes it, and how a
change is undone, is :mod:`cxr_edge.bundle.upgrade`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxr_edge import documents
from cxr_edge.bundle.contents import contents_of, holds_bytes
from cxr_edge.bundle.reader import Bundle
from cxr_edge.device.temporary import alone_in
from cxr_edge.errors import BundleError, OutputError
from cxr_edge.files import PathLike, printable, read_file, remove_file, sync_folder, why, write_file
from cxr_edge.reporting import notice

DEFAULT_FOLDER = "/var/lib/cxr-edge/bundles"
"""Where a device keeps its bundles."""

Link = Literal["current", "previous"]

_PENDING = "pending.json"
_INCOMING = ".incoming"
_NEW_LINK = ".link"
_NAME = re.compile(r"[0-9a-f]{16}")
_MAX_PENDING_BYTES = 2**12


@dataclass(frozen=True, slots=True)
class Pending:
    """A change of ``current`` that is not confirmed: names of bundles."""

    new: str
    old: str | None
    """null: no bundle was current."""
    is_tried: bool
    """Whether a process began to check the new bundle after the one that changed to it died."""


@dataclass(frozen=True, slots=True)
class InstalledBundles:
    """The folder, and the changes that leave it whole at any moment."""

    folder: Path

    def names(self) -> tuple[str, ...]:
        """Names of the bundles that are there, sorted; none where there is no folder.

        Raises:
            OutputError: a folder may not be searched.
        """
        if not self.exists():
            return ()
        with _reported(self.folder):
            return tuple(sorted(p.name for p in self.folder.iterdir() if _NAME.fullmatch(p.name)))

    def exists(self) -> bool:
        """Whether the folder is there.

        Raises:
            OutputError: a folder above may not be searched.
        """
        with _reported(self.folder):
            return self.folder.exists()

    @contextlib.contextmanager
    def alone(self, longest_wait_s: float = 60) -> Iterator[None]:
        """Let one process at a time change the folder, which is made if need be.

        Raises:
            OutputError: the folder cannot be made or opened, or the operating system refuses what
                the block does.
            TimeoutError: another process is at work, for longer than ``longest_wait_s`` seconds.
        """
        with contextlib.ExitStack() as stack, _reported(self.folder):
            with self.as_owner():
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(alone_in(self.folder, longest_wait_s=longest_wait_s))
            yield

    @contextlib.contextmanager
    def as_owner(self) -> Iterator[None]:
        """Write as the owner of the folder, where root runs this: the service has to remove it.

        For writing only: Python's own files may be where the owner cannot import them.

        Raises:
            OSError: the folder above cannot be examined.
        """
        existing = self.folder
        while not existing.exists():
            existing = existing.parent
        owner, group = existing.stat().st_uid, os.getegid()
        if os.geteuid() != 0 or owner == 0:
            yield
            return
        os.setegid(existing.stat().st_gid)
        os.seteuid(owner)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(group)

    def linked(self, link: Link) -> str | None:
        """Name of the bundle that a link names, whether it is there or not; None: no link.

        Raises:
            BundleError: it is no link, or one to something else.
        """
        path = self.folder / link
        try:
            target = os.readlink(path)  # noqa: PTH115 - as it is written
        except FileNotFoundError:
            return None
        except OSError as err:
            if err.errno != errno.EINVAL:  # EINVAL: it is no link
                raise BundleError(f"{printable(path)}: cannot be read: {why(err)}") from err
            raise BundleError(
                f"{printable(path)}: is not the link that 'cxr-edge bundle install' makes; move it "
                "away, and install what it holds"
            ) from err
        if not _NAME.fullmatch(target):
            raise BundleError(
                f"{printable(path)}: leads to {printable(target)!r}, expected a bundle beside it; "
                "remove the link, and install a bundle"
            )
        return target

    def set_link(self, link: Link, name: str | None) -> None:
        """Let a link name another bundle, or, with None, remove it.

        Raises:
            OSError: the operating system refuses; the link is as it was.
        """
        path, new = self.folder / link, self.folder / _NEW_LINK
        with self.as_owner():
            if name is None:
                path.unlink(missing_ok=True)
            else:
                new.unlink(missing_ok=True)
                new.symlink_to(name)
                new.replace(path)
            sync_folder(self.folder)

    def read_pending(self) -> Pending | None:
        """Read the change that is not confirmed; None: there is none.

        Raises:
            BundleError: the file cannot be read or is malformed.
        """
        path = self.folder / _PENDING
        if not os.path.lexists(path):
            return None
        data = read_file(
            path, max_bytes=_MAX_PENDING_BYTES, error=BundleError, follow_symlinks=False
        )
        pending = documents.parse(data, Pending, name=printable(path), error=BundleError)
        if not all(_NAME.fullmatch(name) for name in (pending.new, pending.old or pending.new)):
            raise BundleError(f"{printable(path)}: names no bundle of the folder")
        return pending

    def write_pending(self, pending: Pending | None) -> None:
        """Write the change that begins, or remove the one that is settled.

        Raises:
            OutputError: it cannot be written.
        """
        path = self.folder / _PENDING
        with self.as_owner():
            if pending:
                write_file(path, documents.dump(pending))
            else:
                remove_file(path)
            sync_folder(self.folder)

    def add(self, source: Bundle, check: Callable[[Bundle], None]) -> str:
        """Copy a bundle, check the copy and give it its name; a damaged copy there is mended.

        Args:
            source: the bundle; every file is checked against its hash while it is copied.
            check: raises if the copy must not be used. It has no name yet.

        Returns:
            Its name.

        Raises:
            BundleError: a file of the source is absent or changed, or its name is taken by
                something else.
            OutputError: a file cannot be written.
            OSError: as above.
        """
        name = source.manifest.sha256[:16]
        place, incoming = self.folder / name, self.folder / _INCOMING
        if os.path.lexists(place) and not _is_own_folder(place):
            raise BundleError(f"{printable(place)}: is no folder; remove it")
        with self.as_owner():
            _remove(incoming)
        target = place if place.exists() else incoming
        try:
            for file, data in contents_of(source):
                with self.as_owner():
                    if not holds_bytes(target / file, data):
                        write_file(target / file, data)
            with self.as_owner():
                sync_folder(target)
            check(Bundle.open(target))
            if target == incoming:
                with self.as_owner():
                    incoming.rename(place)
                    sync_folder(self.folder)
        finally:
            with self.as_owner():
                _remove(incoming)
        return name

    def sweep(self) -> None:
        """Remove bundles that no link names, and what a killed installation left.

        What cannot be removed is a line in the log ``cxr_edge``.
        """
        kept = {self.linked("current"), self.linked("previous")}
        if pending := self.read_pending():
            kept |= {pending.new, pending.old}
        unused = [name for name in self.names() if name not in kept]
        try:
            with self.as_owner():
                for name in (*unused, _INCOMING, _NEW_LINK):
                    _remove(self.folder / name)
        except OSError as err:
            reason = why(err)
            notice(f"{printable(self.folder)}: an unused bundle could not be removed: {reason}")


def folder_of_current(bundle: PathLike) -> Path | None:
    """The folder of installed bundles whose ``current`` a path is; None: it is no such link.

    Args:
        bundle: what a service is told to serve, such as ``/var/lib/cxr-edge/bundles/current``.
    """
    path = Path(bundle)
    if path.name != "current" or not path.is_symlink():
        return None
    return path.parent if _NAME.fullmatch(os.readlink(path)) else None  # noqa: PTH115 - text


def _is_own_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove(path: Path) -> None:
    if _is_own_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _reported(folder: Path) -> Iterator[None]:
    """Raise what the operating system refuses as an error of ours; a busy folder stays as it is.

    Raises:
        OutputError: the folder or something in it cannot be written.
        TimeoutError: another process is at work there.
    """
    try:
        yield
    except TimeoutError:
        raise
    except OSError as err:
        path = err.filename if isinstance(err.filename, str) else folder
        reason = why(err)
        raise OutputError(f"{printable(path)}: cannot be written: {reason}") from err
