"""A busy, hot or throttled machine is a warning."""

from __future__ import annotations

import dataclasses
import os
from types import SimpleNamespace

import pytest

from cxr_edge.benchmark import machine_state
from cxr_edge.benchmark.machine_state import read_machine_state, state_warnings
from cxr_edge.benchmark.report import MachineState
from cxr_edge.device.machine import this_machine

QUIET = MachineState(0.1, 2400.0, "performance", 45.0, False)


def warnings(before: MachineState, after: MachineState = QUIET) -> list[str]:
    return list(state_warnings(this_machine(), before, after))


def test_what_makes_figures_doubtful_is_said() -> None:
    assert warnings(QUIET) == []
    assert warnings(MachineState(None, None, None, None, None)) == []
    (busy,) = warnings(dataclasses.replace(QUIET, load_average=2.5))
    assert "busy" in busy and "2.50" in busy
    (throttled,) = warnings(QUIET, dataclasses.replace(QUIET, throttled=True))
    assert "throttled" in throttled
    (hot,) = warnings(QUIET, dataclasses.replace(QUIET, temperature_c=84.6))
    assert "85 degrees" in hot
    (saving,) = warnings(dataclasses.replace(QUIET, governor="powersave"))
    assert "powersave" in saving


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("throttled=0x0", False),
        ("throttled=0x50005", True),
        ("throttled=0x50000", False),  # it was, but is not now
        ("nothing of the kind", None),
    ],
)
def test_a_raspberry_pi_says_whether_it_is_throttled(
    output: str, expected: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_state.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(
        machine_state.subprocess, "run", lambda *a, **k: SimpleNamespace(stdout=output + "\n")
    )
    assert read_machine_state().throttled is expected


def test_a_load_average_that_cannot_be_read_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> tuple[float, float, float]:
        raise OSError("unobtainable")

    monkeypatch.setattr(os, "getloadavg", fail)
    assert read_machine_state().load_average is None
