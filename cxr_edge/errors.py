"""Every error that cxr-edge raises on purpose, in one tree, with its exit code.

::

    CxrEdgeError
    ├── UsageError            2   an option, a name or a path is wrong
    │   └── DataError         2   a data folder does not hold one folder per class
    ├── MissingExtraError     3   an optional package is not installed
    ├── ImageError            4   an image cannot be read, or is damaged
    │   └── LeftOut               a DICOM file is sound, and holds no image that is wanted
    ├── NoHeatmap             4   a stored result has no heat map
    ├── ModelError            5   a model cannot be used
    │   ├── SpecError             its spec is malformed or contradicts itself
    │   ├── ProfileError          the profile that `cxr-edge tune` wrote cannot be read
    │   ├── BundleError           its bundle is incomplete, changed or of another version
    │   └── EngineError           an engine refuses it, or its output is no probability
    ├── BenchmarkError        5   a benchmark report cannot be read or compared
    ├── StoreError            6   the results of the service cannot be read or written now
    └── ExportError           6   an export failed and replaced nothing
        ├── ParityError           an exported model's decisions or scores differ too much
        └── OutputError           a file could not be written

A message is one line: the thing, what was found, what was expected, what to do. Exceptions of
other libraries do not leave the package; they are the ``__cause__`` of one of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class CxrEdgeError(Exception):
    """Base class of the package's errors."""

    exit_code: ClassVar[int] = 1
    """What the command line exits with."""


class UsageError(CxrEdgeError):
    """An option, a name or a path is wrong."""

    exit_code = 2


class DataError(UsageError):
    """A data folder is not laid out as expected, or holds nothing usable."""


class MissingExtraError(CxrEdgeError):
    """An optional package is not installed; the message names the extra to install."""

    exit_code = 3


class ImageError(CxrEdgeError):
    """An image cannot be read, exceeds a limit, or is damaged."""

    exit_code = 4


class LeftOut(ImageError):  # noqa: N818 - mostly an answer, not a fault
    """A DICOM file is sound and holds no radiograph of the kind asked for; the message says why."""


class NoHeatmap(CxrEdgeError):  # noqa: N818 - mostly an answer, not a fault
    """A stored result has no heat map; the message says why."""

    exit_code = 4


class ModelError(CxrEdgeError):
    """A model cannot be used."""

    exit_code = 5


class SpecError(ModelError):
    """A model's spec is malformed or contradicts itself."""


class ProfileError(ModelError):
    """A profile that ``cxr-edge tune`` wrote is malformed."""


class BundleError(ModelError):
    """A bundle is incomplete, was changed after its export, or is of another format version."""


class EngineError(ModelError):
    """An engine refuses a model, or the model's output is no probability."""


class BenchmarkError(CxrEdgeError):
    """A benchmark report cannot be read, or cannot be compared with another."""

    exit_code = 5


class StoreError(CxrEdgeError):
    """The service's database of results cannot be read or written now, as on a full disk."""

    exit_code = 6


class ExportError(CxrEdgeError):
    """An export failed; existing files were left as they were."""

    exit_code = 6


class ParityError(ExportError):
    """The decisions or scores of an exported model differ too much from the original's."""


class OutputError(ExportError):
    """A file could not be written; an existing one was left as it was."""


def first_line(err: BaseException) -> str:
    """The first line of another library's message, at most 300 characters; else its type."""
    return (str(err).strip().splitlines() or [type(err).__name__])[0][:300]


_LONGEST_LIST = 200  # characters of names in a message


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Build the error for a name that does not exist, with the most similar name as a hint.

    Args:
        kind: of thing, for example ``artifact``.
        name: as the user gave it.
        known: the names that exist.
    """
    import difflib  # kept out of every start that makes no mistake
    import textwrap

    names = list(known)
    listing = textwrap.shorten(", ".join(names), _LONGEST_LIST, placeholder=" …")
    similar = difflib.get_close_matches(name, names, 1, 0.4)
    hint = f"did you mean {similar[0]}? " if similar else ""
    return UsageError(f"no {kind} is called {name!r}; {hint}there are {listing}")
