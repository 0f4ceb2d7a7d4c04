"""``cxr-edge predict ARCHIVE --to DIR``."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from cxr_edge.archive.formats import FormatName, part_format
from cxr_edge.archive.local import run_locally
from cxr_edge.archive.remote import is_address
from cxr_edge.archive.request import ArchiveRequest, LoadedModel, load_model
from cxr_edge.archive.rows import Row
from cxr_edge.cli import interrupts
from cxr_edge.cli.output import streams
from cxr_edge.cli.output.console import Terminal, TimeLeft
from cxr_edge.cli.output.formats import Tally
from cxr_edge.device.machine import check_workers, usable_cpus
from cxr_edge.errors import UsageError
from cxr_edge.extras import require_installed
from cxr_edge.files import is_folder, printable
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


def predict_archive(
    request: ArchiveRequest,
    *,
    workers: int | None,
    format: FormatName,
    ray: str | None,
    quiet: bool,
) -> int:
    """Classify an archive, and say what there is to say.

    Args:
        request: the archive, the results, the model.
        workers: processes; None: one for each processor.
        format: of the results.
        ray: address of a cluster; empty: a Ray of its own; None: this machine, without Ray.
        quiet: whether to print failures only.

    Returns:
        The exit code: 0, or 1 if images of the results failed.

    Raises:
        CxrEdgeError: see :func:`cxr_edge.archive.local.run_locally`.
    """
    started = time.monotonic()
    check_workers(workers or 1)
    if not is_folder(request.archive) and not (ray is not None and is_address(request.archive)):
        raise UsageError(f"{printable(request.archive)}: is no folder, --to needs one; name it")
    if ray is not None:
        if format == "jsonl":
            raise UsageError("--ray writes parquet only; leave --format out")
        require_installed(["ray", "pyarrow"], "ray", user="--ray")
    part_format(format)  # its package is there
    with Terminal().if_slow("cxr-edge: loading the model …"):
        model = load_model(request.model)
    if ray is not None:
        return _predict_on_ray(request, model, ray or None, workers, quiet, started)
    count = workers or max(1, usable_cpus() // (model.choice.threads or 1))
    return _predict_locally(request, model, count, format, quiet, started)


def _predict_on_ray(
    request: ArchiveRequest,
    model: LoadedModel,
    address: str | None,
    workers: int | None,
    quiet: bool,
    started: float,
) -> int:
    from cxr_edge.archive.on_ray import run_on_ray

    to = printable(request.to)
    if not quiet:
        streams.tell("cxr-edge: starting Ray …" if address is None else "cxr-edge: on Ray …")
    with interrupts.explained(lambda: "the same command goes on"):
        outcome = run_on_ray(
            request,
            model,
            address=address,
            workers=workers,
            show_progress=not quiet and sys.stderr.isatty(),
        )
    if not quiet:
        seconds = time.monotonic() - started
        counts = f"{outcome.images:,} images, {outcome.failures:,} of them failed"
        streams.tell(f"cxr-edge: {counts}, {seconds:.1f} s; results in {to}/rows")
    return SOME_FAILED if outcome.failures else 0


def _predict_locally(
    request: ArchiveRequest,
    model: LoadedModel,
    workers: int,
    format: FormatName,
    quiet: bool,
    started: float,
) -> int:
    tally = Tally(has_band=True)
    show_failure = _failures_shown()

    def see(row: Row) -> None:
        result = row.result()
        tally.add(result)
        if row.is_failure and not quiet:
            show_failure(str(row.message))

    to = printable(request.to)
    if not quiet:
        streams.tell(f"cxr-edge: counting the images of {printable(request.archive)} …")
    with interrupts.explained(lambda: _state(tally, to)), _progress(quiet) as advance:
        outcome = run_locally(
            request, model, workers=workers, format=format, on_row=see, on_progress=advance
        )
    if not quiet:
        before = f"{outcome.settled:,} there before, " if outcome.settled else ""
        touched = f", {outcome.touched:,} with a new time only" if outcome.touched else ""
        streams.tell(f"cxr-edge: {before}{tally}{touched}, {time.monotonic() - started:.1f} s")
        if outcome.failures and not request.retry_failed:
            streams.tell("cxr-edge: --retry-failed tries what failed again")
        streams.tell(f"cxr-edge: results in {to}")
    return SOME_FAILED if outcome.failures else 0


def _state(tally: Tally, to: str) -> str:
    done = tally.predicted + tally.failed + tally.left_out
    images = "1 image was" if done == 1 else f"{done:,} images were"
    return f"{images} added to {to}; the same command goes on"


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
def _progress(quiet: bool) -> Iterator[Advance]:
    """A bar on a terminal; elsewhere, as in a log, a line a minute."""
    if quiet:
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
