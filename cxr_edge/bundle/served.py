"""What a running service says of the bundles that it has looked at, for whoever installs one.

Two files in the folder of the installed bundles (:mod:`cxr_edge.bundle.installed`)::

    service.lock   held with flock while a service runs: it, not a process id, says that one does
    served.json    what the service thinks of the bundle that it looked at last

A service, told to serve ``current`` of such a folder, calls
:func:`cxr_edge.bundle.upgrade.settle_bundles` and :func:`hold_service_lock` when it starts, and
:func:`announce_served` then and each time that it sees ``current`` name another bundle than before,
the one that it serves already included: whoever installs removes ``served.json`` before the change
and waits for it to come back.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cxr_edge import documents
from cxr_edge.errors import BundleError, OutputError, UsageError
from cxr_edge.files import printable, read_file, remove_file, why, write_file

SERVICE_LOCK = "service.lock"
SERVED_NAME = "served.json"

_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MAX_BYTES = 2**16
_LOCK_WAIT_S, _LOCK_TRIES = 1.0, 20


@dataclass(frozen=True, slots=True)
class Served:
    """Which bundle a service serves, and what came of the last one that it looked at."""

    bundle: str
    """SHA-256 of the manifest of the bundle that it serves; empty: none."""
    checked: str
    """SHA-256 of the manifest of the bundle that it looked at last."""
    ok: bool
    """Whether it serves that one, after its golden check."""
    reason: str
    """Why not, on one line; empty if it does."""


@contextlib.contextmanager
def hold_service_lock(folder: Path) -> Iterator[None]:
    """Say that a service runs while the block does; the kernel says so no longer if it is killed.

    Args:
        folder: of the installed bundles.

    Raises:
        UsageError: another service runs on the folder.
        OutputError: the lock's file cannot be made.
    """
    path = folder / SERVICE_LOCK
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o644)
    except OSError as err:
        raise OutputError(f"{printable(path)}: cannot be written: {why(err)}") from err
    try:
        _lock_soon(lock, path)
        yield
    finally:
        os.close(lock)


def _lock_soon(lock: int, path: Path) -> None:
    """Take the lock, which :func:`service_is_running` may hold for a moment.

    Raises:
        UsageError: a service holds it.
        OutputError: the file system has no locks.
    """
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_WAIT_S / _LOCK_TRIES)
        except OSError as err:
            raise OutputError(f"{printable(path)}: cannot be locked: {why(err)}") from err
        else:
            return
    raise UsageError(
        f"{printable(path)}: another service runs on this folder; stop it, or name another folder"
    )


def service_is_running(folder: Path) -> bool:
    """Whether a service holds the lock of a folder of installed bundles.

    Raises:
        OSError: the lock's file cannot be opened.
    """
    try:
        lock = os.open(folder / SERVICE_LOCK, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def announce_served(folder: Path, served: Served) -> None:
    """Write what a service thinks of the bundle that it has just looked at.

    Raises:
        OutputError: it cannot be written.
    """
    write_file(folder / SERVED_NAME, documents.dump(served))


def read_served(folder: Path) -> Served | None:
    """Read what a service announced last; None: nothing since the last change of ``current``.

    Raises:
        BundleError: the file cannot be read or is malformed.
    """
    path = folder / SERVED_NAME
    if not path.exists():
        return None
    data = read_file(path, max_bytes=_MAX_BYTES, error=BundleError, follow_symlinks=False)
    return documents.parse(data, Served, name=printable(path), error=BundleError)


def forget_served(folder: Path) -> None:
    """Remove what was announced, so that whatever comes next is about the next bundle.

    Raises:
        OutputError: it cannot be removed.
    """
    remove_file(folder / SERVED_NAME)
