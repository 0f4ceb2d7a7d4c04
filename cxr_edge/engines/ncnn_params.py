"""The parameters of a layer of ncnn: read once each, within their ranges."""

from __future__ import annotations

from collections.abc import Mapping

from cxr_edge.errors import EngineError

Number = int | float
Params = Mapping[int, Number | tuple[float, ...]]
"""Values by ncnn's numbers of parameters; a tuple is an array."""


class ParamReader:
    """Reads each parameter of a layer once, within its range."""

    def __init__(self, kind: str, params: Params) -> None:
        self._kind, self._params, self._read = kind, params, set[int]()

    def __contains__(self, number: int) -> bool:
        return number in self._params

    def whole(self, number: int, least: int = 0, most: int = 2**24) -> int:
        """An integer from ``least`` to ``most``; raises EngineError where it is another value."""
        value = self._value(number)
        if not isinstance(value, int) or not least <= value <= most:
            raise EngineError(
                f"parameter {number} of a layer {self._kind} is {value}, expected {least}..{most}"
            )
        return value

    def real(self, number: int) -> None:
        """A float: ncnn takes the bits of an integer for one."""
        value = self._value(number)
        if not isinstance(value, float) or not abs(value) <= 1e9:
            raise EngineError(f"parameter {number} of a layer {self._kind} is {value}")

    def reals(self, number: int, count: int) -> None:
        """An array of ``count`` floats."""
        value = self._value(number)
        if not isinstance(value, tuple) or len(value) != count:
            raise EngineError(f"parameter {number} of a layer {self._kind} is no array of {count}")

    def exactly(self, number: int, expected: int) -> int:
        """The only integer that is allowed."""
        return self.whole(number, expected, expected)

    def check_all_read(self) -> None:
        """Refuse a parameter that no rule has read."""
        if unknown := set(self._params) - self._read:
            raise EngineError(f"a layer {self._kind} has the parameter {min(unknown)}, unknown")

    def _value(self, number: int) -> Number | tuple[float, ...]:
        if number not in self._params:
            raise EngineError(f"a layer {self._kind} lacks the parameter {number}")
        self._read.add(number)
        return self._params[number]
