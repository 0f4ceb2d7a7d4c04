"""Temporary folders and files that leave nothing behind, also after ``kill -9``.

Each is locked with ``flock`` while its process lives. The next run removes those of the same user
that no process holds; age never matters, and neither do the names of anything else.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cxr_edge.reporting import notice

FILE_PREFIX = ".cxr-edge-"
"""Start of the name of every unfinished file."""

_FOLDER_NAME = re.compile(r"cxr-edge-[0-9a-f]{16}\.tmp")
_FILE_NAME = re.compile(re.escape(FILE_PREFIX) + r"[0-9a-f]{16}(\..*)?")

_TRIES_A_SECOND = 20

_swept: set[str] = set()
"""Folders that this process has swept."""

_process_folder: tuple[int, Path] | None = None
"""The process and its folder."""

_is_owned = False


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield an empty folder of this user alone, which is deleted with all in it afterwards.

    Raises:
        OSError: it cannot be made.
    """
    folder, lock = _make_folder()
    try:
        yield folder
    finally:
        _delete(folder)
        os.close(lock)


@contextlib.contextmanager
def alone_in(folder: Path, *, longest_wait_s: float = 60) -> Iterator[None]:
    """Let no other process into the same block for a folder; wait for one that is there.

    Where the file system has no locks, such as some network shares, this does nothing but say so.

    Args:
        folder: it exists.
        longest_wait_s: seconds to wait for another process.

    Raises:
        OSError: the folder cannot be opened.
        TimeoutError: another process has been in the block for longer.
    """
    lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)  # may be a link to it
    try:
        tries = int(longest_wait_s * _TRIES_A_SECOND)
        for waited in range(tries + 1):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if waited == tries:
                    raise TimeoutError("another process is writing there; try again") from None
                time.sleep(1 / _TRIES_A_SECOND)
            except OSError as err:
                reason = err.strerror or err
                notice(f"{folder}: cannot be locked ({reason}); only one process may write there")
                break
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def unfinished_file(path: Path) -> Iterator[Path]:
    """Yield an empty file beside ``path``, to be renamed to it; deleted if it is not.

    Its name ends with the same suffix.

    Raises:
        OSError: it cannot be made.
        ValueError: a NUL in the name.
    """
    _sweep(path.parent, _FILE_NAME)

    def make() -> Path:
        file = path.with_name(f"{FILE_PREFIX}{os.urandom(8).hex()}{path.suffix}")
        file.touch(exist_ok=False)
        return file

    file, lock = _make_locked(make)
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
        os.close(lock)


def sweep_unfinished(folder: Path) -> None:
    """Delete the unfinished files that killed processes left in a folder."""
    _sweep(folder, _FILE_NAME)


def process_folder() -> Path:
    """A folder for what libraries write, deleted when this process exits.

    Raises:
        OSError: it cannot be made.
    """
    global _process_folder
    if _process_folder is None or _process_folder[0] != os.getpid():
        import atexit

        _process_folder = os.getpid(), _make_folder()[0]  # locked until the process ends
        atexit.register(delete_process_folder)
    return _process_folder[1]


def delete_process_folder() -> None:
    """Delete :func:`process_folder`, where the process ends without Python's own end.

    A forked child leaves its parent's alone.
    """
    if _process_folder and _process_folder[0] == os.getpid():
        _delete(_process_folder[1])


@contextlib.contextmanager
def owned_process() -> Iterator[None]:
    """Let :func:`redirect_libraries` work in this process while the block runs.

    For the command line: in a program that imports this package, files that it makes itself must
    not go to a folder that is deleted.
    """
    global _is_owned
    _is_owned = True
    variable = os.environ.get("TMPDIR")
    setting = getattr(sys.modules.get("tempfile"), "tempdir", None)
    try:
        yield
    finally:
        _is_owned = False
        if os.environ.get("TMPDIR") != variable:
            import tempfile

            tempfile.tempdir = setting
            os.environ.pop("TMPDIR")
            if variable is not None:
                os.environ["TMPDIR"] = variable


def redirect_libraries() -> None:
    """Send the temporary files of libraries and child processes to :func:`process_folder`.

    TensorFlow writes a module for each function that it traces and deletes it at exit only; its
    converters, Keras and onnxruntime write whole models.
    """
    if _is_owned:
        import tempfile

        os.environ["TMPDIR"] = tempfile.tempdir = str(process_folder())


def _make_folder() -> tuple[Path, int]:
    import tempfile  # takes 5 ms, which most starts do not need

    root = Path(tempfile.gettempdir())
    _sweep(root, _FOLDER_NAME)

    def make() -> Path:
        folder = root / f"cxr-edge-{os.urandom(8).hex()}.tmp"
        folder.mkdir(0o700)
        return folder

    return _make_locked(make)


def _make_locked(make: Callable[[], Path]) -> tuple[Path, int]:
    """Make a file or folder and lock it.

    Returns:
        Its path, and the descriptor that holds the lock until it is closed.
    """
    while True:
        path = make()
        try:
            lock = _open(path)
        except FileNotFoundError:  # swept before it was locked: make another
            continue
        with contextlib.suppress(OSError):  # a file system without locks is never swept
            fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_open(path, lock):
            return path, lock
        os.close(lock)


def _sweep(folder: Path, name: re.Pattern[str]) -> None:
    """Delete what killed processes of this user left in a folder, once in this process."""
    if str(folder) in _swept:
        return
    _swept.add(str(folder))
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for path in [Path(entry.path) for entry in entries if name.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):  # in use, of another user, or swept by another
                _delete_unused(path)


def _delete_unused(path: Path) -> None:
    """Delete what no process has locked.

    Raises:
        OSError: it is in use, of another user, or gone.
    """
    lock = _open(path)
    try:
        if os.fstat(lock).st_uid == os.geteuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_open(path, lock):
                _delete(path)
    finally:
        os.close(lock)


def _open(path: Path) -> int:
    """Open a file or folder to lock it; a network's file systems lock what may be written only."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except IsADirectoryError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)


def _is_open(path: Path, descriptor: int) -> bool:
    """Whether a path still names what a descriptor has open."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _delete(path: Path) -> None:
    if path.is_dir():
        import shutil

        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
