"""An archive on this machine: worker processes, a commit every few seconds, and going on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cxr_edge.archive.folder import ResultsFolder, open_results
from cxr_edge.archive.formats import FormatName
from cxr_edge.archive.listing import list_archive
from cxr_edge.archive.pool import Death, classify
from cxr_edge.archive.request import ArchiveRequest, ArchiveResult, settings_of
from cxr_edge.archive.rows import Row, make_row
from cxr_edge.archive.settled import Settled
from cxr_edge.archive.worker import LoadedModel, Task
from cxr_edge.files import printable
from cxr_edge.reporting import Advance
from cxr_edge.results import Failure

_LARGEST_CHUNK = 16
_LONGEST_NAMES = 8_000
"""Characters of a chunk's names; an answer has each three times, and a pipe holds 200,000."""

_MOST_ROWS = 10_000
_LEAST_SECONDS, _MOST_SECONDS = 2.0, 60.0
_SHARE = 0.05
"""Of a run's time so far that passes between two commits, within the seconds above."""


def run_locally(
    request: ArchiveRequest,
    model: LoadedModel,
    *,
    workers: int,
    format: FormatName,
    on_row: Callable[[Row], None],
    on_progress: Advance,
) -> ArchiveResult:
    """Classify the images of a folder that its results do not have yet.

    Killed at any moment and started again, it goes on. No row is written twice; what is done twice
    is a twentieth of the time at most, between two seconds and a minute.

    Args:
        request: what to classify, and where the results go.
        model: every worker loads it.
        workers: processes, at least 1.
        format: of the parts.
        on_row: called with every row of this run, before it is on disk.
        on_progress: called with the images done and all that this run has to do.

    Raises:
        UsageError: the results are being written by another run, or were begun otherwise.
        DataError: the archive cannot be listed.
        ImageError: it holds no images.
        OutputError: the results cannot be written or read.
        EngineError: the engine fails, or the worker processes die whatever they are given.
    """
    archive, to = Path(request.archive), Path(request.to)
    bundle = model.bundle_sha256
    with open_results(to, settings_of(request, model, "local", format)):
        results = ResultsFolder(to, format)
        settled = Settled(results.standings(), bundle, retry_failed=request.retry_failed)
        pending = known = failed = ignored = touched = 0
        for image in list_archive(archive):
            if image is None:
                ignored += 1
            elif settled.next_attempt(image):
                pending += 1
            else:
                known += 1
                failed += settled.has_failed(image)
        rows = classify(
            _chunks(_tasks(archive, settled), pending // (4 * workers)),
            model,
            with_ids=request.ids,
            workers=min(workers, pending),
        )
        done = 0
        with contextlib.closing(rows), _Commits(results) as commits:
            for row in _each_row(rows, bundle):
                done += 1
                failed += row.is_failure
                if settled.has_content_of(row):
                    touched += 1
                else:
                    on_row(row)
                    commits.add(row)
                on_progress(done, max(pending, done))
    return ArchiveResult(known + done, ignored, known, failed, touched)


def _tasks(archive: Path, settled: Settled) -> Iterator[Task]:
    for image in list_archive(archive):
        if image and (attempt := settled.next_attempt(image)):
            yield Task(image, attempt)


def _chunks(tasks: Iterator[Task], size: int) -> Iterator[Sequence[Task]]:
    """Join tasks, so that a worker is asked once for several.

    Few where there are few images, or long names: a pipe that is full both ways stops for ever.
    """
    size = max(1, min(size, _LARGEST_CHUNK))
    chunk: list[Task] = []
    length = 0
    for task in tasks:
        chunk.append(task)
        length += len(task.image.name)
        if len(chunk) >= size or length >= _LONGEST_NAMES:
            yield chunk
            chunk, length = [], 0
    if chunk:
        yield chunk


def _each_row(chunks: Iterator[Sequence[Row | Death]], bundle_sha256: str) -> Iterator[Row]:
    for chunk in chunks:
        for row in chunk:
            yield row if isinstance(row, Row) else _row_of_death(row, bundle_sha256)


def _row_of_death(death: Death, bundle_sha256: str) -> Row:
    """The row of an image that killed the process that classified it."""
    image = death.task.image
    message = (
        f"{printable(image.name)}: the process that read it died {death.reason}; "
        "look at the file, or try again with --retry-failed"
    )
    return make_row(
        image,
        Failure(None, "ProcessDied", message),
        bundle_sha256=bundle_sha256,
        attempt=death.task.attempt,
        sha256=None,
    )


class _Commits:
    """Rows on their way to disk; all of them are there when the block ends, whatever ends it."""

    def __init__(self, results: ResultsFolder) -> None:
        self._results, self._rows = results, list[Row]()
        self._begun = self._last = time.monotonic()

    def __enter__(self) -> _Commits:
        return self

    def __exit__(self, *error: object) -> None:
        self._commit()

    def add(self, row: Row) -> None:
        """Take a row, and commit if it is time.

        Raises:
            OutputError: the rows cannot be written; they are given up.
        """
        self._rows.append(row)
        now = time.monotonic()
        pause = min(max(_SHARE * (now - self._begun), _LEAST_SECONDS), _MOST_SECONDS)
        if len(self._rows) >= _MOST_ROWS or now - self._last >= pause:
            self._commit()
            self._last = time.monotonic()

    def _commit(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            self._results.commit(rows)
