"""Bounded reading of regular files, and atomic writing."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cxr_edge.device.temporary import unfinished_file
from cxr_edge.errors import CxrEdgeError, OutputError

PathLike = str | os.PathLike[str]
"""A path as callers of the public functions give it."""


def read_file(
    path: str | os.PathLike[str],
    *,
    max_bytes: int,
    error: type[CxrEdgeError],
    follow_symlinks: bool = True,
    expected_bytes: int | None = None,
) -> bytes:
    """Read a whole regular file.

    Folders, FIFOs and devices are refused without being read, and so is a file that changes its
    size meanwhile.

    Args:
        path: the file.
        max_bytes: largest size accepted.
        error: type of the error to raise.
        follow_symlinks: whether the path may be a symbolic link.
        expected_bytes: the size that was recorded for the file; None: any.

    Raises:
        error: the file is absent, not regular, not readable, empty, too large or changing, or has
            not its recorded size.
    """
    name = os.fspath(path)
    if not name:
        raise error("an empty path, expected the name of a file")
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow_symlinks else os.O_NOFOLLOW)
    try:
        descriptor = os.open(name, flags)
    except (OSError, ValueError) as err:  # ValueError: a NUL in the name
        reason = why(err) if isinstance(err, OSError) else str(err)
        raise error(f"{printable(name)}: cannot be opened: {reason}") from err
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{printable(name)}: not a regular file; name one that is")
        if status.st_size == 0:
            raise error(f"{printable(name)}: the file is empty; get it again")
        if expected_bytes not in (None, status.st_size):
            raise error(
                f"{printable(name)}: {status.st_size:,} bytes, {expected_bytes:,} were recorded; "
                "the file changed, restore it or export again"
            )
        if status.st_size > max_bytes:
            raise error(f"{printable(name)}: {status.st_size:,} bytes, the limit is {max_bytes:,}")
        try:
            data = _read_whole(descriptor, status.st_size)
        except OSError as err:
            raise error(f"{printable(name)}: cannot be read: {why(err)}") from err
        except MemoryError as err:
            raise error(f"{printable(name)}: not enough memory to read it; free some") from err
    finally:
        os.close(descriptor)
    if len(data) != status.st_size:
        raise error(f"{printable(name)}: changed while it was read; try again when it is complete")
    return data


def _read_whole(descriptor: int, size: int) -> bytes:
    """Read until the end or one byte past ``size``, whichever comes first."""
    parts = []
    left = size + 1
    while left and (part := os.read(descriptor, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def sha256(data: bytes) -> str:
    """SHA-256 of ``data`` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def printable(name: str | os.PathLike[str]) -> str:
    """A file name, or other text, on one line: control and undecodable characters escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in os.fspath(name))


_ADVICE = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EACCES: "allow it",
    errno.EPERM: "allow it",
    errno.ENAMETOOLONG: "shorten it",
    errno.ELOOP: "name the file that it leads to",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EROFS: "choose another place",
}


def why(err: OSError) -> str:
    """What the system says of an error, and what to do about it where that is known."""
    advice = _ADVICE.get(err.errno or 0)
    return f"{err.strerror or err}; {advice}" if advice else str(err.strerror or err)


def write_file(path: Path, data: bytes) -> None:
    """Write a file atomically: after a crash it has its old content or the new, never a part.

    Raises:
        OutputError: it could not be written; the old file is untouched.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def remove_file(path: Path) -> None:
    """Remove a file if it is there.

    Raises:
        OutputError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as err:
        raise OutputError(f"{printable(path)}: cannot be removed: {why(err)}") from err


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, which it replaces if the block succeeds.

    For libraries that only write to a path. The temporary name has the same suffix. One that a
    killed process left is deleted by the next that writes to the folder.

    Raises:
        OutputError: the folder or the file could not be written; the old file is untouched.
    """
    yielded, name = False, printable(path)
    try:
        _refuse_special(path, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished_file(path) as temporary:
            yielded = True
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            with contextlib.suppress(OSError):  # the file is already replaced
                _sync(path.parent)
    except OSError as err:
        raise OutputError(f"{name}: cannot be written: {why(err)}") from err
    except ValueError as err:  # a NUL in the name
        if yielded:
            raise
        raise OutputError(f"{name}: cannot be written: {err}") from err


def _refuse_special(path: Path, name: str) -> None:
    """Refuse to replace a folder, a device or a FIFO.

    Raises:
        OutputError: ``path`` exists and is no regular file.
        OSError: it cannot be examined.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise OutputError(f"{name}: is {kind}; name a file to write")


def is_folder(path: PathLike) -> bool:
    """Whether a path is a folder; False where this cannot be found out, which reading will say."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116 - Path.is_dir raises
    except (OSError, ValueError):
        return False


def why_no_file(path: Path) -> str:
    """Why a path cannot be read as a file, such as ``no such file``; empty: it may be."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "a link to a file that is not there" if path.is_symlink() else "no such file"
    except OSError as err:
        return f"cannot be read: {why(err)}"
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a FIFO, no file" if stat.S_ISFIFO(mode) else "a device or socket, no file"


def check_parent(file: Path) -> None:
    """Refuse a file in a folder that is not there: only folders of our own are made.

    Raises:
        OutputError: there is no such folder.
    """
    try:
        file.parent.stat()
    except FileNotFoundError as err:
        raise OutputError(
            f"{printable(file)}: cannot be written: no such folder; make it, or check the path"
        ) from err
    except (OSError, ValueError):  # writing says why
        return


def check_writable(folder: Path, file: Path | None = None) -> None:
    """Refuse an output folder that cannot be written or made, without making it.

    What is slow calls this first.

    Args:
        folder: the folder.
        file: what is to be written there, for the message; None: the folder itself.

    Raises:
        OutputError: something of its path is no folder, or this user may not write there.
    """
    name = printable(file or folder)
    try:
        existing = folder.absolute()
        while not existing.exists():
            existing = existing.parent
        is_folder = existing.is_dir()
    except OSError as err:
        raise OutputError(f"{name}: cannot be written: {why(err)}") from err
    if not is_folder:
        raise OutputError(f"{name}: cannot be written: {printable(existing)} is a file")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"{name}: cannot be written: no permission in {printable(existing)}")
    import tempfile  # kept out of every start that writes nothing

    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as err:
        where = printable(existing)
        raise OutputError(f"{name}: cannot be written: {where}: {why(err)}") from err


def optional_path(path: PathLike | None) -> Path | None:
    """A path that a caller may leave out."""
    return None if path is None else Path(path)


def sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that the names in it survive a power cut.

    Raises:
        OutputError: the operating system refused.
    """
    try:
        _sync(folder)
    except OSError as err:
        raise OutputError(f"{folder}: cannot be written: {why(err)}") from err


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
