"""Several at a time: results in order, not far ahead, and no thread left when the caller stops."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from cxr_edge.device.batch import map_in_order
from cxr_edge.errors import EngineError, UsageError


def square(number: int) -> int:
    return number * number


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order_however_long_each_takes(workers: int) -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number % 7 == 0 else 0)
        return square(number)

    assert list(map_in_order(slow_first, range(50), workers)) == [square(n) for n in range(50)]
    assert list(map_in_order(square, [], workers)) == []


def test_workers_work_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=10)

    def wait(number: int) -> int:
        meeting.wait()  # breaks unless three are here at once
        return number

    assert list(map_in_order(wait, range(6), 3)) == list(range(6))


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_only_some_are_taken_ahead(workers: int) -> None:
    taken = 0

    def sources() -> Iterator[int]:
        nonlocal taken
        while taken < 1000:
            taken += 1
            yield taken

    results = map_in_order(square, sources(), workers)
    for number in range(1, 101):
        assert next(results) == square(number)
        assert taken <= number + 5 * workers
    assert (taken == 100) == (workers == 1)


def test_an_error_reaches_the_caller_in_its_turn_and_ends_the_work() -> None:
    done = []

    def fail_at_5(number: int) -> int:
        done.append(number)
        if number == 5:
            raise ValueError("five")
        return number

    results = map_in_order(fail_at_5, range(10_000), 2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(results)
    assert len(done) < 50
    assert threads() == 0


def test_a_caller_that_stops_early_leaves_no_thread_behind() -> None:
    results = map_in_order(square, range(10_000), 3)
    assert next(results) == 0
    assert threads() > 0
    results.close()  # type: ignore[attr-defined]
    assert threads() == 0


def threads() -> int:
    return sum(thread.name.startswith("cxr-edge") for thread in threading.enumerate())


def test_no_worker_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="workers is 0"):
        map_in_order(square, [1], 0)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of Python 3.12
def test_a_fork_gets_an_error_instead_of_waiting_for_its_parents_workers() -> None:
    results = map_in_order(square, range(100), 2)
    assert next(results) == 0
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        try:
            next(results)
        except EngineError as err:
            os._exit(0 if "fork" in str(err) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert list(results) == [square(number) for number in range(1, 100)]
