"""Altair charts, defined once: a specification for a page, or a PNG."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np

from cxr_edge.extras import require
from cxr_edge.report.theme import LIGHT, Palette, chart_config, resolve

if TYPE_CHECKING:
    import altair as alt

EXTRA = "report"
PACKAGES = ("altair", "vl_convert", "jinja2")
"""Modules that the extra brings."""
PNG_WIDTH_PX = 720
_NOT_IN_SVG = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


Chart: TypeAlias = "alt.Chart | alt.LayerChart | alt.FacetChart"
"""What Altair's methods may return of one view or of layers; facets do not fit a column."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with what a reader needs to understand it."""

    name: str
    """Its id on a page and its file name as a picture: letters, digits and dashes."""
    title: str
    """A few words; text, not markup."""
    caption: str
    """What is drawn and what to look at; text, not markup."""
    chart: Chart
    """One view or layers of it, without a width: a page fits it to its column. Its height is in
    pixels; with ``alt.Step``, Vega-Lite warns on the browser's console."""
    wide: bool = False
    """Whether it takes the whole width of a page."""


def significant(value: float, digits: int = 4) -> float:
    """A number rounded for a chart: more digits make a page larger and show nothing."""
    return float(f"{value:.{digits}g}")


def require_report() -> None:
    """Check that charts and pages can be drawn here.

    Raises:
        MissingExtraError: a package of the extra ``report`` is not installed.
    """
    for module in PACKAGES:
        require(module, EXTRA)


def records(values: Sequence[Mapping[str, object]]) -> Any:
    """Data of a chart, as ``alt.Chart`` takes it.

    Altair copies and validates a chart's data at every step, which takes most of the time of
    drawing a page; of a text it copies a reference, and it keeps equal data of several layers
    once. :func:`specification` unpacks it.
    """
    alt = require("altair", EXTRA)
    text = json.dumps(list(values), allow_nan=False)
    return alt.InlineData(values=text, format=alt.DataFormat(type="json"))


def specification(chart: Chart) -> dict[str, Any]:
    """A chart in Vega-Lite, as wide as what it stands in; its colours are CSS variables.

    The configuration is left out: a page has :func:`~cxr_edge.report.theme.chart_config` once.
    """
    alt = require("altair", EXTRA)
    with alt.theme.enable("none"):
        # A test validates every chart; here it would take half of the time of a page.
        drawn: dict[str, Any] = chart.properties(width="container").to_dict(validate=False)
    del drawn["$schema"]  # an address that nothing needs
    texts = drawn.pop("datasets", {})
    if texts:
        drawn["datasets"] = {name: json.loads(text) for name, text in texts.items()}
    unpacked: dict[str, Any] = _printable(_without_format(drawn))
    return {**unpacked, "autosize": {"type": "fit-x", "contains": "padding"}}


def _printable(node: Any) -> Any:
    """The same with escapes for characters that SVG may not hold: the renderer aborts on them."""
    if isinstance(node, str):
        return _NOT_IN_SVG.sub(lambda found: ascii(found[0])[1:-1], node)
    if isinstance(node, list):
        return [_printable(value) for value in node]
    if isinstance(node, dict):
        return {key: _printable(value) for key, value in node.items()}
    return node


def _without_format(node: Any) -> Any:
    """A specification that refers to lists where :func:`records` made it refer to texts."""
    if isinstance(node, list):
        return [_without_format(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _without_format(value) for key, value in node.items() if key != "datasets"}
    if kept.get("format") == {"type": "json"}:
        del kept["format"]
    return kept | ({"datasets": node["datasets"]} if "datasets" in node else {})


def png(
    chart: Chart,
    *,
    palette: Palette = LIGHT,
    width_px: int = PNG_WIDTH_PX,
    scale: float = 2,
) -> bytes:
    """A chart as a PNG file.

    Args:
        chart: as on a page.
        palette: its colours.
        width_px: width before scaling, axes included.
        scale: pixels per CSS pixel; 2 is sharp on most screens.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
    """
    config = {**chart_config(), "background": palette.background, "padding": 12}
    drawn = resolve({**specification(chart), "width": width_px, "config": config}, palette)
    picture = require("vl_convert", EXTRA).vegalite_to_png(
        drawn, scale=scale, vl_version=vega_lite_version()
    )
    # vl-convert compresses for speed and keeps an alpha channel: five times the size.
    pixels: Any = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    data: bytes = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    return data


def vega_lite_version() -> str:
    """The version that the installed Altair writes, as vl-convert names it, such as ``6.4``."""
    version: str = require("altair", EXTRA).SCHEMA_VERSION
    return ".".join(version.removeprefix("v").split(".")[:2])
