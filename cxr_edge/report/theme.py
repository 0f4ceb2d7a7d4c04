"""Colours of pages and charts, light and dark, and the look that all charts share.

A chart names its colours as the CSS variables of the page (:data:`TEXT`, :data:`SERIES`, …), so
the browser follows the reader's light or dark scheme without drawing again. A PNG has no
stylesheet: :func:`resolve` puts a palette's colours in their place.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours, as CSS writes them."""

    text: str
    muted: str
    """Secondary text and axis labels."""
    line: str
    """Grid lines and borders."""
    background: str
    panel: str
    """Background of code, table heads and boxes."""
    warning: str
    """Notices, and whatever went wrong."""
    good: str
    """What is as it should be."""
    series: tuple[str, ...]
    """Colours of categories in order: Okabe and Ito's, told apart by colour-blind readers."""


LIGHT = Palette(
    text="#1b1f24",
    muted="#57606a",
    line="#d8dee4",
    background="#ffffff",
    panel="#f6f8fa",
    warning="#a8321f",
    good="#00664d",
    series=(
        "#0072b2", "#d55e00", "#008a66", "#b3608f",
        "#c98500", "#3f9bd0", "#7a6a00", "#6b6b6b",
    ),
)  # fmt: skip
DARK = Palette(
    text="#e6e8eb",
    muted="#a4adb7",
    line="#3a424b",
    background="#14181c",
    panel="#1e242a",
    warning="#ff9d8a",
    good="#5fd3ae",
    series=(
        "#5cb3ec", "#f08a4b", "#2fc79b", "#dd9cc3",
        "#f0b43c", "#8fd0f5", "#e3d84a", "#b5b5b5",
    ),
)  # fmt: skip

TEXT = "var(--text)"
MUTED = "var(--muted)"
LINE = "var(--line)"
BACKGROUND = "var(--background)"
WARNING = "var(--warning)"
SERIES = tuple(f"var(--series-{number})" for number in range(len(LIGHT.series)))
"""For categories; a chart with more categories than colours starts again with the first."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
FONT_SIZE_PX = 12


def css_variables(palette: Palette) -> dict[str, str]:
    """The CSS variables of a palette: name without dashes → colour."""
    values = dataclasses.asdict(palette)
    series = values.pop("series")
    return {**values, **{f"series-{number}": colour for number, colour in enumerate(series)}}


def css() -> str:
    """The rules that define the variables; a page on paper is always light."""

    def rule(palette: Palette) -> str:
        values = "; ".join(f"--{name}: {c}" for name, c in css_variables(palette).items())
        return f":root {{ {values} }}"

    return (
        f":root {{ color-scheme: light dark; --font: {FONT} }}\n{rule(LIGHT)}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ {rule(DARK)} }}\n"
    )


def resolve(specification: dict[str, Any], palette: Palette) -> dict[str, Any]:
    """A chart's specification with a palette's colours instead of CSS variables."""
    colours = css_variables(palette)
    text = re.sub(r"var\(--([\w-]+)\)", lambda m: colours[m[1]], json.dumps(specification))
    resolved: dict[str, Any] = json.loads(text)
    return resolved


def chart_config() -> dict[str, Any]:
    """The Vega-Lite configuration of every chart."""
    return {
        "background": "transparent",
        "font": FONT,
        "padding": 4,
        "view": {"stroke": None},
        "title": {"color": TEXT, "anchor": "start", "fontSize": FONT_SIZE_PX + 1},
        "axis": {
            "labelColor": MUTED, "titleColor": TEXT, "titleFontWeight": "normal",
            "labelFontSize": FONT_SIZE_PX, "titleFontSize": FONT_SIZE_PX, "titlePadding": 8,
            "gridColor": LINE, "domainColor": LINE, "tickColor": LINE, "labelOverlap": True,
            "titleLimit": {"expr": "width"},
        },
        "axisX": {"tickCount": {"expr": "ceil(width / 60)"}, "labelSeparation": 6},
        # Titles of upright axes lie above them, where they cost no width.
        "axisY": {
            "titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleY": -10, "titleX": 0,
        },
        "legend": {
            "labelColor": TEXT, "titleColor": MUTED, "titleFontWeight": "normal",
            "labelFontSize": FONT_SIZE_PX, "titleFontSize": FONT_SIZE_PX,
            "labelLimit": {"expr": "width - 24"},
            "orient": "top", "symbolStrokeWidth": 2, "symbolOpacity": 1, "offset": 14,
            "symbolBaseFillColor": TEXT, "symbolBaseStrokeColor": TEXT,
            # Several legends stand one above the other: a telephone has no room for two.
            "layout": {"top": {"direction": "vertical", "anchor": "start", "margin": 10}},
        },
        "header": {"labelColor": TEXT, "titleColor": TEXT},
        "text": {"color": TEXT, "fontSize": FONT_SIZE_PX},
        "rule": {"color": MUTED},
        "line": {"strokeWidth": 2},
        "bar": {"color": SERIES[0]},
        "point": {"color": SERIES[0], "filled": True, "size": 60},
        "circle": {"color": SERIES[0]},
        "tick": {"color": SERIES[0]},
        "range": {"category": list(SERIES)},
    }  # fmt: skip
