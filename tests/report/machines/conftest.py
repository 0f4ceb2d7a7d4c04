"""Drawn reports of several machines."""

from __future__ import annotations

import dataclasses
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from cxr_edge.benchmark.report import Report, Row
from cxr_edge.device.machine import Machine

_DRAWN = runpy.run_path(str(Path(__file__).parents[2] / "benchmark/drawn.py"))

PI = Machine("Raspberry Pi 5 Model B Rev 1.0", "aarch64", ("asimd", "asimddp"), 4, "1" * 16)


def slower(row: Row, factor: float) -> Row:
    """The same with every time of inference multiplied."""
    if row.latency is None:
        return row
    names = ("p50_ms", "p90_ms", "p99_ms", "max_ms", "mean_ms", "jitter_ms")
    times = {name: factor * getattr(row.latency, name) for name in names}
    return dataclasses.replace(row, latency=dataclasses.replace(row.latency, **times))


@pytest.fixture(scope="session")
def drawn() -> SimpleNamespace:
    """The functions and constants of drawn.py."""
    return SimpleNamespace(**_DRAWN)


@pytest.fixture(scope="session")
def server() -> Report:
    """Two CPUs with VNNI."""
    return _DRAWN["draw_report"]()  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def pi(server: Report) -> Report:
    """Four times as slow, without OpenVINO."""
    rows = tuple(slower(row, 4) for row in server.rows if row.engine != "openvino")
    names = {row.name for row in rows}
    answers = tuple(a for a in server.answers if a.row in names)
    return dataclasses.replace(
        server, machine=PI, rows=rows, answers=answers, warnings=("it was throttled",)
    )


@pytest.fixture(scope="session")
def other_bundle(pi: Report) -> Report:
    """Of another bundle, which shares one file."""
    return dataclasses.replace(
        pi,
        bundle_sha256="f" * 64,
        files_sha256={"onnx-int8": "ab" * 32, "onnx-fp32": "ee" * 32},
    )


@pytest.fixture(scope="session")
def change() -> Callable[..., Report]:
    """``dataclasses.replace``, in settings too."""

    def changed(report: Report, **settings: object) -> Report:
        return dataclasses.replace(
            report,
            settings=dataclasses.replace(report.settings, **settings),  # type: ignore[arg-type]
        )

    return changed
