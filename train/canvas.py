"""What all pictures share: size, colours, and how they are written; for pages 700 pixels wide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.extras import require_figure
from cxr_edge.files import atomic_path
from cxr_edge.metrics import Interval
from cxr_edge.spec import ModelSpec

_DPI = 110
BLUE, ORANGE, GREY = "#2f6db3", "#d9822b", "#7a7a7a"
WIDE = 7.0
"""Width of a picture that fills a page, inches."""


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> Any:
    """A figure of ``width`` x ``height`` inches with its axes, laid out so that nothing is cut."""
    figure = require_figure("evaluate")(figsize=(width, height), dpi=_DPI, layout="constrained")
    return figure, figure.subplots(rows, columns)


def show_image(axes: Any, image: npt.NDArray[np.uint8]) -> None:
    """Draw one (H, W, 1) or (H, W, 3) image."""
    axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure as PNG; raises OutputError where it cannot be written."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, metadata={"Software": None})


def score_name(spec: ModelSpec) -> str:
    """What the reported score is called on an axis."""
    return escape_formulas([f"P({spec.positive_label})" if spec.positive_label else "largest P"])[0]


def escape_formulas(names: list[str]) -> list[str]:
    """Names as they are: matplotlib would set what stands between dollars as a formula."""
    return [name.replace("$", r"\$") for name in names]


def error_bars(found: Interval) -> Any:
    """Lengths of error bars, (2, 1); a percentile interval need not hold its figure."""
    return [[max(0.0, found.value - found.low)], [max(0.0, found.high - found.value)]]
