"""Commit a bundle: whatever happens, the folder holds either the old bundle or the new one.

File names contain part of the content's hash, so new files never overwrite old ones. Replacing
``manifest.json`` is the commit. Then files of older bundles are removed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path

from cxr_edge.bundle.manifest import (
    MANIFEST_NAME,
    FileRecord,
    Manifest,
    dump_manifest,
    parse_manifest,
)
from cxr_edge.bundle.model_card import CARD_NAME, model_card
from cxr_edge.errors import OutputError
from cxr_edge.files import TEMPORARY_PREFIX, atomic_path, sha256, sync_folder, write_file

_HASHED_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*\.[0-9a-f]{12}\.(onnx|tflite|keras|npz)")


def record_file(stem: str, suffix: str, data: bytes) -> FileRecord:
    """The record of a bundle's file; its name contains the first 12 digits of its hash."""
    digest = sha256(data)
    return FileRecord(f"{stem}.{digest[:12]}.{suffix}", digest, len(data))


def check_target(folder: Path) -> None:
    """Refuse, before any work is done, a folder that is neither a bundle nor empty.

    Raises:
        OutputError: it holds other files, or is a file.
    """
    try:
        if not folder.exists():
            return
        if not folder.is_dir():
            raise OutputError(f"{folder}: is a file, expected a folder for the bundle")
        strangers = [p.name for p in folder.iterdir() if not _is_ours(p.name)]
    except OSError as err:
        raise OutputError(f"{folder}: cannot be used: {err.strerror}") from err
    if strangers and not (folder / MANIFEST_NAME).exists():
        raise OutputError(f"{folder}: holds {strangers[0]!r} and no bundle; choose another folder")


def commit(folder: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> None:
    """Write a bundle.

    Args:
        folder: the bundle's folder; created if need be.
        manifest: lists every file.
        contents: content of the files by name.

    Raises:
        OutputError: a file could not be written. The old bundle is intact; or the new one is, if
            only its card could not be renamed.
    """
    for record in manifest.files:
        write_file(folder / record.file, contents[record.file])
    sync_folder(folder)
    written = dump_manifest(manifest)
    with atomic_path(folder / CARD_NAME) as card:  # renamed after the manifest, never before
        card.write_bytes(model_card(parse_manifest(written)).encode())
        write_file(folder / MANIFEST_NAME, written)
    listed = {MANIFEST_NAME, CARD_NAME, *(record.file for record in manifest.files)}
    with contextlib.suppress(OSError):  # harmless: the next export tries again
        for path in folder.iterdir():
            if _is_ours(path.name) and path.name not in listed:
                path.unlink()


def _is_ours(name: str) -> bool:
    """Whether an export writes files of this name, temporary ones included."""
    return (
        name in (MANIFEST_NAME, CARD_NAME)
        or name.startswith(TEMPORARY_PREFIX)
        or bool(_HASHED_NAME.fullmatch(name))
    )
