"""What is said of this machine is what was measured on it."""

from __future__ import annotations

import dataclasses

import pytest

from cxr_edge.bundle.reader import Bundle
from cxr_edge.device.doctor import diagnose
from cxr_edge.device.machine import this_machine
from cxr_edge.errors import EngineError

MEASURE = "cxr_edge.engines.onnxruntime.sums_are_exact"


@pytest.mark.parametrize(
    ("architecture", "measured", "said"),
    [
        ("x86_64", True, True),
        ("x86_64", False, False),
        ("aarch64", True, True),
        ("aarch64", False, None),  # no arm64 CPU saturates: something else is wrong
    ],
)
def test_sums_saturate_only_where_that_is_known(
    monkeypatch: pytest.MonkeyPatch, architecture: str, measured: bool, said: bool | None
) -> None:
    machine = dataclasses.replace(this_machine(), architecture=architecture)
    monkeypatch.setattr("cxr_edge.device.doctor.this_machine", lambda: machine)
    monkeypatch.setattr(MEASURE, lambda: measured)
    assert diagnose(Bundle.open()).sums_are_exact is said


@pytest.mark.parametrize("err", [EngineError("it fails"), ImportError("libgomp is missing")])
def test_what_cannot_be_measured_is_unknown(
    monkeypatch: pytest.MonkeyPatch, err: Exception
) -> None:
    def fail() -> bool:
        raise err

    monkeypatch.setattr(MEASURE, fail)
    assert diagnose(Bundle.open()).sums_are_exact is None
