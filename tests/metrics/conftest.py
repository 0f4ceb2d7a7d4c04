"""Drawn evaluation documents. Tests of the page load the same drawn.py."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def drawn() -> SimpleNamespace:
    """The functions and constants of drawn.py."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("drawn.py"))))
