"""Names that a user may get wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from cxr_edge.errors import UsageError


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that does not exist: it names the nearest one, and all there are.

    Args:
        kind: what is named, for example ``artifact``.
        name: what was given.
        known: what there is.
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, 1, 0.4)
    hint = f"did you mean {near[0]}? " if near else ""
    return UsageError(f"no {kind} is called {name!r}; {hint}there are {', '.join(names)}")
