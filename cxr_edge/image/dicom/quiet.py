"""Keeps what pydicom says about odd values to itself: it quotes them, a patient's name included."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any


class _InThisThread(threading.local):
    """Matches every warning and every record of a log of a thread that reads DICOM."""

    is_reading = False

    def match(self, text: str) -> bool:
        """In place of a warning filter's pattern."""
        return self.is_reading

    def filter(self, record: logging.LogRecord) -> bool:
        """As a logger's filter: whether a record is passed on."""
        return not self.is_reading


_in_this_thread = _InThisThread()
_FILTER: Any = ("ignore", _in_this_thread, Warning, None, 0)
_LOGGERS = ("pydicom", "pydicom.pixels.decoders.base", "pydicom.pixels.utils")


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Ignore pydicom's warnings and logs about odd values in this thread, and no others.

    ``warnings.catch_warnings`` replaces the filters of every thread, so it would need a lock: only
    one file could be decoded at a time, and a forked child would wait for it for ever.
    """
    if warnings.filters[:1] != [_FILTER]:
        warnings.filters.insert(0, _FILTER)  # type: ignore[attr-defined]
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_in_this_thread)  # once, however often it is added
    _in_this_thread.is_reading = True
    try:
        yield
    finally:
        _in_this_thread.is_reading = False
