"""``dataclass`` for the modules that every start imports: defined in a tenth of the time.

``dataclasses.dataclass`` compiles up to eight methods for each class, which takes 0.4 to 0.9 ms.
A prediction needs thirty classes. Here the methods are shared and look the fields up when they are
called. Everything else is as in ``dataclasses``: ``fields``, ``replace``, ``asdict``, pickling,
signatures. What is asked for rarely, such as ``fields``, comes from a standard dataclass that is
made then.

Type checkers see the standard decorator.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

T = TypeVar("T")

_REQUIRED = dataclasses.MISSING
_TABLE = "__record_fields__"

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: bool = False, slots: bool) -> Callable[[type[T]], type[T]]:
        """Define a slotted dataclass; see :func:`dataclasses.dataclass`."""
        if not slots:
            raise TypeError("a dataclass without slots is not supported; use dataclasses.dataclass")
        return functools.partial(_define, frozen)


def field_defaults(kind: object) -> Mapping[str, object] | None:
    """Names and defaults of the fields of a class that :func:`dataclass` made, in order.

    A default is a value, a :class:`dataclasses.Field`, or ``dataclasses.MISSING``. None: the class
    is of another kind.
    """
    table: Mapping[str, object] | None = vars(kind).get(_TABLE) if isinstance(kind, type) else None
    return table


def _define(frozen: bool, kind: type[T]) -> type[T]:
    namespace = dict(kind.__dict__)
    own = [name for name, text in namespace.get("__annotations__", {}).items() if _is_field(text)]
    table: dict[str, object] = {}
    for base in reversed(kind.__mro__):
        table |= field_defaults(base) or {}
    inherited = set(table)
    table |= {name: namespace.pop(name, _REQUIRED) for name in own}
    for name in ("__dict__", "__weakref__"):
        namespace.pop(name, None)
    methods = _methods(table, frozen, has_check="__post_init__" in dir(kind))
    slots = tuple(name for name in own if name not in inherited)
    namespace = {**methods, **namespace, _TABLE: table, "__slots__": slots}
    namespace["__match_args__"] = tuple(table)
    metaclass: Any = type(kind)
    made: type[T] = metaclass(kind.__name__, kind.__bases__, namespace)
    made.__qualname__ = kind.__qualname__
    return made


def _is_field(annotation: object) -> bool:
    return not (isinstance(annotation, str) and annotation.startswith(("ClassVar", "typing.Class")))


def _methods(table: dict[str, object], frozen: bool, *, has_check: bool) -> dict[str, object]:
    """The methods of a class with these fields."""
    names = tuple(table)
    put = object.__setattr__

    def __init__(self: Any, /, *values: object, **named: object) -> None:  # noqa: N807
        if len(values) > len(names):
            raise _wrong_call(self, f"takes {len(names)} values but {len(values)} were given")
        given = dict(zip(names, values, strict=False))
        for name, value in named.items():
            if name not in table:
                raise _wrong_call(self, f"got an unexpected keyword argument {name!r}")
            if name in given:
                raise _wrong_call(self, f"got multiple values for argument {name!r}")
            given[name] = value
        for name, default in table.items():
            value = given[name] if name in given else _default(default)
            if value is _REQUIRED:
                raise _wrong_call(self, f"missing required argument {name!r}")
            put(self, name, value)
        if has_check:
            self.__post_init__()

    methods: dict[str, object] = {
        "__init__": __init__,
        "__repr__": _repr,
        "__eq__": _eq,
        "__hash__": _hash if frozen else None,
        "__replace__": _replace,
        "__dataclass_fields__": _Standard("__dataclass_fields__", frozen),
        "__dataclass_params__": _Standard("__dataclass_params__", frozen),
        "__signature__": _Standard("__signature__", frozen),
    }
    if frozen:
        methods |= {
            "__setattr__": _refuse_assignment,
            "__delattr__": _refuse_deletion,
            "__getstate__": _values,
            "__setstate__": _set_values,
        }
    return methods


def _default(default: object) -> object:
    if not isinstance(default, dataclasses.Field):
        return default
    if default.default_factory is not _REQUIRED:
        return default.default_factory()
    value: object = default.default
    return value


def _wrong_call(instance: object, problem: str) -> TypeError:
    return TypeError(f"{type(instance).__name__}.__init__() {problem}")


def _values(self: Any) -> tuple[object, ...]:
    return tuple([getattr(self, name) for name in self.__record_fields__])


def _set_values(self: Any, values: tuple[object, ...]) -> None:
    for name, value in zip(self.__record_fields__, values, strict=True):
        object.__setattr__(self, name, value)


def _repr(self: Any) -> str:
    values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__record_fields__)
    return f"{type(self).__qualname__}({values})"


def _eq(self: object, other: object) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return _values(self) == _values(other)


def _hash(self: object) -> int:
    return hash(_values(self))


def _replace(self: Any, /, **changes: object) -> Any:
    return type(self)(
        **{**dict(zip(self.__record_fields__, _values(self), strict=True)), **changes}
    )


def _refuse_assignment(self: object, name: str, value: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deletion(self: object, name: str) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


class _Standard:
    """An attribute of the standard dataclass with the same fields."""

    def __init__(self, name: str, frozen: bool) -> None:
        self._name, self._frozen = name, frozen

    def __get__(self, instance: object, owner: type) -> object:
        standard = _standard(owner, self._frozen)
        if self._name == "__signature__":
            import inspect

            return inspect.signature(standard)
        return getattr(standard, self._name)


@functools.cache
def _standard(kind: type, frozen: bool) -> type:
    """The standard dataclass with the fields of a class."""
    table = field_defaults(kind) or {}
    import inspect

    annotations: dict[str, object] = {}
    for base in reversed(kind.__mro__):
        annotations |= inspect.get_annotations(base)
    namespace = {name: value for name, value in table.items() if value is not _REQUIRED}
    namespace["__annotations__"] = {name: annotations[name] for name in table}
    namespace["__module__"] = kind.__module__
    return dataclasses.dataclass(frozen=frozen)(type(kind.__name__, (), namespace))
