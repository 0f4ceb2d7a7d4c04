"""Progress on a terminal: from 0, with the time left; only a label elsewhere."""

from __future__ import annotations

import io
import re
import time
from contextlib import redirect_stderr

import pytest

from cxr_edge.cli.output import console
from cxr_edge.cli.output.console import Terminal, TimeLeft


class Screen(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(console, "_REDRAW_SECONDS", 0.0)
    return Screen()


def frames(screen: Screen) -> list[str]:
    return [frame.strip() for frame in screen.getvalue().split("\r\x1b[K") if frame.strip()]


def test_a_bar_starts_empty_and_ends_full(screen: Screen) -> None:
    with redirect_stderr(screen), Terminal().bar("reading") as advance:
        for done in (1, 2, 3, 4):
            advance(done, 4)
    first, *middle, last = frames(screen)
    assert first == f"reading  [{'-' * 30}]"
    assert [frame.split("]")[1].split()[0] for frame in middle] == ["1/4", "2/4", "3/4", "4/4"]
    assert last == f"reading  [{'#' * 30}]  4/4"
    assert screen.getvalue().endswith("\n")


def test_a_bar_names_the_time_left(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with redirect_stderr(screen), Terminal().bar("training") as advance:
        for done, seconds in ((1, 60.0), (2, 1.0), (6, 4.0)):
            now[0] += seconds
            advance(done, 100)
    _, first, second, third, _ = frames(screen)
    assert first.endswith("1/100") and second.endswith("2/100")
    assert third.endswith("6/100  2 min left")  # 94 steps of a second; the slow first is no step


def test_a_narrow_terminal_and_a_rate(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    with redirect_stderr(screen), Terminal().bar("classifying", with_rate=True) as advance:
        advance(5, 5)
    assert all(len(frame) <= 19 for frame in frames(screen))
    assert re.match(r"classifying, \d+/s", frames(screen)[1])


def test_elsewhere_only_the_label_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal().bar("reading") as advance:
        advance(1, 2)
    assert capsys.readouterr().err == "reading\n"


def test_only_what_is_slow_is_announced(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    with redirect_stderr(screen), Terminal().if_slow("loading …"):
        pass
    assert screen.getvalue() == ""
    monkeypatch.setattr(console, "_SLOW_SECONDS", 0.01)
    with redirect_stderr(screen), Terminal().if_slow("loading …"):
        deadline = time.monotonic() + 5
        while not screen.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert frames(screen) == ["loading …"]


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize("first", [0, 600])
def test_the_first_time_left_does_not_count_what_came_before_the_second_step(first: int) -> None:
    """A training compiles for 20 s in its first step; a resumed one begins in the middle."""
    clock = Clock()
    time_left = TimeLeft(clock)
    clock.seconds += 20
    texts = []
    for step in range(1, 30):
        texts.append(time_left.text(first + step, first + 1201))
        clock.seconds += 0.25
    named = [text for text in texts if text]
    assert named[0] == "5 min left"  # 1,200 steps of a quarter of a second
    assert texts.index(named[0]) == 8  # after two seconds of steps


def test_few_steps_are_no_estimate_and_the_last_has_no_time_left() -> None:
    clock = Clock()
    time_left = TimeLeft(clock)
    for step in range(1, 6):
        assert time_left.text(step, 10) == ""
        clock.seconds += 10
    assert time_left.text(6, 10) == "40 s left"
    assert time_left.text(10, 10) == ""


def test_hours_are_named_as_such() -> None:
    clock = Clock()
    time_left = TimeLeft(clock)
    time_left.text(0, 1000)
    clock.seconds += 100
    assert time_left.text(10, 1000) == "2.8 h left"


def test_a_warning_stands_out(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().warn("it is dead")
    assert capsys.readouterr().err == "WARNING: it is dead\n"
