"""Worker processes with a task each and one waiting, and what happens when one dies.

``concurrent.futures`` gives all its tasks up when a process dies. Here the others go on, and only
the images that the dead one had are tried again, one by one, so that the image that kills a process
becomes a row and the rest of a million are classified.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from cxr_edge.archive.rows import Row
from cxr_edge.archive.worker import LoadedModel, RowMaker, Task
from cxr_edge.device.threads import one_thread
from cxr_edge.errors import CxrEdgeError, EngineError

_WAITING = 2
"""Chunks that a worker has: one in work and the next one."""

_MOST_DEATHS = 10
"""Processes that die one after another, without an image between them, before a run gives up."""


@dataclass(frozen=True, slots=True)
class Death:
    """A process died while it classified this image, alone."""

    task: Task
    reason: str


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    is_ready: bool = False
    """Whether it has loaded the model; it gets nothing before, so it dies of no image before."""
    chunks: deque[Sequence[Task]] = field(default_factory=deque)


def classify(
    chunks: Iterator[Sequence[Task]], model: LoadedModel, *, with_ids: bool, workers: int
) -> Generator[Sequence[Row | Death], None, None]:
    """Classify images in several processes.

    Args:
        chunks: of images, taken a few ahead of what is yielded.
        model: what every process loads.
        with_ids: see :class:`cxr_edge.archive.worker.RowMaker`.
        workers: processes, at least 1.

    Yields:
        The rows of a chunk, in the order of completion.

    Raises:
        CxrEdgeError: the model cannot be loaded, or its engine fails.
        EngineError: the processes die whatever they are given.
    """
    pool = _Pool(model, with_ids)
    try:
        yield from pool.run(chunks, workers)
    finally:
        pool.stop()


class _Pool:
    def __init__(self, model: LoadedModel, with_ids: bool) -> None:
        self._model, self._with_ids = model, with_ids
        # A fork would copy the parent's threads' locks; OpenVINO needs a spawn as well.
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._suspects: deque[Task] = deque()
        """Images that a process had when it died."""
        self._deaths = 0

    def run(
        self, chunks: Iterator[Sequence[Task]], workers: int
    ) -> Iterator[Sequence[Row | Death]]:
        for _ in range(workers):
            self._start()
        while True:
            for worker in self._workers:
                self._feed(worker, chunks)
            expected = [one for one in self._workers if one.chunks or not one.is_ready]
            if not expected:
                return
            answering = set(wait([worker.connection for worker in expected]))
            for worker in [one for one in expected if one.connection in answering]:
                yield from self._receive(worker)

    def stop(self) -> None:
        """End all processes at once, whatever they do."""
        for worker in self._workers:
            worker.process.kill()  # one that is stuck or stopped does not react to less
        for worker in self._workers:
            worker.process.join()
            worker.connection.close()
        self._workers.clear()

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(theirs, self._model, self._with_ids), daemon=True
        )
        resource_tracker.ensure_running()  # it would let interrupts through again
        with one_thread(), _without_interrupts():
            process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))

    def _feed(self, worker: _Worker, chunks: Iterator[Sequence[Task]]) -> None:
        """Give a worker something to do; an image that may kill it is alone there."""
        while worker.is_ready and len(worker.chunks) < _WAITING:
            is_suspect = bool(self._suspects)
            if worker.chunks and (is_suspect or len(worker.chunks[0]) == 1):
                return
            chunk = [self._suspects.popleft()] if is_suspect else next(chunks, ())
            if not chunk:
                return
            worker.chunks.append(chunk)
            with contextlib.suppress(OSError):  # it has died, which receiving finds out
                worker.connection.send(chunk)

    def _receive(self, worker: _Worker) -> Iterator[Sequence[Row | Death]]:
        try:
            answer = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._bury(worker)
            return
        if isinstance(answer, CxrEdgeError):
            raise answer
        if not worker.is_ready:
            worker.is_ready = True
            return
        self._deaths = 0
        worker.chunks.popleft()
        yield answer

    def _bury(self, worker: _Worker) -> Iterator[Sequence[Death]]:
        """Replace a dead process; what it had is tried again, each image alone.

        Yields:
            The image that it died of, where it had only one.

        Raises:
            EngineError: too many died one after another.
        """
        worker.process.join()
        worker.connection.close()
        self._workers.remove(worker)
        self._deaths += 1
        reason = _exit_reason(worker.process.exitcode)
        if self._deaths == _MOST_DEATHS:
            raise EngineError(
                f"{self._deaths} worker processes died one after another, the last {reason}; "
                "use fewer --workers if memory is short; the same command goes on behind them"
            )
        tasks = [task for chunk in worker.chunks for task in chunk]
        if len(tasks) == 1:
            yield [Death(tasks[0], reason)]
        else:
            self._suspects += tasks
        self._start()


def _exit_reason(code: int | None) -> str:
    if code is None or code >= 0:
        return f"with exit code {code}"
    try:
        return f"of {signal.Signals(-code).name}"
    except ValueError:
        return f"of signal {-code}"


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let no Ctrl-C reach a process that is started in the block, at any time: its parent ends it.

    A child inherits which signals are blocked; this process gets its own after the block.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _work(connection: Connection, model: LoadedModel, with_ids: bool) -> None:
    """Classify chunks until the other end is closed, as it is when its process dies."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(EOFError, ConnectionError), one_thread():
        try:
            maker = RowMaker(model, with_ids=with_ids)
            connection.send(None)
            while True:
                connection.send([maker.row(task) for task in connection.recv()])
        except CxrEdgeError as err:
            connection.send(err)
