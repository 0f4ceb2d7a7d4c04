"""Every error that cxr-edge raises on purpose, in one tree, with its exit code.

::

    CxrEdgeError
    ├── UsageError            2   the call itself is wrong: an option, a name, a path
    │   └── DataError         2   a data folder is not laid out as folders of classes
    ├── MissingExtraError     3   an optional package is not installed
    ├── ImageError            4   an image cannot be read, or must not be trusted
    ├── ModelError            5   a model cannot be used
    │   ├── SpecError             its spec contradicts itself
    │   ├── ProfileError          what `cxr-edge tune` remembered cannot be read
    │   ├── BundleError           its bundle is incomplete, changed or from another version
    │   └── EngineError           an engine refuses it, or answers what no model can answer
    ├── BenchmarkError        5   a benchmark's report cannot be read or compared
    └── ExportError           6   an export failed; what was there before is still there
        ├── ParityError           an exported file does not answer like the original model
        └── OutputError           a result could not be written

A message is one line: the thing, what was found, what was expected, what to do.
Errors of other libraries never leave the package: they are the ``__cause__`` of one of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class CxrEdgeError(Exception):
    """Base of every error of the project; ``exit_code`` is what the command line returns."""

    exit_code: ClassVar[int] = 1


class UsageError(CxrEdgeError):
    """The call itself is wrong: an option, a name or a path."""

    exit_code = 2


class DataError(UsageError):
    """A data folder is not laid out as expected, or holds nothing that can be used."""


class MissingExtraError(CxrEdgeError):
    """An optional package is not installed; the message names the extra that brings it."""

    exit_code = 3


class ImageError(CxrEdgeError):
    """An image cannot be read, exceeds a limit, or is damaged and must not be trusted."""

    exit_code = 4


class ModelError(CxrEdgeError):
    """A model cannot be used."""

    exit_code = 5


class SpecError(ModelError):
    """A model's spec is malformed or contradicts itself."""


class ProfileError(ModelError):
    """A file of ``cxr-edge tune`` is malformed; run it again."""


class BundleError(ModelError):
    """A bundle is incomplete, was changed after its export, or is of another format version."""


class EngineError(ModelError):
    """An engine refuses a model, or its answer is not a probability."""


class BenchmarkError(CxrEdgeError):
    """A benchmark's report cannot be read, or is of something else than it is compared with."""

    exit_code = 5


class ExportError(CxrEdgeError):
    """An export failed; nothing that was there before has been replaced."""

    exit_code = 6


class ParityError(ExportError):
    """An exported file does not answer like the original model."""


class OutputError(ExportError):
    """A result could not be written."""


def first_line(err: BaseException) -> str:
    """The first line of another library's message, which may have many; its type without any."""
    return (str(err).strip().splitlines() or [type(err).__name__])[0][:300]


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that does not exist: it names the nearest one, and all there are.

    Args:
        kind: what is named, for example ``artifact``.
        name: what was given.
        known: what there is.
    """
    import difflib  # only a mistake needs it

    names = list(known)
    near = difflib.get_close_matches(name, names, 1, 0.4)
    hint = f"did you mean {near[0]}? " if near else ""
    return UsageError(f"no {kind} is called {name!r}; {hint}there are {', '.join(names)}")
