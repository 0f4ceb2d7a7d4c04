"""Settings that people write in TOML: a frozen dataclass a table, documented once.

A field is declared with :func:`setting`. Its text and range make the check, the commented sample
and the documentation.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import textwrap
import tomllib
from collections.abc import Iterator
from typing import Any, TypeVar

from cxr_edge.document_checks import MismatchError
from cxr_edge.documents import field_types
from cxr_edge.errors import CxrEdgeError
from cxr_edge.files import printable
from cxr_edge.handwritten import build_handwritten, listed

T = TypeVar("T")

_HEADING = re.compile(r"\s*\[\s*(?P<table>[A-Za-z0-9_-]+)\s*\]")
_WIDTH = 98


def setting(default: T, text: str, *, least: float | None = None, most: float | None = None) -> T:
    """Declare a setting.

    Args:
        default: its value where the file does not name it.
        text: what it does, with its unit.
        least: the smallest value accepted.
        most: the largest value accepted.

    Returns:
        What stands behind the ``=`` of the dataclass's field.
    """
    metadata = {"text": text, "least": least, "most": most}
    field: T = dataclasses.field(default=default, metadata=metadata)
    return field


@dataclasses.dataclass(frozen=True, slots=True)
class SettingsFile:
    """A file of settings, to name the places of settings that turn out to be wrong later."""

    name: str
    """Its path, for messages."""
    text: str

    @contextlib.contextmanager
    def blamed(self, *keys: str) -> Iterator[None]:
        """Name those of the settings that the file sets in every error of the block.

        Args:
            keys: such as ``store.file``.

        Raises:
            CxrEdgeError: of the same type as in the block.
        """
        try:
            yield
        except CxrEdgeError as err:
            lines = {key: line for key in keys if (line := find_line(key, self.text))}
            if not lines:  # defaults: the message itself says what is wrong
                raise
            places = ", ".join(f"{key} in line {line}" for key, line in lines.items())
            raise type(err)(f"{self.name}: {places}: {err}") from err


def parse_settings(data: bytes, kind: type[T], *, name: str, error: type[CxrEdgeError]) -> T:
    """Read a TOML file of the dataclass ``kind``; a field that is a dataclass is a table.

    Args:
        data: UTF-8 TOML.
        kind: the dataclass; every field has a default.
        name: what to call the file in a message.
        error: the type of error to raise.

    Raises:
        error: it is no TOML, or a key or value is wrong; one line that names keys and lines.
    """
    try:
        text = data.decode()
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as err:  # its own errors, and numbers without end
        reason = printable(str(err) or "nested too deep")[:200]
        hint = "; text needs quotes" if reason.startswith("Invalid value") else ""
        raise error(f"{name}: not valid TOML: {reason}{hint}") from err
    try:
        settings, problems = build_handwritten(values, kind)
    except MismatchError as err:
        settings, problems = None, [str(err)]
    if settings is not None:
        problems = list(_out_of_range(settings, ""))
    if problems or settings is None:
        located = [f"{_place(problem, text)}{problem}" for problem in problems]
        raise error(f"{name}: {listed(located, name)}")
    return settings


def _out_of_range(settings: Any, prefix: str) -> Iterator[str]:
    for field in dataclasses.fields(settings):
        value, place = getattr(settings, field.name), prefix + field.name
        if dataclasses.is_dataclass(value):
            yield from _out_of_range(value, f"{place}.")
            continue
        least, most = field.metadata["least"], field.metadata["most"]
        # Written so that NaN, which TOML knows, fails.
        if least is not None and not value >= least:
            yield f"{place} is {value}, expected at least {least:,}"
        elif most is not None and not value <= most:
            yield f"{place} is {value}, expected at most {most:,}"


def _place(problem: str, text: str) -> str:
    """``line 3: `` for a problem that begins with a key, or names it in quotes; else nothing."""
    match = re.match(r"(?:unknown key ')?(?P<path>[\w.-]+)", problem)
    line = find_line(match["path"].rstrip("."), text) if match else 0
    return f"line {line}: " if line else ""


def find_line(path: str, text: str) -> int:
    """The line of a TOML file that sets a key, or begins a table, counted from 1; 0: none does."""
    table, _, key = path.rpartition(".")
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        if heading := _HEADING.match(line):
            current = heading["table"]
            if current == path:
                return number
        elif current == table and re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", line):
            return number
    return 0


def sample(kind: Any) -> str:
    """A file of every setting with its text and its default, which are commented out."""
    top = [field for field in dataclasses.fields(kind) if not _is_table(kind, field)]
    tables = [field for field in dataclasses.fields(kind) if _is_table(kind, field)]
    lines = [line for field in top for line in _sample_lines(field)]
    for table in tables:
        lines += [f"[{table.name}]", *_wrapped(table.metadata["text"]), ""]
        kind_of_table = field_types(kind)[table.name]
        for field in dataclasses.fields(kind_of_table):
            lines += _sample_lines(field)
    return "\n".join(lines).rstrip() + "\n"


def _is_table(kind: Any, field: dataclasses.Field[Any]) -> bool:
    return dataclasses.is_dataclass(field_types(kind)[field.name])


def _sample_lines(field: dataclasses.Field[Any]) -> list[str]:
    return [*_wrapped(field.metadata["text"]), f"# {field.name} = {_toml(field.default)}", ""]


def _wrapped(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH)]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:_}" if value >= 100_000 else str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
