"""What a slow command checks before it loads anything slow."""

from __future__ import annotations

import os
from pathlib import Path

from cxr_edge.errors import OutputError
from cxr_edge.extras import require_installed
from cxr_edge.files import printable


def check_writable(folder: Path, file: Path | None = None) -> None:
    """Refuse an output folder that cannot be written or made, without making it.

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
        raise OutputError(f"{name}: cannot be written: {err.strerror}") from err
    if not is_folder:
        raise OutputError(f"{name}: cannot be written: {printable(existing)} is a file")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"{name}: cannot be written: no permission in {printable(existing)}")


def check_keras(*, user: str, extra: str) -> None:
    """Refuse what would lack Keras or its backend later; neither is imported.

    Args:
        user: what needs Keras, such as ``cxr-edge train``.
        extra: brings it.

    Raises:
        MissingExtraError: Keras or its backend is not installed.
    """
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    require_installed(["keras", backend], extra, user=user)
