"""Progress on stderr."""

from __future__ import annotations

import pytest

from cxr_edge.cli.console import Terminal, TimeLeft


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


def test_a_bar_starts_at_nothing_and_then_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Terminal().bar("work") as advance:
        before = capsys.readouterr().err
        advance(0, 4)
        advance(1, 4)
        after = capsys.readouterr().err
    assert "work" in before and "0/1" not in before and "#" not in before
    assert "1/4" in after and "25%" not in before


def test_in_a_file_the_label_is_written_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal().bar("work", with_rate=True) as advance:
        for step in range(5):
            advance(step + 1, 5)
    assert capsys.readouterr().err == "work\n"


def test_a_warning_stands_out(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().warn("it is dead")
    assert capsys.readouterr().err == "WARNING: it is dead\n"
