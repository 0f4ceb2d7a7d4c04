"""A child process is timed, its memory measured, and its failure explained."""

from __future__ import annotations

import pytest

from cxr_edge.device import process
from cxr_edge.device.process import run_python
from cxr_edge.errors import EngineError


def test_time_and_peak_memory_are_those_of_the_child() -> None:
    small = run_python("small", ["-c", "print('hello'); print('you')"])
    large = run_python(
        "large", ["-c", "x = bytearray(b'1') * 200_000_000; import time; time.sleep(.2)"]
    )
    assert small.output == "hello\nyou"
    assert small.peak_mb < 60 < 200 < large.peak_mb
    assert large.ms > 200


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; sys.exit('too hot')", "x exited with 1: too hot"),
        ("import os; os.abort()", "x was killed by signal 6: it printed no error"),
        ("raise SystemExit(7)", "x exited with 7: it printed no error"),
    ],
)
def test_a_process_that_fails_says_why(code: str, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        run_python("x", ["-c", code])


def test_a_process_that_cannot_be_started_is_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_WATCH", "import sys; sys.exit('no more processes')")
    with pytest.raises(EngineError, match="x could not be started: no more processes"):
        run_python("x", ["-c", "pass"])


@pytest.mark.parametrize("printed", ["", "loading...", "[1, 2]", '["a", 1, 2]', "7", "{}"])
def test_output_that_is_no_list_of_numbers_is_an_error(printed: str) -> None:
    finished = run_python("x", ["-c", f"print({printed!r})"])
    with pytest.raises(EngineError, match="expected 3 numbers"):
        finished.numbers(3)


def test_numbers_are_taken_from_the_last_line() -> None:
    finished = run_python("x", ["-c", "print('a warning'); print([1, 2.5])"])
    assert finished.numbers(2) == [1.0, 2.5]
