"""Rescale, windows and polarity (PS3.3 C.11.1, C.11.2.1.2, C.11.2.1.3, C.8.11.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM needs the extra 'dicom'")

from dicom_files import draw, ramp, read_pixels, refusal, save
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from cxr_edge.errors import ImageError
from cxr_edge.image import read_image

DEEP = ramp(0, 4095, "u2")
EIGHT = ramp(3, 252, "u1")


def linear(x: float, center: float, width: float) -> float:
    """As the standard writes it, for 0..255."""
    if x <= center - 0.5 - (width - 1) / 2:
        return 0.0
    if x > center - 0.5 + (width - 1) / 2:
        return 255.0
    return ((x - (center - 0.5)) / (width - 1) + 0.5) * 255


def linear_exact(x: float, center: float, width: float) -> float:
    if x <= center - width / 2:
        return 0.0
    if x > center + width / 2:
        return 255.0
    return ((x - center) / width + 0.5) * 255


def sigmoid(x: float, center: float, width: float) -> float:
    with np.errstate(over="ignore"):
        return float(255 / (1 + np.exp(-4 * (x - center) / width)))


FORMULAS = {"LINEAR": linear, "LINEAR_EXACT": linear_exact, "SIGMOID": sigmoid}


@pytest.mark.parametrize("function", [None, *FORMULAS])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_every_function_by_its_formula(function: str | None, data: st.DataObject) -> None:
    slope = data.draw(st.sampled_from([1.0, 2.0, 0.5, -1.0]))
    intercept = data.draw(st.integers(-3000, 3000))
    width = data.draw(st.integers(1, 9000))
    center = data.draw(st.integers(-3000, 9000))
    tags = {"WindowCenter": center, "WindowWidth": width, "VOILUTFunction": function}
    data_set = draw(DEEP, 12, RescaleSlope=slope, RescaleIntercept=intercept, **tags)
    formula = FORMULAS[function or "LINEAR"]
    shown = [formula(float(x) * slope + intercept, center, width) for x in DEEP[0]]
    try:
        image = read_image(save(data_set))
    except ImageError as err:
        assert "single grey level" in str(err)
        assert max(shown) - min(shown) < 1
        return
    assert np.abs(image[0] - np.array(shown)).max() <= 0.51


def test_a_width_of_one_is_a_threshold() -> None:
    image = read_pixels(DEEP, 12, WindowCenter=2000, WindowWidth=1)
    assert (image == np.where(DEEP > 1999.5, 255, 0)).all()


def text(center: bytes, width: bytes) -> bytes:
    """A file whose window is written so."""
    data = save(draw(DEEP, 12, WindowCenter="111111", WindowWidth="222222"))
    return data.replace(b"111111", center.ljust(6)).replace(b"222222", width.ljust(6))


@pytest.mark.parametrize(
    ("center", "width"),
    [
        (b"2048", b"4000"),
        (b" 2048", b" 4000"),
        (b"2048\x00\x00", b"4000"),
        (b"2048.0", b"4.e3"),
        (b"+2048", b"40e+2"),
        (b"2048\\9", b"4000\\7"),
        (b"2048\\x", b"4000\\"),
        (b"2048", b"4000\\7"),
    ],
)
def test_how_windows_are_written(center: bytes, width: bytes) -> None:
    expected = read_pixels(DEEP, 12, WindowCenter=2048, WindowWidth=4000)
    assert (read_image(text(center, width)) == expected).all()


@pytest.mark.parametrize(
    ("center", "width", "named"),
    [
        (b"2048,5", b"4000", "WindowCenter is not a number"),
        (b"20 48", b"4000", "WindowCenter is not a number"),
        (b"\\2048", b"4000", "WindowCenter is not a number"),
        (b"nan", b"4000", "WindowCenter is not a number"),
        (b"2048", b"inf", "WindowWidth is not a number"),
        (b"2048", b"1e999", "WindowWidth is not a number"),
        (b"2_048", b"4000", "WindowCenter is not a number"),
        (b"2048", b"", "WindowCenter without WindowWidth"),
        (b"", b"4000", "WindowWidth without WindowCenter"),
        (b"2048", b"0", "expected a width of at least 1"),
        (b"2048", b"0.5", "expected a width of at least 1"),
        (b"2048", b"-9", "expected a width of at least 1"),
    ],
)
def test_windows_that_are_refused(center: bytes, width: bytes, named: str) -> None:
    assert named in refusal(text(center, width))


def test_an_empty_window_is_none() -> None:
    assert (read_image(text(b"", b"")) == read_pixels(DEEP, 12)).all()


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_other_functions_have_narrow_windows(function: str) -> None:
    tags = {"WindowCenter": 5, "VOILUTFunction": function}
    assert read_pixels(DEEP, 12, WindowWidth="0.5", **tags).max() == 255
    assert "more than 0" in refusal(save(draw(DEEP, 12, WindowWidth=0, **tags)))
    tags["VOILUTFunction"] = "CUBIC"
    data = save(draw(DEEP, 12, WindowWidth=9, **tags))
    assert (
        "window function is not a term of the standard, expected LINEAR, LINEAR_EXACT, SIGMOID"
        in refusal(data)
    )
    assert "Doe" not in refusal(data.replace(b"CUBIC ", b"Doe^J "))


@pytest.mark.parametrize(
    ("slope", "intercept"), [(16, 0), (1, -1024), (1, 0), ("0.01", 5), (3, "-0.5")]
)
def test_a_rescale_changes_nothing_without_a_window(slope: Any, intercept: Any) -> None:
    tags = {"RescaleSlope": slope, "RescaleIntercept": intercept, "RescaleType": "OD"}
    assert (read_pixels(EIGHT, 8, **tags) == EIGHT).all()
    signed = (EIGHT.astype(int) - 128).astype(np.int8)
    assert (read_pixels(signed, 8, **tags) == EIGHT).all()
    assert (read_pixels(DEEP, 12, **tags) == read_pixels(DEEP, 12)).all()


def test_a_negative_slope_inverts() -> None:
    tags = {"RescaleSlope": -1, "RescaleIntercept": 255}
    assert (read_pixels(EIGHT, 8, **tags) == 255 - EIGHT).all()


@pytest.mark.parametrize(
    ("tags", "named"),
    [
        ({"RescaleSlope": 2}, "RescaleSlope without RescaleIntercept"),
        ({"RescaleIntercept": 2}, "RescaleIntercept without RescaleSlope"),
        ({"RescaleSlope": 0, "RescaleIntercept": 2}, "RescaleSlope is 0"),
        ({"RescaleSlope": "1e308", "RescaleIntercept": 2}, "NaN or infinity"),
    ],
)
def test_rescales_that_are_refused(tags: dict[str, Any], named: str) -> None:
    assert named in refusal(save(draw(DEEP, 12, **tags)))


def test_a_window_beside_the_picture_is_refused() -> None:
    tags = {"WindowCenter": 30_000, "WindowWidth": 10}
    assert "single grey level" in refusal(save(draw(DEEP, 12, **tags)))


WINDOW = {"WindowCenter": 1000, "WindowWidth": 3000}


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),
    ],
)
def test_polarity_is_applied_once(photometric: str, shape: str | None, inverted: bool) -> None:
    tags = {"PhotometricInterpretation": photometric, "PresentationLUTShape": shape}
    for window in ({}, WINDOW):
        upright = read_pixels(DEEP, 12, **window)
        expected = 255 - upright if inverted else upright
        assert (read_pixels(DEEP, 12, **tags, **window) == expected).all()


@pytest.mark.parametrize(
    ("photometric", "shape", "named"),
    [
        ("MONOCHROME2", "INVERSE", "contradicts itself: MONOCHROME2"),
        ("MONOCHROME1", "IDENTITY", "contradicts itself: MONOCHROME1"),
        (
            "MONOCHROME2",
            "LIN OD",
            "PresentationLUTShape is not a term of the standard, expected IDENTITY",
        ),
    ],
)
def test_shapes_that_are_refused(photometric: str, shape: str, named: str) -> None:
    tags = {"PhotometricInterpretation": photometric, "PresentationLUTShape": shape}
    assert named in refusal(save(draw(DEEP, 12, **tags)))


def test_a_presentation_table_is_refused() -> None:
    item = Dataset()
    item.add_new(0x00283002, "US", [4096, 0, 12])
    item.add_new(0x00283006, "OW", np.arange(4096, dtype="<u2").tobytes())
    data = save(draw(DEEP, 12, PresentationLUTSequence=[item]))
    assert "Presentation LUT Sequence" in refusal(data)
    assert (read_pixels(DEEP, 12, PresentationLUTSequence=[]) == read_pixels(DEEP, 12)).all()


@pytest.mark.parametrize("padding", [None, 0])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", "none"])
def test_a_negative_with_its_window_shows_the_same(function: str, padding: int | None) -> None:
    """A twin stored as MONOCHROME1 has a mirrored window: LINEAR is centered on center - 0.5."""
    center = 1500
    tags, twin_tags = {}, {}
    if function != "none":
        tags = {"WindowCenter": center, "WindowWidth": 2500, "VOILUTFunction": function}
        mirrored = 4095 - center + (function == "LINEAR")
        twin_tags = tags | {"WindowCenter": mirrored}
    if padding is not None:
        tags["PixelPaddingValue"], twin_tags["PixelPaddingValue"] = padding, 4095 - padding
    twin_tags["PhotometricInterpretation"] = "MONOCHROME1"
    upright = read_pixels(DEEP, 12, **tags)
    twin = read_pixels(4095 - DEEP, 12, **twin_tags)
    assert np.abs(upright.astype(int) - twin).max() <= 1
    assert np.mean(upright != twin) < 0.05


def test_a_negative_of_eight_bits_is_the_same() -> None:
    twin = read_pixels(255 - EIGHT, 8, PhotometricInterpretation="MONOCHROME1")
    assert (twin == EIGHT).all()


def test_numbers_in_another_vr() -> None:
    """A number counts by what its bytes hold."""
    expected = read_pixels(DEEP, 12, WindowCenter=2048, WindowWidth=4000)
    dataset = draw(DEEP, 12)
    dataset.add_new(0x00281050, "FD", 2048.0)
    dataset.add_new(0x00281051, "UN", b"4000")
    dataset.add_new(0x00280010, "UL", 16)
    dataset.add_new(0x00280101, "IS", "12")
    assert (read_image(save(dataset)) == expected).all()
    dataset.add_new(0x00281050, "FD", float("nan"))
    assert "WindowCenter is not a number" in refusal(save(dataset))
    dataset.add_new(0x00281050, "US", [2048, 7])
    assert (read_image(save(dataset)) == expected).all()
    dataset.add_new(0x00280010, "US", [16, 16])
    assert "2 values of Rows, expected one" in refusal(save(dataset))
