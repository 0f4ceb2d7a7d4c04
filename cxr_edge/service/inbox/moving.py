"""Moves files out of the inbox: nothing is overwritten, nothing that is new is moved.

A file is first moved to a hidden folder beside it, where no sender replaces it any more, and looked
at again. Only what was recorded goes on to its place. What a process that died left in a hidden
folder is put back by :func:`recover`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cxr_edge.device.temporary import unfinished_file
from cxr_edge.files import printable, sync_folder

_CLAIMED = ".cxr-edge-claimed-"
"""Begins the name of the folder beside a file in which it is looked at again."""

_LONGEST_NAME = 240
"""Bytes of a kept file's name: with the ending of its heat map, no more than Linux allows."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What changes when a file does."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int = field(compare=False)
    """Changes with its name too, so only a file that stays in place is compared by it."""

    @classmethod
    def of(cls, status: os.stat_result) -> Signature:
        """The signature of a file's status."""
        return cls(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def __str__(self) -> str:
        return f"{self.inode} {self.size} {self.mtime_ns} {self.ctime_ns}"


def signature_of(path: Path) -> Signature | None:
    """The signature of a regular file; None: it is none, or is gone.

    Raises:
        OSError: it cannot be examined.
    """
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Signature.of(status) if stat.S_ISREG(status.st_mode) else None


def stored_path(path: str) -> str:
    """A path as the store has it: printable, and another for each other path."""
    return printable(path.replace("\\", "\\\\"))


def kept_name(path: str, content: str) -> str:
    """Where a file is kept, relative to the folder of processed or failed files.

    The hash in the name makes it the place of this delivery alone, so that nothing is overwritten,
    and a move that was cut short leads to the same place again.

    Args:
        path: of the file, relative to the inbox.
        content: hash of its bytes.
    """
    name = PurePosixPath(path)
    ending = f".{content[:12]}{name.suffix}"
    if len(os.fsencode(ending)) > _LONGEST_NAME // 2:  # no suffix that a program reads
        ending = f".{content[:12]}"
    stem = os.fsencode(name.stem)[: _LONGEST_NAME - len(os.fsencode(ending))]
    return str(name.with_name(stem.decode(errors="ignore") + ending))


def move(file: Path, seen: Signature, target: Path) -> bool:
    """Move a file that was recorded; leave it alone if it has changed meanwhile.

    Args:
        file: in the inbox.
        seen: its signature when it was read.
        target: its new path, which belongs to it; folders are made.

    Returns:
        Whether it is out of the inbox; False: another file has its name now, which is new.

    Raises:
        OSError: it cannot be moved.
        OutputError: it cannot be copied to another file system.
    """
    if signature_of(file) != seen:
        return not os.path.lexists(file)
    _make_parent(target)
    claimed = file.parent / f"{_CLAIMED}{os.urandom(4).hex()}" / file.name
    claimed.parent.mkdir(0o700)  # a folder or link that somebody else made is not used
    try:
        file.rename(claimed)
    except FileNotFoundError:
        return not os.path.lexists(file)
    finally:
        _remove_if_empty(claimed.parent)
    try:
        if signature_of(claimed) != seen:
            return False  # it was replaced in the instant before: given back below
        _place(claimed, target)
    finally:
        if os.path.lexists(claimed):
            _give_back(claimed, file)
        _remove_if_empty(claimed.parent)
    return True


def recover(inbox: Path) -> None:
    """Put back what a process that died had claimed; each is then dealt with as any file.

    Raises:
        OSError: it cannot be put back.
    """
    for root, folders, _ in os.walk(inbox):
        for name in [name for name in folders if name.startswith(_CLAIMED)]:
            folders.remove(name)
            claimed_folder = Path(root, name)
            if claimed_folder.is_symlink():  # a sender's: what it leads to is not theirs to move
                continue
            for claimed in claimed_folder.iterdir():
                _give_back(claimed, Path(root, claimed.name))
            _remove_if_empty(claimed_folder)


def _make_parent(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)


def _place(claimed: Path, target: Path) -> None:
    try:
        try:
            claimed.rename(target)
        except FileNotFoundError:  # an emptied folder was deleted in this instant
            _make_parent(target)
            claimed.rename(target)
        claimed.unlink(missing_ok=True)  # renaming one link of a file to another does nothing
    except OSError as err:
        if err.errno != errno.EXDEV:
            raise
        with unfinished_file(target) as copy:
            shutil.copyfile(claimed, copy, follow_symlinks=False)
            with copy.open("rb+") as copied:
                os.fsync(copied.fileno())
            copy.replace(target)
        sync_folder(target.parent)
        claimed.unlink()


def _give_back(claimed: Path, file: Path) -> None:
    """Put a file back into the inbox, under another name if its own is taken again."""
    for name in (file.name, f"{file.stem}.{os.urandom(4).hex()}{file.suffix}"):
        back = file.with_name(name)
        try:
            os.link(claimed, back)  # unlike renaming, never replaces a file
        except FileExistsError:
            continue
        except OSError:  # a file system without links
            if os.path.lexists(back):
                continue
            claimed.rename(back)
            return
        claimed.unlink()
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file))


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
