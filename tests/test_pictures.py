"""The pictures of README and docs: there, small, and written by a command."""

from __future__ import annotations

import runpy
from pathlib import Path

import cv2

ROOT = Path(__file__).parent.parent
MAX_BYTES = 150_000
NAMES = ("benchmark.png", "heatmap.png")


def test_they_are_there_and_small():
    for name in NAMES:
        assert 10_000 < (ROOT / "docs/pictures" / name).stat().st_size < MAX_BYTES, name


def test_the_command_writes_them(tmp_path):
    runpy.run_path(str(ROOT / "benchmarks/pictures.py"))["main"](tmp_path)
    for name in NAMES:
        drawn, kept = (cv2.imread(str(f / name)) for f in (tmp_path, ROOT / "docs/pictures"))
        assert drawn.shape == kept.shape, name
        # Fonts and engines of another machine move single pixels, not the picture.
        assert cv2.absdiff(drawn, kept).mean() < 4, name
