"""Commit a bundle: whatever happens, the folder holds either the old bundle or the new one.

File names contain part of the content's hash, so new files never overwrite old ones. Replacing
``manifest.json`` is the commit: before it every failure is an error, after it a line in the log.
Then files of older bundles are removed.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_edge.bundle.manifest import (
    MANIFEST_NAME,
    FileRecord,
    Manifest,
    dump_manifest,
    parse_manifest,
)
from cxr_edge.bundle.model_card import CARD_NAME, model_card
from cxr_edge.bundle.signature import sign, signature_name
from cxr_edge.device.temporary import FILE_PREFIX, alone_in
from cxr_edge.errors import OutputError
from cxr_edge.files import (
    atomic_path,
    printable,
    sha256,
    sync_folder,
    why,
    write_file,
)
from cxr_edge.reporting import notice

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_PROBE_BYTES = 2**20
_HASHED_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*\.[0-9a-f]{12}\.(onnx|tflite|ncnn|keras|npz|sig)")


def record_file(stem: str, suffix: str, data: bytes) -> FileRecord:
    """The record of a bundle's file; its name contains the first 12 digits of its hash."""
    digest = sha256(data)
    return FileRecord(f"{stem}.{digest[:12]}.{suffix}", digest, len(data))


def check_target(folder: Path) -> None:
    """Refuse, before any work is done, a folder that a bundle cannot be written to.

    Raises:
        OutputError: it holds other files, is a file, has no name of its own, or it or the folder
            around it cannot be written to.
    """
    name = printable(folder)
    if folder.name in ("", ".."):
        raise OutputError(
            f"{name}: a bundle needs a folder of its own, and its report goes beside it; "
            f"say for example -o {printable(folder / 'bundle')}"
        )
    try:
        if folder.exists():
            _refuse_strangers(folder, name)
        for place in {_nearest_folder(folder), _nearest_folder(folder.parent)}:
            _try_to_write(place)
    except OSError as err:
        raise OutputError(f"{name}: cannot be written: {why(err)}") from err


def written_at(folder: Path) -> datetime.datetime | None:
    """When the bundle in a folder was written, local time; None: there is none."""
    try:
        seconds = (folder / MANIFEST_NAME).stat().st_mtime
    except OSError:
        return None
    return datetime.datetime.fromtimestamp(seconds).astimezone()


def _refuse_strangers(folder: Path, name: str) -> None:
    if not folder.is_dir():
        raise OutputError(f"{name}: is a file, expected a folder for the bundle")
    if (folder / MANIFEST_NAME).exists():
        return
    strangers = sorted(p.name for p in folder.iterdir() if not _is_ours(p.name))
    if strangers:
        raise OutputError(
            f"{name}: holds {printable(strangers[0])!r} and no bundle; choose another folder"
        )


def _nearest_folder(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _try_to_write(folder: Path) -> None:
    """Write a block and remove it: permissions do not tell of full or read-only disks."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(bytes(_PROBE_BYTES))
        probe.flush()
        os.fsync(probe.fileno())


def commit(
    folder: Path,
    manifest: Manifest,
    contents: Mapping[str, bytes],
    *,
    report: tuple[Path, bytes] | None = None,
    key: Ed25519PrivateKey | None = None,
) -> None:
    """Write a bundle.

    Replacing the manifest is the commit. What fails after it (the card, the report, old files that
    cannot be removed) does not make the new bundle wrong: it is one line in the log ``cxr_edge``.

    Args:
        folder: the bundle's folder; created if need be.
        manifest: lists every file.
        contents: content of the files by name.
        report: a file outside the bundle that is replaced together with it, and its content.
        key: signs the manifest; None: the bundle is not signed.

    Raises:
        OutputError: a file could not be written. The old bundle and report are as they were.
    """
    written = dump_manifest(manifest)
    parsed = parse_manifest(written)
    card, signature = model_card(parsed).encode(), signature_name(parsed.sha256)
    listed = {MANIFEST_NAME, CARD_NAME, *(record.file for record in manifest.files)}
    with _alone(folder):
        with contextlib.ExitStack() as stack:
            for path, data in filter(None, (report, (folder / CARD_NAME, card))):
                stack.enter_context(_renamed_after(path, data))
            for record in manifest.files:
                write_file(folder / record.file, contents[record.file])
            if key:
                write_file(folder / signature, sign(written, key))
            sync_folder(folder)
            write_file(folder / MANIFEST_NAME, written)
        _tidy(folder, listed | ({signature} if key else set()))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let exports into one folder take turns: each removes files that no manifest lists yet.

    Raises:
        OutputError: the folder cannot be made, or another export does not end.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(alone_in(folder))
        except OSError as err:
            reason = why(err)
            raise OutputError(f"{printable(folder)}: cannot be written: {reason}") from err
        yield


@contextlib.contextmanager
def _renamed_after(path: Path, data: bytes) -> Iterator[None]:
    """Write a file beside its place now, and rename it when the commit in the block has stood.

    Raises:
        OutputError: it could not be written before the block.
    """
    stood = False
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
            yield
            stood = True
    except OutputError as err:
        if not stood:
            raise
        _say_it_stands(err)


def _tidy(folder: Path, listed: set[str]) -> None:
    """Flush the new names to disk and remove files of older bundles."""
    try:
        sync_folder(folder)
    except OutputError as err:
        _say_it_stands(err)
    try:
        for path in folder.iterdir():
            if _is_ours(path.name) and path.name not in listed:
                path.unlink()
    except OSError as err:
        reason = why(err)
        _say_it_stands(f"{printable(folder)}: old files could not be removed: {reason}")


def _say_it_stands(problem: object) -> None:
    notice(f"{problem}; the new bundle is in place and whole, the next export tries again")


def _is_ours(name: str) -> bool:
    """Whether an export writes files of this name, temporary ones included."""
    return (
        name in (MANIFEST_NAME, CARD_NAME)
        or name.startswith(FILE_PREFIX)
        or bool(_HASHED_NAME.fullmatch(name))
    )
