"""Times as the store keeps them: ISO 8601, UTC, milliseconds; they sort as text."""

from __future__ import annotations

import time

RELEASED = 1_795_000_000
"""Seconds since 1970 before which no clock can be right: this version did not exist."""


def stamp(seconds: float | None = None) -> str:
    """A time as text, for example ``2026-11-26T06:10:24.123Z``.

    Args:
        seconds: since 1970; None: now.
    """
    seconds = time.time() if seconds is None else seconds
    whole = int(seconds // 1)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{text}.{int((seconds - whole) * 1000):03}Z"


def is_plausible(newest: str) -> bool:
    """Whether the clock can be right: it is not before this version, or the newest result.

    A small computer has no clock of its own; until the network sets it, it begins in the past.

    Args:
        newest: time of the newest result; empty: there is none.
    """
    now = time.time()
    return now >= RELEASED and stamp(now + 60) >= newest
