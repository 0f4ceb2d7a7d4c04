"""Checks of a document's values and of how its parts fit together.

A dataclass of a document calls them in ``__post_init__``, so that what is wrong is refused when it
is read, and nothing that uses the document has to look again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import Any

from cxr_edge.errors import CxrEdgeError
from cxr_edge.records import dataclass

SLACK = 1e-6
"""How far rounding may carry a share beyond 0 or 1, or a point of a rising list backwards."""
MAX_MS = 1e12
"""No time is longer: 30 years."""
MIN_MS = 1e-9
"""No latency is shorter."""


@dataclass(frozen=True, slots=True)
class Checks:
    """Checks that raise one type of error; ``None`` always passes, as a value that is absent."""

    error: type[CxrEdgeError]

    def within(self, low: float, high: float, /, **values: float | None) -> None:
        """Every value lies within ``low`` and ``high``."""
        for name, value in values.items():
            # Written so that NaN fails.
            if value is not None and not low - SLACK <= value <= high + SLACK:
                raise self.error(f"{name} is {value:.6g}, expected {low:g} to {high:g}")

    def shares(self, **values: float | None) -> None:
        """Every value is within 0..1."""
        self.within(0, 1, **values)

    def all_shares(self, **lists: Sequence[float]) -> None:
        """Every entry of every list is within 0..1."""
        for name, values in lists.items():
            for value in values:
                self.within(0, 1, **{name: value})

    def counts(self, *, least: int = 0, **values: int | None) -> None:
        """Every value is at least ``least``."""
        for name, value in values.items():
            if value is not None and value < least:
                raise self.error(f"{name} is {value}, expected at least {least}")

    def durations(self, *, may_be_zero: bool = True, **values: float | None) -> None:
        """Every value is a time in milliseconds."""
        for name, value in values.items():
            least = 0 if may_be_zero else MIN_MS
            if value is not None and not least <= value <= MAX_MS:
                raise self.error(f"{name} is {value:.6g}, expected {least:g} to {MAX_MS:g} ms")

    def positive(self, **values: float | None) -> None:
        """Every value is above 0, and its inverse is a number too."""
        for name, value in values.items():
            if value is not None and not 1 / MAX_MS <= value <= MAX_MS:
                raise self.error(f"{name} is {value:.6g}, expected {1 / MAX_MS:g} to {MAX_MS:g}")

    def equal_lengths(self, **lists: Sequence[object]) -> None:
        """All lists are equally long."""
        if len({len(values) for values in lists.values()}) > 1:
            lengths = ", ".join(f"{name} {len(values)}" for name, values in lists.items())
            raise self.error(f"lists of one length expected, found {lengths} entries")

    def rising(self, **lists: Sequence[float]) -> None:
        """No list falls."""
        for name, values in lists.items():
            for before, after in pairwise(values):
                if not after >= before - SLACK:
                    raise self.error(
                        f"{name} falls from {before:.6g} to {after:.6g}, expected rising values"
                    )

    def same_names(self, what: str, names: Iterable[str], expected: Collection[str]) -> None:
        """The names are the expected ones, in any order."""
        names = list(names)
        if set(names) != set(expected):
            raise self.error(f"{what} is of {_listed(names)}; expected {_listed(expected)}")

    def known_names(self, what: str, names: Iterable[str], known: Collection[str]) -> None:
        """Each name is a known one."""
        for name in names:
            if name not in known:
                raise self.error(f"{what} names {name!r:.60}; expected one of {_listed(known)}")

    def present(self, what: str, names: Collection[str], required: Iterable[str]) -> None:
        """All required names are there."""
        missing = [name for name in required if name not in names]
        if missing:
            raise self.error(f"{what} lacks {_listed(missing)}")

    def not_empty(self, **values: Collection[object]) -> None:
        """Every list or object has an entry."""
        for name, value in values.items():
            if not value:
                raise self.error(f"{name} is empty, expected at least one entry")


def _listed(names: Collection[str]) -> str:
    """At most 100 characters."""
    text = ", ".join(repr(name) for name in list(names)[:20]) or "nothing"
    return text if len(text) <= 100 else f"{text[:99]}…"


class MismatchError(Exception):
    """The document does not match its dataclass; the message says where."""


def check_literal(value: object, choices: tuple[object, ...], path: str) -> object:
    """Return the value at ``path`` of a document if it is one of the choices.

    Raises:
        MismatchError: it is not.
    """
    # The type too: 1.0 and True equal 1.
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        allowed = ", ".join(map(repr, choices))
        raise MismatchError(f"{path} is {value!r:.100}, expected one of {allowed}")
    return value


def check_scalar(value: object, kind: Any, path: str) -> object:
    """Return the value at ``path`` of a document if it is of a type; a whole number is a float too.

    Raises:
        MismatchError: it is of another type, or no number or text that a program can hold.
    """
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise MismatchError(f"{path} is too large, expected a number of 64 bits")
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise MismatchError(f"{path} is {type_name(value)}, expected {_TYPE_NAMES[kind]}")
    if isinstance(value, float) and not math.isfinite(value):  # 1e999 parses as infinity
        raise MismatchError(f"{path} is not a finite number")
    if isinstance(value, str) and not _is_unicode(value):
        raise MismatchError(f"{path} is {value!r:.100}, which is half of a surrogate pair")
    return value


MOST_CHARACTERS = 200
"""The longest name of a model, or of a label."""

_JOINERS = dict.fromkeys((0xA0, 0x200C, 0x200D), "_")
"""The space that breaks no line, and what some scripts need between letters: Python calls none of
them printable."""


def is_printable(text: str) -> bool:
    """Whether a text is one line that a terminal shows as it is."""
    return text.translate(_JOINERS).isprintable()


def is_one_line(text: str) -> bool:
    """Whether a text can be a name or a label: printable, and neither empty nor endless."""
    return 1 <= len(text) <= MOST_CHARACTERS and is_printable(text) and text == text.strip()


def wrong_text(text: str) -> str:
    """What is said of a name or a label that is none."""
    return (
        f"the name or label {text!r:.40} is expected to be 1..{MOST_CHARACTERS} printable "
        "characters, without spaces at its ends"
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_TYPE_NAMES: dict[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "null",
}
"""What messages call a type."""


def type_name(value: object) -> str:
    """What a message calls a value's type."""
    return _TYPE_NAMES.get(type(value), f"a {type(value).__name__}")  # TOML has dates
