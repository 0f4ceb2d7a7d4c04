from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import field
from typing import ClassVar

import pytest

from cxr_edge.records import dataclass, field_defaults


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2
    tags: tuple[str, ...] = field(default=(), metadata={"since": (2, 1)})
    origin: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x is negative")

    @property
    def total(self) -> int:
        return self.x + self.y


@dataclass(frozen=True, slots=True)
class Named(Point):
    name: str = "a"


@dataclass(slots=True)
class Basket:
    items: list[int] = field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Standard:
    x: int
    y: int = 2
    tags: tuple[str, ...] = field(default=(), metadata={"since": (2, 1)})


def test_it_behaves_as_a_standard_dataclass() -> None:
    point, same, standard = (
        Point(1, tags=("b",)),
        Point(x=1, y=2, tags=("b",)),
        Standard(1, 2, ("b",)),
    )
    assert point == same and hash(point) == hash(same) == hash(standard)
    assert point != Point(1) and point != standard
    assert repr(point) == repr(standard).replace("Standard", "Point")
    assert point.total == 3 and point.__match_args__ == standard.__match_args__
    assert dataclasses.asdict(point) == dataclasses.asdict(standard)
    assert dataclasses.replace(point, x=5) == Point(5, 2, ("b",))
    assert [f.name for f in dataclasses.fields(Point)] == ["x", "y", "tags"]
    assert dataclasses.fields(point)[2].metadata == {"since": (2, 1)}
    assert dataclasses.is_dataclass(Point) and Point.origin == 0
    assert pickle.loads(pickle.dumps(point)) == copy.deepcopy(point) == copy.copy(point) == point
    assert inspect.signature(Point) == inspect.signature(Standard)


def test_it_has_slots_and_is_frozen() -> None:
    point = Point(1)
    assert not hasattr(point, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
        del point.x
    basket = Basket()
    basket.items = [1]
    assert Basket().items == [] and basket == Basket([1])
    with pytest.raises(TypeError, match="unhashable"):
        hash(basket)
    with pytest.raises(AttributeError):
        basket.other = 1  # type: ignore[attr-defined]


def test_a_subclass_adds_fields() -> None:
    named = Named(1, name="b")
    assert (named.x, named.y, named.name, named.total) == (1, 2, "b", 3)
    assert repr(named) == "Named(x=1, y=2, tags=(), name='b')"
    assert pickle.loads(pickle.dumps(named)) == named != Named(1)
    assert [*(field_defaults(Named) or ())] == ["x", "y", "tags", "name"]
    assert field_defaults(Standard) is None and field_defaults(5) is None


@pytest.mark.parametrize(
    ("values", "named", "problem"),
    [
        ((), {}, "missing required argument 'x'"),
        ((1, 2, (), 4), {}, "takes 3 values but 4 were given"),
        ((1,), {"x": 2}, "multiple values for argument 'x'"),
        ((1,), {"z": 2}, "unexpected keyword argument 'z'"),
    ],
)
def test_a_wrong_call_is_a_type_error(
    values: tuple[object, ...], named: dict[str, object], problem: str
) -> None:
    with pytest.raises(TypeError, match=problem):
        Point(*values, **named)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="x is negative"):
        Point(-1)
