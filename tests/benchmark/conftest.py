"""A drawn report, and what a report can be like. System tests load the same drawn.py."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from cxr_edge.benchmark.report import Report

_DRAWN = runpy.run_path(str(Path(__file__).with_name("drawn.py")))
VARIANTS: dict[str, Callable[[Report], Report]] = _DRAWN["VARIANTS"]


@pytest.fixture(scope="session")
def drawn() -> SimpleNamespace:
    """The functions and constants of drawn.py."""
    return SimpleNamespace(**_DRAWN)


@pytest.fixture
def draw_report() -> Callable[..., Report]:
    """A function that draws a report; its keywords replace fields."""
    return _DRAWN["draw_report"]


@pytest.fixture(params=VARIANTS)
def any_report(request: pytest.FixtureRequest) -> Report:
    """Whatever a report can be like, one after the other."""
    return VARIANTS[request.param](_DRAWN["draw_report"]())
