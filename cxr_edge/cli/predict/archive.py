"""``cxr-edge predict ARCHIVE --to DIR``."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cxr_edge.archive.rows import Row
from cxr_edge.archive.stage import predict_archive
from cxr_edge.cli import interrupts
from cxr_edge.cli.output import streams
from cxr_edge.cli.output.console import Terminal, TimeLeft
from cxr_edge.cli.output.formats import Tally
from cxr_edge.errors import UsageError
from cxr_edge.files import printable
from cxr_edge.image.listing import other_files
from cxr_edge.reporting import Advance

SOME_FAILED = 1
"""Exit code when images of the results failed."""

_SECONDS_A_LINE = 60.0
_MOST_FAILURES_SHOWN = 20


def one_archive(paths: list[str]) -> str:
    """The archive of a call with ``--to``.

    Raises:
        UsageError: several were given, or stdin.
    """
    if len(paths) != 1 or paths[0] == "-":
        given = "stdin" if len(paths) == 1 else f"{len(paths)} paths"
        raise UsageError(f"{given}, expected one folder with --to; name the folder of the images")
    return paths[0]


def run(archive: str, to: Path, *, quiet: bool, **options: Any) -> int:
    """Classify an archive, and say what there is to say.

    Args:
        archive: as it was given.
        to: folder of the results.
        quiet: whether to say nothing.
        options: of :func:`cxr_edge.archive.stage.predict_archive`.

    Returns:
        The exit code: 0, or 1 if images of the results failed.

    Raises:
        CxrEdgeError: see :func:`cxr_edge.archive.stage.predict_archive`.
    """
    started = time.monotonic()
    tally = Tally(has_band=True)
    show_failure = _failures_shown()
    on_ray = options["ray"] or options["ray_address"] is not None

    def see(row: Row) -> None:
        tally.add(row.result())
        if row.is_failure and not quiet:
            show_failure(str(row.message))

    if not quiet:
        work = f"counting the images of {printable(archive)}"
        if on_ray:
            work = "connecting to Ray" if options["ray_address"] else "starting Ray"
        streams.tell(f"cxr-edge: {work} …")
    state = (lambda: "the same command goes on") if on_ray else (lambda: _state(tally, to))
    with interrupts.explained(state), _progress(quiet, on_ray) as advance:
        result = predict_archive(archive, to, **options, on_row=see, on_progress=advance)
    if not quiet:
        if result.ignored:
            files = other_files(result.ignored)
            streams.tell(f"cxr-edge: {files} not read, no images by name or content")
        done = f"{result.images - result.settled:,} images" if on_ray else str(tally)
        touched = f", {result.touched:,} with a new time only" if result.touched else ""
        before = f"; {result.settled:,} were there before" if result.settled else ""
        streams.tell(f"cxr-edge: {done}{touched}{before}, {time.monotonic() - started:.1f} s")
        images = "1 image" if result.images == 1 else f"{result.images:,} images"
        streams.tell(f"cxr-edge: {printable(to)} has {images}, {result.failures:,} of them failed")
        if result.failures and not options["retry_failed"]:
            streams.tell("cxr-edge: --retry-failed tries what failed again")
    return SOME_FAILED if result.failures else 0


def _state(tally: Tally, to: Path) -> str:
    done = tally.predicted + tally.failed + tally.left_out
    images = "1 image was" if done == 1 else f"{done:,} images were"
    return f"{images} added to {printable(to)}; the same command goes on"


def _failures_shown() -> Callable[[str], None]:
    """Print the first failures, and say that there are more."""
    terminal, shown = Terminal(), 0

    def show(message: str) -> None:
        nonlocal shown
        shown += 1
        if shown <= _MOST_FAILURES_SHOWN:
            terminal.say(streams.shortened(f"cxr-edge: {message}"))
        elif shown == _MOST_FAILURES_SHOWN + 1:
            terminal.say("cxr-edge: further failures are in the results only")

    return show


@contextlib.contextmanager
def _progress(quiet: bool, on_ray: bool) -> Iterator[Advance | None]:
    """A bar on a terminal; elsewhere, as in a log, a line a minute. Ray draws bars of its own."""
    if quiet or (on_ray and not sys.stderr.isatty()):
        yield None
    elif on_ray:
        yield lambda done, total: None
    elif sys.stderr.isatty():
        with Terminal().bar("classifying", with_rate=True) as advance:
            yield advance
    else:
        yield _Lines().advance


class _Lines:
    """Progress as lines of a log."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()
        self._left = TimeLeft()

    def advance(self, done: int, total: int) -> None:
        now = time.monotonic()
        left = self._left.text(done, total)
        if now - self._last < _SECONDS_A_LINE:
            return
        self._last = now
        rate = done / (now - self._started)
        text = f"cxr-edge: {done:,} of {total:,} images, {rate:.0f}/s"
        streams.tell(text + (left and f", {left}"))
