"""What a slow command checks and says before it loads anything slow."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cxr_edge.cli.console import Terminal
from cxr_edge.errors import OutputError
from cxr_edge.extras import require_installed
from cxr_edge.files import printable

_BACKENDS = {"tensorflow": "TensorFlow", "torch": "PyTorch", "jax": "JAX"}


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


def announce_keras(terminal: Terminal, *, user: str, extra: str) -> None:
    """Say that Keras is being loaded, which takes ten seconds; nothing where it is there already.

    Args:
        terminal: shows the line.
        user: what needs Keras, such as ``cxr-edge train``.
        extra: brings it.

    Raises:
        MissingExtraError: Keras or its backend is not installed.
    """
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    require_installed(["keras", backend], extra, user=user)
    if "keras" not in sys.modules:
        terminal.say(f"loading {_BACKENDS.get(backend, backend)} …")
