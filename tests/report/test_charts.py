"""A chart is one definition for pages and pictures, in the colours of a palette."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import altair as alt
import cv2
import numpy as np
import pytest

from cxr_edge.report import theme
from cxr_edge.report.charts import png, records, specification

small_chart = runpy.run_path(str(Path(__file__).with_name("conftest.py")))["small_chart"]


def test_a_page_s_chart_is_as_wide_as_its_column():
    chart = specification(small_chart())
    assert chart["width"] == "container"
    assert chart["autosize"] == {"type": "fit-x", "contains": "padding"}
    assert not {"$schema", "config"} & set(chart)


@pytest.mark.parametrize("palette", [theme.LIGHT, theme.DARK])
def test_a_picture_has_the_colours_of_its_palette(palette):
    picture = png(small_chart(), palette=palette, width_px=400, scale=1)
    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert abs(pixels.shape[1] - 400) <= 24
    colours = {"#" + bytes(pixel).hex() for pixel in pixels.reshape(-1, 3)}
    assert {palette.background, palette.series[0]} <= colours


def test_the_same_chart_gives_the_same_bytes():
    assert png(small_chart()) == png(small_chart())


def test_every_variable_that_charts_use_has_a_colour():
    text = json.dumps(theme.chart_config()) + theme.TEXT + theme.BACKGROUND
    named = set(re.findall(r"var\(--([\w-]+)\)", text + "".join(theme.SERIES)))
    for palette in (theme.LIGHT, theme.DARK):
        assert named <= set(theme.css_variables(palette))
    assert all(f"--{name}: " in theme.css() for name in named)
    assert "var(" not in json.dumps(theme.resolve(theme.chart_config(), theme.DARK))


def luminance(colour: str) -> float:
    channels = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("palette", [theme.LIGHT, theme.DARK])
def test_colours_stand_out_from_the_background(palette):
    def contrast(colour: str) -> float:
        one, other = sorted((luminance(colour), luminance(palette.background)))
        return (other + 0.05) / (one + 0.05)

    for colour in (palette.text, palette.muted, palette.warning, palette.good):
        assert contrast(colour) >= 4.5  # WCAG 2.2, 1.4.3: text
    for colour in palette.series:
        assert contrast(colour) >= 2.9, colour  # 1.4.11 asks for 3: marks


def test_characters_that_svg_may_not_hold_are_escaped() -> None:
    """The renderer ends the process where it meets one."""
    rows = records([{"label": f"c{character}[31m", "value": 1} for character in "\x1b\0\x85\ufffe"])
    chart = alt.Chart(rows).mark_bar().encode(x="value:Q", y="label:N")
    text = json.dumps(specification(chart), ensure_ascii=False)
    for escape in (r"c\\x1b[31m", r"c\\x00[31m", r"c\\x85[31m", r"c\\ufffe[31m"):
        assert escape in text
    assert cv2.imdecode(np.frombuffer(png(chart), np.uint8), cv2.IMREAD_COLOR) is not None
