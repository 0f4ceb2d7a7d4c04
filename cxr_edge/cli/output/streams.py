"""The three standard streams: usable whatever the caller did to them, and stderr for us alone."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

KEEP_NATIVE = "CXR_EDGE_NATIVE_STDERR"
"""Environment variable: if it is not empty, native libraries may write to stderr."""

MOST_CHARACTERS = 300
"""Longest line of an error message."""


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """Prepare the streams while the command line runs, and restore them.

    libjpeg, libpng, OpenCV, LiteRT and TensorFlow write warnings straight to file descriptor 2, and
    most have no setting to stop that. The descriptor is redirected once, before any thread starts,
    and ``sys.stderr`` goes on writing where it did. Messages that it cannot take are lost: they
    must not spoil a result.
    """
    _open_missing_descriptors()
    if sys.stderr is None or getattr(sys.stderr, "closed", False):  # nobody can be told anything
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - for the whole process
    for stream in (sys.stdout, sys.stderr):
        # A file name may hold characters that the terminal's encoding lacks.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if no_colour():  # typer knows no other setting that leaves out bold and dim as well
        os.environ["_TYPER_FORCE_DISABLE_TERMINAL"] = "1"
    with _stderr_for_python():
        yield


def results_can_be_written(arguments: list[str]) -> bool:
    """Whether stdout is open, or the arguments name an output; then stdout goes nowhere."""
    if sys.stdout is not None and not getattr(sys.stdout, "closed", False):
        return True
    if not any(argument.startswith(("-o", "--out")) for argument in arguments):
        return False
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for the whole process
    return True


def _open_missing_descriptors() -> None:
    """Open 0, 1 and 2 where the caller closed them.

    The next file opened would get the number, and what a library prints would go into that file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


@contextlib.contextmanager
def _stderr_for_python() -> Iterator[None]:
    stderr, original = sys.stderr, os.dup(2)
    try:
        writes_to_2 = stderr.fileno() == 2
    except (OSError, ValueError, AttributeError):  # replaced by an object that is no file
        writes_to_2 = False
    with contextlib.suppress(OSError):
        stderr.flush()
    if not os.environ.get(KEEP_NATIVE):
        nowhere = os.open(os.devnull, os.O_RDONLY)  # a write fails, which no library minds
        os.dup2(nowhere, 2)
        os.close(nowhere)
    if writes_to_2:
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(_Messages(original)),
            encoding=getattr(stderr, "encoding", None) or "utf-8",
            errors="backslashreplace",
            line_buffering=True,
        )
    try:
        yield
    finally:
        if writes_to_2:
            with contextlib.suppress(ValueError):  # closed already
                sys.stderr.close()
            sys.stderr = stderr
        os.dup2(original, 2)
        os.close(original)


class _Messages(io.RawIOBase):
    """Writes to an open file descriptor, which it does not own.

    What a full disk or a closed pipe does not take is lost.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int:
        try:
            return os.write(self._descriptor, data)
        except OSError:
            return memoryview(data).nbytes


def no_colour() -> bool:
    """Whether terminals get plain text: https://no-color.org, or a terminal that has no colours."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def tell(line: str) -> None:
    """Print one line on stderr, :func:`shortened`."""
    print(shortened(line), file=sys.stderr, flush=True)


def shortened(line: str) -> str:
    """A line without its middle where it exceeds :data:`MOST_CHARACTERS`: a name in it is long."""
    if len(line) <= MOST_CHARACTERS:
        return line
    half = (MOST_CHARACTERS - 3) // 2
    return f"{line[:half]}...{line[-half:]}"  # ASCII: as many bytes


def stop_writing() -> None:
    """Send what is still buffered for stdout nowhere: writing it would fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
