"""Moves files out of the inbox: nothing is overwritten, nothing that is new is moved.

A file is first moved to a hidden folder beside it, where no sender replaces it any more, and looked
at again. Only what was recorded goes on to its place. What a process that died left in a hidden
folder is found by the next sweep: it goes on to its place if it has a result, and is given back
otherwise.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cxr_edge.device.temporary import unfinished_file
from cxr_edge.files import printable, sha256, sync_folder

_CLAIMED = ".cxr-edge-claimed-"
"""Begins the name of the folder beside a file in which it is looked at again."""
_OWN = f"{_CLAIMED}{os.urandom(4).hex()}-"
"""Begins the names of this process's."""

_LONGEST_NAME = 240
"""Bytes of a kept file's name: with the ending of its heat map, no more than Linux allows."""

_LONGEST_SUFFIX = 20

_numbers = itertools.count()


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
    ending, last = f".{content[:12]}{name.suffix}", name.stem
    if len(os.fsencode(last + ending)) > _LONGEST_NAME:  # the hash is of what is cut off, too
        ending = f".{sha256(f'{path} {content}'.encode())[:24]}"
        if len(os.fsencode(name.suffix)) <= _LONGEST_SUFFIX:
            ending += name.suffix
        last = _cut(last, _LONGEST_NAME - len(os.fsencode(ending)))
    folders = [
        part
        if len(os.fsencode(part)) <= _LONGEST_NAME
        else f"{_cut(part, _LONGEST_NAME - 25)}.{sha256(part.encode())[:24]}"
        for part in name.parts[:-1]
    ]
    return str(PurePosixPath(*folders, last + ending))


def _cut(text: str, length: int) -> str:
    """The beginning of a text, of at most so many bytes."""
    return os.fsencode(text)[:length].decode(errors="ignore")


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
    target.parent.mkdir(parents=True, exist_ok=True)
    claimed = file.parent / f"{_OWN}{next(_numbers)}" / file.name
    claimed.parent.mkdir(0o700)  # a folder or link that somebody else made is not used
    try:
        try:
            file.rename(claimed)
        except FileNotFoundError:
            return not os.path.lexists(file)
        if signature_of(claimed) != seen:
            return False  # it was replaced in the instant before: given back below
        place(claimed, target)
        return True
    finally:
        if os.path.lexists(claimed):
            give_back(claimed)
        remove_if_empty(claimed.parent)


def is_leftover(folder: Path) -> bool:
    """Whether a folder in the inbox is where a process that died claimed files.

    A link of that name is a sender's, and what it leads to is not theirs to move.
    """
    name = folder.name
    is_claimed = name.startswith(_CLAIMED) and not name.startswith(_OWN)
    return is_claimed and not folder.is_symlink()


def place(claimed: Path, target: Path) -> None:
    """Move a claimed file to its place.

    Raises:
        OSError: it cannot be moved.
        OutputError: it cannot be copied to another file system.
    """
    try:
        try:
            claimed.rename(target)
        except FileNotFoundError:  # an emptied folder was deleted in this instant
            target.parent.mkdir(parents=True, exist_ok=True)
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


def give_back(claimed: Path) -> None:
    """Put a claimed file back into the inbox, under another name if its own is taken again.

    Raises:
        OSError: it cannot be put back.
    """
    file = claimed.parent.parent / claimed.name
    ending = f".{os.urandom(4).hex()}{file.suffix[:_LONGEST_SUFFIX]}"
    other = _cut(file.stem, _LONGEST_NAME - len(os.fsencode(ending))) + ending
    for back in (file, file.with_name(other)):
        try:
            os.link(claimed, back)  # unlike renaming, never replaces a file
        except FileExistsError:
            if not os.path.samestat(back.lstat(), claimed.lstat()):
                continue  # else a process died after it had put it back
        except OSError:  # a file system without links
            if os.path.lexists(back):
                continue
            claimed.rename(back)
            return
        claimed.unlink()
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file))


def remove_if_empty(folder: Path) -> None:
    """Remove a folder unless something is in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()
