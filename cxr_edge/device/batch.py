"""Several images at a time: worker threads, results in order, bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from cxr_edge.errors import EngineError, UsageError

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")

_PENDING_PER_WORKER = 4  # enough that one slow image does not leave the other workers idle


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Apply a function to every item on worker threads; results come in the items' order.

    Threads are enough: reading, decoding, resizing and inference all release Python's lock.

    Args:
        function: called from any worker thread; its exceptions reach the caller.
        items: taken a few ahead of what is yielded.
        workers: threads, at least 1; 1 starts no thread and takes no item ahead.

    Raises:
        UsageError: ``workers`` is below 1.
        EngineError: the results are taken in a fork of the process that began.
    """
    if workers < 1:
        raise UsageError(f"workers is {workers}, expected at least 1")
    return map(function, items) if workers == 1 else _map_on_threads(function, items, workers)


def _map_on_threads(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    from concurrent.futures import ThreadPoolExecutor

    pending: deque[Future[Result]] = deque()
    process = os.getpid()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="cxr-edge")
    try:
        for item in items:
            _check_process(process)
            pending.append(pool.submit(function, item))
            if len(pending) > _PENDING_PER_WORKER * workers:
                yield pending.popleft().result()
        while pending:
            _check_process(process)
            yield pending.popleft().result()
    finally:  # also when the caller stops early or is interrupted
        pool.shutdown(cancel_futures=True)


def _check_process(process: int) -> None:
    """Refuse to wait in a fork for workers that only its parent has.

    Raises:
        EngineError: this is another process than the one that began.
    """
    if os.getpid() != process:
        raise EngineError(
            f"these images are being processed in process {process} and this is a fork of it; "
            "begin in the process that takes the results"
        )
