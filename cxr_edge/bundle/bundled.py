"""The models that the package carries, and what a bundle may be called."""

from __future__ import annotations

import os
from pathlib import Path

from cxr_edge.errors import BundleError
from cxr_edge.files import printable

_PACKAGE = Path(__file__).parents[1]

REFERENCE = _PACKAGE / "reference"
"""The reference model."""

BUNDLED = {"reference": REFERENCE, "compact": _PACKAGE / "compact"}
"""Name → folder. ``compact`` is narrower and was taught by the reference: less exact, faster."""


def is_bundled(name: str | os.PathLike[str] | None) -> bool:
    """Whether this names a model of the package; None is the reference."""
    return name is None or os.fspath(name) in BUNDLED


def similar_name(path: Path) -> str | None:
    """The model of the package that an absent path was probably meant to name; None: no model."""
    import difflib  # kept out of every start that makes no mistake

    if len(path.parts) != 1:
        return None
    return next(iter(difflib.get_close_matches(path.name.lower(), BUNDLED, 1, 0.7)), None)


def find_folder(name: str | os.PathLike[str] | None, *, base: Path | None = None) -> Path:
    """The folder of a bundle.

    Args:
        name: its path, or the name of a model of the package; None: the reference.
        base: what a relative path is relative to; None: the working directory.

    Raises:
        BundleError: it is such a name, and a folder here has that name too.
    """
    if name is None:
        return REFERENCE
    path = Path(name) if base is None else base / name
    if not is_bundled(name):
        return path
    if os.path.lexists(path):
        raise BundleError(
            f"{os.fspath(name)}: names a model of the package, and a file or folder here; write "
            f"{printable(path.absolute())} for that one, or run this elsewhere for the package's"
        )
    return BUNDLED[os.fspath(name)]
