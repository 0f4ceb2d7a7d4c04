"""A drawn report and its variants; tests in a browser load the same drawn.py."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from cxr_edge.benchmark.report import Report

_DRAWN = runpy.run_path(str(Path(__file__).parents[2] / "benchmark/drawn.py"))
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


@pytest.fixture(scope="session")
def whole_page() -> bytes:
    """The page of a report with all that a report can have."""
    from cxr_edge.report.benchmark.page import report_page

    return report_page(_DRAWN["draw_report"]())
