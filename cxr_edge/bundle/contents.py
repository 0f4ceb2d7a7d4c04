"""Every file that makes a bundle, for copying it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from cxr_edge.bundle.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, parse_manifest
from cxr_edge.bundle.model_card import CARD_NAME, model_card
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.signature import SIGNATURE_BYTES, signature_name
from cxr_edge.errors import BundleError
from cxr_edge.files import printable, read_file


def contents_of(source: Bundle) -> Iterator[tuple[str, bytes]]:
    """Read the files that make a bundle one after another, checked, and the manifest last.

    Yields:
        Name and content.


    Raises:
        BundleError: one is absent, changed or a link, or the bundle was replaced meanwhile.
    """
    manifest, signature = source.manifest, source.folder / signature_name(source.manifest.sha256)
    for record in manifest.files:
        yield record.file, source.read(record)
    yield CARD_NAME, model_card(manifest).encode()
    if os.path.lexists(signature):
        yield (
            signature.name,
            read_file(
                signature, max_bytes=SIGNATURE_BYTES, error=BundleError, follow_symlinks=False
            ),
        )
    path = source.folder / MANIFEST_NAME
    data = read_file(path, max_bytes=MAX_MANIFEST_BYTES, error=BundleError, follow_symlinks=False)
    if parse_manifest(data, printable(path)).sha256 != manifest.sha256:
        raise BundleError(
            f"{printable(source.folder)}: was replaced by another bundle while it was copied; "
            "install it again"
        )
    yield MANIFEST_NAME, data


def holds_bytes(path: Path, data: bytes) -> bool:
    """Whether a file has this content; False where it cannot be read, so that it is replaced."""
    try:
        return not path.is_symlink() and path.read_bytes() == data
    except OSError:
        return False
