"""Committing a bundle: whatever happens, the folder holds the old bundle or the new one, whole.

Files carry part of their hash in their name, so new ones never overwrite old ones; replacing
``manifest.json`` is the commit; then everything of ours that it does not list is swept.
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
    """Describe a file of a bundle; its name contains the first 12 digits of its hash."""
    digest = sha256(data)
    return FileRecord(f"{stem}.{digest[:12]}.{suffix}", digest, len(data))


def check_target(folder: Path) -> None:
    """Refuse a folder that is neither a bundle nor empty, before any work is done.

    Raises:
        OutputError: it holds something else, or is a file.
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
        contents: the files' bytes by name.

    Raises:
        OutputError: something could not be written; an old bundle there is still whole. Or the new
            one is, where only the name of its card could not be changed.
    """
    for record in manifest.files:
        write_file(folder / record.file, contents[record.file])
    sync_folder(folder)
    written = dump_manifest(manifest)
    with atomic_path(folder / CARD_NAME) as card:  # it follows the manifest, never precedes it
        card.write_bytes(model_card(parse_manifest(written)).encode())
        write_file(folder / MANIFEST_NAME, written)
    listed = {MANIFEST_NAME, CARD_NAME, *(record.file for record in manifest.files)}
    with contextlib.suppress(OSError):  # the bundle is whole; the next export sweeps again
        for path in folder.iterdir():
            if _is_ours(path.name) and path.name not in listed:
                path.unlink()


def _is_ours(name: str) -> bool:
    """Whether an export wrote a file of this name, finished or not."""
    return (
        name in (MANIFEST_NAME, CARD_NAME)
        or name.startswith(TEMPORARY_PREFIX)
        or bool(_HASHED_NAME.fullmatch(name))
    )
