"""Moves files out of the inbox: nothing is overwritten, nothing new is moved by mistake."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cxr_edge.device.temporary import unfinished_file
from cxr_edge.files import sync_folder

_LONGEST_NAME = 255
"""Bytes of a name on Linux's file systems."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What changes when a file does."""

    inode: int
    size: int
    mtime_ns: int


def signature_of(path: Path) -> Signature | None:
    """The signature of a regular file; None: it is none, or is gone.

    Raises:
        OSError: it cannot be examined.
    """
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return Signature(status.st_ino, status.st_size, status.st_mtime_ns)


def kept_name(folder: Path, path: str, content: str) -> str:
    """Where a file is to be kept, relative to ``folder``: its path, if no other file is there.

    The same file gets the same name again, so that a move that was cut short is made again.

    Args:
        folder: of processed or failed files.
        path: of the file, relative to the inbox.
        content: hash of its bytes.
    """
    name = PurePosixPath(path)
    if len(os.fsencode(name.name)) <= _LONGEST_NAME and not os.path.lexists(folder / path):
        return path
    ending = f".{content[:12]}{name.suffix}"
    stem = os.fsencode(name.stem)[: _LONGEST_NAME - len(os.fsencode(ending))]
    return str(name.with_name(stem.decode(errors="ignore") + ending))


def move(file: Path, seen: Signature, target: Path) -> bool:
    """Move a file that was recorded; leave it alone if it has changed meanwhile.

    Args:
        file: in the inbox.
        seen: its signature when it was read.
        target: its new path; folders are made.

    Returns:
        Whether it is out of the inbox; False: another file has its name now, which is new.

    Raises:
        OSError: it cannot be moved.
    """
    if signature_of(file) != seen:
        return not os.path.lexists(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        file.rename(target)
    except FileNotFoundError:  # an emptied folder was deleted in this instant
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    except OSError as err:
        if err.errno != errno.EXDEV:
            raise
        return _move_across(file, seen, target)
    with contextlib.suppress(FileNotFoundError):
        moved = target.lstat()
        if (moved.st_ino, moved.st_size, moved.st_mtime_ns) != (
            *(seen.inode, seen.size, seen.mtime_ns),
        ):
            _give_back(target, file)  # it was replaced in the instant before it was moved
            return False
    return True


def _move_across(file: Path, seen: Signature, target: Path) -> bool:
    """Move a file to another file system: after a crash it is there, here, or in both places."""
    with unfinished_file(target) as copy:
        shutil.copyfile(file, copy, follow_symlinks=False)
        with copy.open("rb+") as copied:
            os.fsync(copied.fileno())
        if signature_of(file) != seen:
            return False
        copy.replace(target)
    sync_folder(target.parent)
    file.unlink()
    return True


def _give_back(moved: Path, file: Path) -> None:
    """Put a file back into the inbox, under another name if its own is taken again."""
    for name in (file.name, f"{file.stem}.{os.urandom(4).hex()}{file.suffix}"):
        with contextlib.suppress(FileExistsError):
            os.link(moved, file.with_name(name))
            break
    moved.unlink()
