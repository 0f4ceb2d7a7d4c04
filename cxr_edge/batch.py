"""Many images at once: worker threads, answers in order, never more in memory than is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from cxr_edge.errors import UsageError

if TYPE_CHECKING:
    from concurrent.futures import Future

S = TypeVar("S")
T = TypeVar("T")

# Answers that may wait for an earlier one, for each worker: a slow image stops nobody for long.
_AHEAD = 4


def in_order(answer: Callable[[S], T], sources: Iterable[S], workers: int) -> Iterator[T]:
    """Answer every source, in order, several at a time.

    Threads are enough: reading, decoding, resizing and inference all happen outside Python's lock.

    Args:
        answer: is called by any of the workers.
        sources: are taken a few ahead of what is yielded, with more than one worker.
        workers: threads, at least 1; with 1 there are none, and nothing is taken ahead.

    Raises:
        UsageError: ``workers`` is below 1.
    """
    if workers < 1:
        raise UsageError(f"workers is {workers}, expected at least 1")
    return map(answer, sources) if workers == 1 else _by_threads(answer, sources, workers)


def _by_threads(answer: Callable[[S], T], sources: Iterable[S], workers: int) -> Iterator[T]:
    from concurrent.futures import ThreadPoolExecutor

    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="cxr-edge")
    try:
        for source in sources:
            waiting.append(pool.submit(answer, source))
            if len(waiting) > _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # also when the caller stops early, or is interrupted
        pool.shutdown(cancel_futures=True)
