"""The one thread that classifies: health first; uploads, heat maps and files take turns."""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from cxr_edge.service.health import Health
from cxr_edge.service.inbox.intake import Intake
from cxr_edge.service.recorder import Recorder, Stopping
from cxr_edge.service.store.rows import StoredResult

_MOST_WAITING = 8
"""Uploads, and requests for heat maps, that wait at a time."""

_IDLE_S = 0.5
_DISK_S = 2.0


class QueueFull(Exception):  # noqa: N818 - nothing failed
    """Too many requests wait; try again later."""


class Paused(Exception):  # noqa: N818 - nothing failed
    """No work is taken now; the argument says why."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The stored result of an upload."""

    result: StoredResult
    is_new: bool
    """False: the same name and content were delivered before."""


@dataclass(frozen=True, slots=True)
class _Upload:
    name: str
    data: bytes
    future: Future[Delivered]


@dataclass(frozen=True, slots=True)
class _HeatmapRequest:
    result: StoredResult
    future: Future[bytes]


class Worker:
    """A thread that does one thing at a time."""

    def __init__(
        self,
        recorder: Recorder,
        health: Health,
        intakes: Sequence[Intake],
        *,
        upkeep: Callable[[], None],
    ) -> None:
        """Prepare the thread.

        Args:
            recorder: classifies and stores.
            health: is asked whether work may be taken.
            intakes: files of the inbox, and of the folder of received objects.
            upkeep: called between images, and when there is nothing to do.
        """
        self._recorder, self._health, self._intakes = recorder, health, tuple(intakes)
        self._upkeep = upkeep
        self._uploads: deque[_Upload] = deque()
        self._heatmaps: deque[_HeatmapRequest] = deque()
        self._wake = threading.Condition()
        takes = [functools.partial(self._take_file, intake) for intake in self._intakes]
        self._turns: deque[Callable[[], bool]]
        self._turns = deque([self._answer_upload, self._draw_heatmap, *takes])
        self._stopping = False
        self._next_disk = 0.0
        self.failure: BaseException | None = None
        """What ended the thread; None: it was stopped, or goes on."""
        self._thread = threading.Thread(target=self._run_or_fail, name="worker", daemon=True)

    # --- called by other threads

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the image in hand, refuse what waits, and end."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        self._recorder.stop()
        self._thread.join()

    @property
    def is_running(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Look for work now: a file is complete."""
        with self._wake:
            self._wake.notify_all()

    def submit(self, name: str, data: bytes) -> Future[Delivered]:
        """Have an upload classified and stored.

        Raises:
            QueueFull: too many wait.
            Paused: no work is taken now.
        """
        if reason := self._health.paused:
            raise Paused(reason)
        upload = _Upload(name, data, Future())
        self._put(self._uploads, upload)
        return upload.future

    def heatmap(self, result: StoredResult) -> Future[bytes]:
        """Have the heat map of a stored result drawn, as PNG.

        The future fails with :class:`cxr_edge.service.heatmaps.NoHeatmap` where there is none.

        Raises:
            QueueFull: too many wait.
        """
        request = _HeatmapRequest(result, Future())
        self._put(self._heatmaps, request)
        return request.future

    def _put(self, queue: deque, item: _Upload | _HeatmapRequest) -> None:  # type: ignore[type-arg]
        with self._wake:
            if len(queue) >= _MOST_WAITING or self._stopping:
                raise QueueFull
            queue.append(item)
            self._wake.notify_all()

    @property
    def waiting(self) -> int:
        """Uploads and files that are not classified yet."""
        return len(self._uploads) + sum(intake.waiting for intake in self._intakes)

    # --- the thread

    def _run_or_fail(self) -> None:
        try:
            self._run()
        except Stopping:
            pass
        except BaseException as err:
            self.failure = err
        finally:
            with self._wake:
                self._stopping = True
            for upload in self._uploads:
                upload.future.cancel()
            for request in self._heatmaps:
                request.future.cancel()

    def _run(self) -> None:
        while not self._stopping:
            self._health.beat()
            now = time.monotonic()
            if now >= self._next_disk:
                self._next_disk = now + _DISK_S
                self._health.check_disk()
                if self._health.has_problem("store"):
                    self._recorder.check_store()
            if self._health.check_is_due:
                self._recorder.check_health()
            self._upkeep()
            if not self._work():
                with self._wake:
                    if not (self._stopping or self._uploads or self._heatmaps):
                        self._wake.wait(_IDLE_S)

    def _work(self) -> bool:
        """Do one thing; uploads, heat maps and files take turns, so that none waits for ever.

        Returns:
            Whether there was one.
        """
        for _ in range(len(self._turns)):
            self._turns.rotate(-1)
            if self._turns[-1]():
                return True
        return False

    def _answer_upload(self) -> bool:
        if not self._uploads:
            return False
        upload = self._uploads.popleft()
        name, data = upload.name, upload.data
        _answer(upload.future, lambda: Delivered(*self._recorder.upload(name, data)))
        self._recorder.keep_upload()
        return True

    def _draw_heatmap(self) -> bool:
        if not self._heatmaps:
            return False
        request = self._heatmaps.popleft()
        _answer(request.future, lambda: self._recorder.heatmap(request.result))
        return True

    def _take_file(self, intake: Intake) -> bool:
        return not self._health.paused and intake.take()


def _answer(future: Future, make: Callable[[], object]) -> None:  # type: ignore[type-arg]
    """Do what a request asks for; it gets the result, or the error."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(make())
    except Stopping as err:
        future.set_exception(err)
        raise
    except Exception as err:
        future.set_exception(err)
