"""A file that is small, or looks harmless, and asks for much work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bomb:
    kind: str
    make: Callable[[], bytes]
    is_long: bool = False
    """Whether only the long test reads it: its file is large, or takes long to make."""
    channels: int = 1
    """Bytes that a pixel of the picture has in itself."""
    asked: int = 1
    """Channels of the result; the larger of the two is what the picture may take."""
