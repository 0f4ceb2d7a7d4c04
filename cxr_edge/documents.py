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

import contextlib
import dataclasses
import functools
import json
import re
import types
from collections.abc import Iterator
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from cxr_edge.document_checks import MismatchError, check_literal, check_scalar, type_name
from cxr_edge.errors import CxrEdgeError
from cxr_edge.records import field_defaults

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
    with reported_as(name, error):
        document: T = Builder(version).build(load_json(data), kind, "")
    return document


@contextlib.contextmanager
def reported_as(name: str, error: type[CxrEdgeError]) -> Iterator[None]:
    """Raise ``error``, naming the document, for whatever is wrong with its JSON."""
    try:
        yield
    except MismatchError as err:
        raise error(f"{name}: {err}") from None
    except RecursionError:
        raise error(f"{name}: nested too deeply") from None
    except ValueError as err:  # not JSON, or not UTF-8
        raise error(f"{name}: not valid JSON: {err}") from err


def load_json(data: bytes) -> object:
    """Parse JSON in UTF-8, without duplicate keys, NaN or infinities.

    Raises:
        MismatchError, ValueError, RecursionError: see :func:`reported_as`.
    """
    # Decoded here: json.loads would also take UTF-16 and UTF-32.
    return json.loads(
        data.decode(), object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant
    )


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
            raise MismatchError(f"the key {key!r:.100} occurs twice")
        values[key] = value
    return values


def _refuse_constant(text: str) -> NoReturn:
    raise MismatchError(f"{text} is not a number that JSON knows")


@functools.cache
def field_types(kind: Any) -> dict[str, Any]:
    """Types of a dataclass's fields; looking them up takes longer than checking one."""
    return get_type_hints(kind)


class Builder:
    """Checks parsed JSON against types; turns lists into tuples and objects into dataclasses."""

    def __init__(self, version: Version | None) -> None:
        self._version = version

    def build(self, value: object, kind: Any, path: str) -> Any:
        """Check the value at ``path``, which is empty for the whole document."""
        if _fields(kind):
            return self.build_dataclass(value, kind, path)
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in (Union, types.UnionType):
            return self._union(value, arguments, path)
        if origin is Literal:
            return check_literal(value, arguments, path)
        if origin is tuple:
            return self._tuple(value, arguments, path)
        if origin is dict:
            if not isinstance(value, dict):
                raise MismatchError(f"{path} is {type_name(value)}, expected an object")
            return {
                check_scalar(key, str, f"a key of {path}"): self.build(
                    item, arguments[1], f"{path}[{key!r:.100}]"
                )
                for key, item in value.items()
            }
        return check_scalar(value, kind, path)

    def build_dataclass(self, value: object, kind: Any, path: str) -> Any:
        """Check an object's keys and values, and build its dataclass."""
        if not isinstance(value, dict):
            raise MismatchError(f"{path or 'it'} is {type_name(value)}, expected an object")
        fields = {name: added for name, added in _fields(kind).items() if self._is_known(added)}
        names = [*fields]
        prefix = f"{path}." if path else ""
        for key in value:
            if key not in names:
                known = ", ".join(names)
                raise MismatchError(f"unknown key {prefix + key!r:.100}; expected {known}")
        for name, added in fields.items():
            if name not in value and not self._may_lack(added):
                raise MismatchError(f"the key {prefix + name!r} is missing")
        hints = field_types(kind)
        present = [name for name in names if name in value]
        values = {key: self.build(value[key], hints[key], prefix + key) for key in present}
        try:
            return kind(**values)
        except CxrEdgeError as err:  # the dataclass checked itself
            raise MismatchError(located(path, f"{err!s:.300}")) from None

    def _is_known(self, added: Version | None) -> bool:
        """Whether the document's version has a key that was ``added`` in a version."""
        return self._version is None or added is None or added <= self._version

    def _may_lack(self, added: Version | None) -> bool:
        """Whether the document, which says of no version, may be older than the key."""
        return self._version is None and added is not None

    def _union(self, value: object, kinds: tuple[Any, ...], path: str) -> Any:
        """A union of None and dataclasses; the keys of an object say which of them it is."""
        if value is None and type(None) in kinds:
            return None
        kinds = tuple(kind for kind in kinds if kind is not type(None))
        keys = value.keys() if isinstance(value, dict) else set()
        matching = [kind for kind in kinds if self._required(kind) <= keys <= _fields(kind).keys()]
        return self.build(value, (matching or kinds)[0], path)

    def _required(self, kind: Any) -> set[str]:
        """The keys that an object of this kind must have in the document's version."""
        return {
            name
            for name, added in _fields(kind).items()
            if self._is_known(added) and not self._may_lack(added)
        }

    def _tuple(self, value: object, kinds: tuple[Any, ...], path: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise MismatchError(f"{path} is {type_name(value)}, expected a list")
        if kinds[-1] is Ellipsis:
            kinds = (kinds[0],) * len(value)
        if len(value) != len(kinds):
            raise MismatchError(f"{path} has {len(value)} entries, expected {len(kinds)}")
        pairs = enumerate(zip(value, kinds, strict=True))
        return tuple(self.build(item, kind, f"{path}[{i}]") for i, (item, kind) in pairs)


@functools.cache
def _fields(kind: Any) -> dict[str, Version | None]:
    """The fields of a dataclass, each with the version that added it; none of anything else."""
    table = field_defaults(kind)
    if table is None:  # fields() takes a millisecond for a record
        is_standard = dataclasses.is_dataclass(kind)
        table = {f.name: f for f in dataclasses.fields(kind)} if is_standard else {}
    return {
        name: field.metadata.get("since") if isinstance(field, dataclasses.Field) else None
        for name, field in table.items()
    }


def located(path: str, message: str) -> str:
    """A dataclass's own message, behind the place of its object."""
    outer, _, last = path.rpartition(".")
    if last and message.startswith(f"{last}."):  # it names its own place
        return f"{outer}.{message}" if outer else message
    return f"{path}: {message}" if path else message
