"""JSON documents that are frozen dataclasses: written canonically, read strictly.

A document has one byte representation: keys in the order of the fields, two spaces of indent, a
final newline. Reading refuses what a lenient parser would let pass: unknown, missing or duplicate
keys, values of another type, NaN and infinities, nesting that exhausts the stack.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from cxr_edge.errors import CxrEdgeError

T = TypeVar("T")


def dump(document: object) -> bytes:
    """Write a dataclass (or plain JSON values) as canonical UTF-8 JSON.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    text = json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def parse(data: bytes, kind: type[T], *, name: str, error: type[CxrEdgeError]) -> T:
    """Read a document of the dataclass ``kind``.

    Args:
        data: UTF-8 JSON.
        kind: the dataclass that the document must match, field by field.
        name: what to call the document in a message, usually its file.
        error: the type of error to raise.

    Raises:
        error: the document is not JSON, or does not match ``kind`` exactly.
    """
    try:
        # Decoded here: json.loads would also take UTF-16 and UTF-32.
        text = data.decode()
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        document: T = _build(value, kind, "")
        return document
    except (_MismatchError, CxrEdgeError) as err:  # or what a dataclass checks by itself
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


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise _MismatchError(f"the key {key!r:.100} occurs twice")
        found[key] = value
    return found


def _refuse_constant(text: str) -> NoReturn:
    raise _MismatchError(f"{text} is not a number that JSON knows")


def _names(kind: Any) -> list[str]:
    """The keys of a dataclass's object; none for anything else."""
    return [f.name for f in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    """Types of a dataclass's fields; looking them up takes longer than checking one."""
    return get_type_hints(kind)


def _build(value: object, kind: Any, where: str) -> Any:
    """Check ``value`` against ``kind``; turn lists into tuples and dicts into dataclasses."""
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(value, kind, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):  # of None and dataclasses, which their keys tell apart
        kinds = [a for a in arguments if a is not type(None)]
        if value is None and len(kinds) < len(arguments):
            return None
        fitting = [k for k in kinds if isinstance(value, dict) and _names(k) == [*value]]
        return _build(value, (fitting or kinds)[0], where)
    if origin is Literal:
        # The type too: 1.0 and True equal 1.
        if not any(type(value) is type(each) and value == each for each in arguments):
            allowed = ", ".join(map(repr, arguments))
            raise _MismatchError(f"{where} is {value!r:.100}, expected one of {allowed}")
        return value
    if origin is tuple:
        return _build_tuple(value, arguments, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise _MismatchError(f"{where} is {_kind_name(value)}, expected an object")
        return {
            _build_scalar(key, str, f"a key of {where}"): _build(
                item, arguments[1], f"{where}[{key!r}]"
            )
            for key, item in value.items()
        }
    return _build_scalar(value, kind, where)


def _build_dataclass(value: object, kind: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _MismatchError(f"{where or 'it'} is {_kind_name(value)}, expected an object")
    hints = _hints(kind)
    names = _names(kind)
    prefix = f"{where}." if where else ""
    for key in value:
        if key not in names:
            raise _MismatchError(f"unknown key {prefix + key!r:.100}; expected {', '.join(names)}")
    for key in names:
        if key not in value:
            raise _MismatchError(f"the key {prefix + key!r} is missing")
    return kind(**{key: _build(value[key], hints[key], prefix + key) for key in names})


def _build_tuple(value: object, arguments: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _MismatchError(f"{where} is {_kind_name(value)}, expected a list")
    if arguments[-1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(value) != len(arguments):
        raise _MismatchError(f"{where} has {len(value)} entries, expected {len(arguments)}")
    pairs = zip(value, arguments, strict=True)
    return tuple(_build(item, inner, f"{where}[{i}]") for i, (item, inner) in enumerate(pairs))


def _build_scalar(value: object, kind: Any, where: str) -> object:
    if kind is float and type(value) is int:
        try:
            value = float(value)
        except OverflowError:
            raise _MismatchError(f"{where} is not a finite number") from None
    if type(value) is not kind:
        raise _MismatchError(f"{where} is {_kind_name(value)}, expected {_NAMES[kind]}")
    if isinstance(value, float) and not math.isfinite(value):  # 1e999 parses as infinity
        raise _MismatchError(f"{where} is not a finite number")
    if isinstance(value, str) and not _is_unicode(value):
        raise _MismatchError(f"{where} is {value!r:.100}, which is half of a surrogate pair")
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _kind_name(value: object) -> str:
    if value is None:
        return "null"
    names = {**_NAMES, list: "a list", dict: "an object"}
    return names[type(value)]
