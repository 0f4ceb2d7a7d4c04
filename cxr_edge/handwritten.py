"""JSON documents that people write: what a default covers may be left out.

Unlike :func:`cxr_edge.documents.parse`, which stops at the first mistake of a document that a
program wrote, :func:`parse_handwritten` lists every mistake, so that a file is corrected once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from cxr_edge.document_checks import MismatchError, type_name
from cxr_edge.documents import Builder, field_types, load_json, located, reported_as
from cxr_edge.errors import CxrEdgeError

T = TypeVar("T")

Prepare = Callable[[dict[str, Any], list[str]], dict[str, Any]]
"""Turns the keys of a whole document into those of its dataclass: expands abbreviations, fills in
defaults that depend on other keys. Appends what is wrong to the list."""

MAX_MESSAGE = 290
"""Characters of a message: with ``cxr-edge: `` before it, a line of 300."""
_LEAST_LISTED = 120  # characters for the problems, however long the document's name


def parse_handwritten(
    data: bytes, kind: type[T], *, name: str, error: type[CxrEdgeError], prepare: Prepare
) -> T:
    """Read a document of the dataclass ``kind``.

    Unknown keys are refused. A dataclass may have a class method ``problems``, which takes some of
    its fields' values by name and lists what is wrong with them.

    Args:
        data: UTF-8 JSON.
        kind: the dataclass.
        name: what to call the document in a message, usually its file.
        error: the type of error to raise.
        prepare: applied before anything is checked.

    Raises:
        error: the document is not JSON, or does not match ``kind``; one line with every problem.
    """
    with reported_as(name, error):
        value = load_json(data)
        document, problems = build_handwritten(value, kind, prepare)
    if problems or document is None:
        raise error(f"{name}: {listed(problems, name)}")
    return document


def build_handwritten(
    value: object, kind: type[T], prepare: Prepare | None = None
) -> tuple[T | None, list[str]]:
    """Check parsed values and build their dataclass.

    Args:
        value: the document, parsed.
        kind: the dataclass.
        prepare: applied before anything is checked.

    Returns:
        The document, or None; and everything that is wrong with it.
    """
    builder = _HandwrittenBuilder()
    if prepare and isinstance(value, dict):
        value = prepare(value, builder.problems)
    try:
        document: T = builder.build(value, kind, "")
    except _ReportedError:
        return None, builder.problems
    except MismatchError as err:
        return None, [*builder.problems, str(err)]
    return document, builder.problems


class _ReportedError(Exception):
    """An object could not be built; the reasons are already among the problems."""


class _HandwrittenBuilder(Builder):
    """Collects problems instead of stopping at the first."""

    def __init__(self) -> None:
        super().__init__(None)
        self.problems: list[str] = []

    def build_dataclass(self, value: object, kind: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise MismatchError(f"{path or 'it'} is {type_name(value)}, expected an object")
        fields = dataclasses.fields(kind)
        prefix = f"{path}." if path else ""
        before = len(self.problems)
        names = [field.name for field in fields]
        self.problems += [_unknown(prefix, key, names) for key in value if key not in names]
        values = {}
        for field in fields:
            if field.name in value:
                with _Collecting(self.problems):
                    place, hint = prefix + field.name, field_types(kind)[field.name]
                    values[field.name] = self.build(value[field.name], hint, place)
            elif field.default is dataclasses.MISSING:
                self.problems.append(f"the key {prefix + field.name!r} is missing")
            else:
                values[field.name] = field.default
        if find_problems := getattr(kind, "problems", None):
            self.problems += [located(path, problem) for problem in find_problems(values)]
        if len(self.problems) > before:
            raise _ReportedError
        return kind(**values)


class _Collecting:
    """Appends the problem that ends its block to a list, and goes on after the block."""

    def __init__(self, problems: list[str]) -> None:
        self._problems = problems

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, err: BaseException | None, trace: object) -> bool:
        if isinstance(err, MismatchError):
            self._problems.append(str(err))
        return isinstance(err, MismatchError | _ReportedError)


def _unknown(prefix: str, key: str, known: Collection[str]) -> str:
    import difflib  # kept out of every start that makes no mistake

    similar = difflib.get_close_matches(key, known, 1, 0.6)
    hint = f"did you mean {similar[0]}?" if similar else f"expected {', '.join(known)}"
    return f"unknown key {prefix + key!r:.60}, {hint}"


def listed(problems: list[str], name: str) -> str:
    """As many problems as fit into a message of the document ``name``, and how many more."""
    room = max(MAX_MESSAGE - len(name) - 2, _LEAST_LISTED)
    text = "; ".join(problems)
    if len(text) <= room:
        return text
    for count in range(len(problems) - 1, 0, -1):
        text = "; ".join(problems[:count]) + f"; and {len(problems) - count} more"
        if len(text) <= room:
            return text
    more = f"; and {len(problems) - 1} more" if len(problems) > 1 else ""
    return f"{problems[0][: room - len(more) - 1]}…{more}"
