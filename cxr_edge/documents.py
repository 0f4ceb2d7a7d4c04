"""JSON documents that are frozen dataclasses: written in one form, read strictly.

:func:`dump` always writes the same bytes: keys in the order of the fields, two spaces of indent, a
final newline. :func:`parse` accepts any spacing and order of keys, but refuses what a lenient
parser would let pass: unknown, missing or duplicate keys, values of another type, NaN and
infinities, nesting that exhausts the stack.

A document can grow. A versioned one begins with its version, ``"format": "2.1"``. A key that a
later minor version adds is a field declared with :func:`since`: it must be there in files of that
version and later, must not be there in older ones, and has its default for those. In a document
without a version (``spec.json``) such a key may be left out.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import types
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from cxr_edge.errors import CxrEdgeError

T = TypeVar("T")

Version = tuple[int, int]
"""(major, minor). A new minor version adds keys, a new major one changes what they mean."""

# The dot is missing from versions that are a whole number: 1 is 1.0.
_VERSION = re.compile(
    rb'\s*\{\s*"format"\s*:\s*(?:"(?P<major>\d{1,4})\.(?P<minor>\d{1,4})"|(?P<whole>\d{1,4})\b)'
)


def since(version: str, default: T) -> T:
    """Declare a key that a later minor version added.

    Args:
        version: the first version with this key, ``major.minor``.
        default: the field's value for older files; it must be immutable.

    Returns:
        What stands behind the ``=`` of the dataclass's field.
    """
    field: T = dataclasses.field(default=default, metadata={"since": parse_version(version)})
    return field


def parse_version(text: str) -> Version:
    """Read ``major.minor``."""
    major, minor = text.split(".")
    return int(major), int(minor)


def read_version(
    data: bytes, newest: str, *, name: str, error: type[CxrEdgeError], renew: str
) -> Version | None:
    """Read the version at the start of a document, before anything else of it is looked at.

    Args:
        data: the document.
        newest: the newest version that the caller reads, ``major.minor``.
        name: what to call the document in a message, usually its file.
        error: the type of error to raise.
        renew: what to do with a document of an older major version, for the message.

    Returns:
        Its version; None where it does not begin with one.

    Raises:
        error: it is newer than ``newest``, or of an older major version.
    """
    match = _VERSION.match(data)
    if not match:
        return None
    version = (int(match["major"] or match["whole"]), int(match["minor"] or 0))
    text, known = ".".join(map(str, version)), parse_version(newest)
    if version > known:
        raise error(f"{name}: format {text}, this cxr-edge reads up to {newest}; update cxr-edge")
    if version[0] < known[0]:
        raise error(f"{name}: format {text}, this cxr-edge reads {known[0]}.x; {renew}")
    return version


def dump(document: object) -> bytes:
    """Write a dataclass (or plain JSON values) as UTF-8 JSON, the same bytes every time.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    text = json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def parse(
    data: bytes,
    kind: type[T],
    *,
    name: str,
    error: type[CxrEdgeError],
    version: Version | None = None,
) -> T:
    """Read a document of the dataclass ``kind``.

    Args:
        data: UTF-8 JSON.
        kind: the dataclass that the document must match, field by field.
        name: what to call the document in a message, usually its file.
        error: the type of error to raise.
        version: the version of the document; None: it carries none.

    Raises:
        error: the document is not JSON, or does not match ``kind`` exactly.
    """
    try:
        # Decoded here: json.loads would also take UTF-16 and UTF-32.
        text = data.decode()
        value = json.loads(
            text, object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant
        )
        document: T = _Builder(version).build(value, kind, "")
        return document
    except _MismatchError as err:
        raise error(f"{name}: {err}") from None
    except RecursionError:
        raise error(f"{name}: nested too deeply") from None
    except ValueError as err:  # not JSON, or not UTF-8
        raise error(f"{name}: not valid JSON: {err}") from err


class _MismatchError(Exception):
    """The document does not match its dataclass; the message says where."""


def _plain(value: object) -> object:
    """Turn dataclasses and tuples into what ``json`` writes, keeping the order of the fields."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, value in pairs:
        if key in values:
            raise _MismatchError(f"the key {key!r:.100} occurs twice")
        values[key] = value
    return values


def _refuse_constant(text: str) -> NoReturn:
    raise _MismatchError(f"{text} is not a number that JSON knows")


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    """Types of a dataclass's fields; looking them up takes longer than checking one."""
    return get_type_hints(kind)


class _Builder:
    """Checks parsed JSON against types; turns lists into tuples and objects into dataclasses."""

    def __init__(self, version: Version | None) -> None:
        self._version = version

    def build(self, value: object, kind: Any, path: str) -> Any:
        """Check the value at ``path``, which is empty for the whole document."""
        if dataclasses.is_dataclass(kind):
            return self._dataclass(value, kind, path)
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in (Union, types.UnionType):
            return self._union(value, arguments, path)
        if origin is Literal:
            return _literal(value, arguments, path)
        if origin is tuple:
            return self._tuple(value, arguments, path)
        if origin is dict:
            if not isinstance(value, dict):
                raise _MismatchError(f"{path} is {_type_name(value)}, expected an object")
            return {
                _scalar(key, str, f"a key of {path}"): self.build(
                    item, arguments[1], f"{path}[{key!r:.100}]"
                )
                for key, item in value.items()
            }
        return _scalar(value, kind, path)

    def _dataclass(self, value: object, kind: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise _MismatchError(f"{path or 'it'} is {_type_name(value)}, expected an object")
        fields = [field for field in dataclasses.fields(kind) if self._is_known(field)]
        names = [field.name for field in fields]
        prefix = f"{path}." if path else ""
        for key in value:
            if key not in names:
                known = ", ".join(names)
                raise _MismatchError(f"unknown key {prefix + key!r:.100}; expected {known}")
        for field in fields:
            if field.name not in value and not self._may_lack(field):
                raise _MismatchError(f"the key {prefix + field.name!r} is missing")
        hints = _hints(kind)
        present = [name for name in names if name in value]
        values = {key: self.build(value[key], hints[key], prefix + key) for key in present}
        try:
            return kind(**values)
        except CxrEdgeError as err:  # the dataclass checked itself
            raise _MismatchError(_located(path, f"{err!s:.300}")) from None

    def _is_known(self, field: dataclasses.Field[Any]) -> bool:
        """Whether the document's version has the key."""
        return self._version is None or field.metadata.get("since", (0, 0)) <= self._version

    def _may_lack(self, field: dataclasses.Field[Any]) -> bool:
        """Whether the document, which says of no version, may be older than the key."""
        return self._version is None and "since" in field.metadata

    def _union(self, value: object, kinds: tuple[Any, ...], path: str) -> Any:
        """A union of None and dataclasses; the keys of an object say which of them it is."""
        if value is None and type(None) in kinds:
            return None
        kinds = tuple(kind for kind in kinds if kind is not type(None))
        matching = [kind for kind in kinds if isinstance(value, dict) and _names(kind) == [*value]]
        return self.build(value, (matching or kinds)[0], path)

    def _tuple(self, value: object, kinds: tuple[Any, ...], path: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _MismatchError(f"{path} is {_type_name(value)}, expected a list")
        if kinds[-1] is Ellipsis:
            kinds = (kinds[0],) * len(value)
        if len(value) != len(kinds):
            raise _MismatchError(f"{path} has {len(value)} entries, expected {len(kinds)}")
        pairs = enumerate(zip(value, kinds, strict=True))
        return tuple(self.build(item, kind, f"{path}[{i}]") for i, (item, kind) in pairs)


def _names(kind: Any) -> list[str]:
    """The keys of a dataclass's object; none for anything else."""
    return [f.name for f in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def _literal(value: object, choices: tuple[object, ...], path: str) -> object:
    # The type too: 1.0 and True equal 1.
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        allowed = ", ".join(map(repr, choices))
        raise _MismatchError(f"{path} is {value!r:.100}, expected one of {allowed}")
    return value


def _scalar(value: object, kind: Any, path: str) -> object:
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise _MismatchError(f"{path} is too large, expected a number of 64 bits")
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise _MismatchError(f"{path} is {_type_name(value)}, expected {_TYPE_NAMES[kind]}")
    if isinstance(value, float) and not math.isfinite(value):  # 1e999 parses as infinity
        raise _MismatchError(f"{path} is not a finite number")
    if isinstance(value, str) and not _is_unicode(value):
        raise _MismatchError(f"{path} is {value!r:.100}, which is half of a surrogate pair")
    return value


def _located(path: str, message: str) -> str:
    """A dataclass's own message, behind the place of its object."""
    outer, _, last = path.rpartition(".")
    if last and message.startswith(f"{last}."):  # it names its own place
        return f"{outer}.{message}" if outer else message
    return f"{path}: {message}" if path else message


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


def _type_name(value: object) -> str:
    return _TYPE_NAMES[type(value)]
