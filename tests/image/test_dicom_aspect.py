"""Pixels that are not square (PS3.3 C.7.6.3.1.7, 10.7.1.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM needs the extra 'dicom'")

from dicom_files import draw, read_pixels, refusal, save


@pytest.fixture
def picture() -> np.ndarray:
    """(60, 100), smooth in both directions."""
    rows, columns = np.mgrid[:60, :100]
    return (rows * 2 + columns).astype(np.uint8)


@pytest.mark.parametrize(
    "tags",
    [
        {"PixelAspectRatio": [2, 1]},
        {"PixelSpacing": ["0.4", "0.2"]},
        {"ImagerPixelSpacing": ["0.4", "0.2"]},
        {"NominalScannedPixelSpacing": ["0.4", "0.2"]},
        {"PixelSpacing": ["0.4", "0.2"], "ImagerPixelSpacing": [1, 1], "PixelAspectRatio": [1, 1]},
        {"PixelSpacing": ["0.000", "0.000"], "PixelAspectRatio": [2, 1]},
    ],
)
def test_pixels_twice_as_tall_as_wide(tags: dict[str, Any], picture: np.ndarray) -> None:
    """The columns are averaged in pairs; the first value is the vertical size."""
    pairs = picture.reshape(60, 50, 2).astype(float).mean(axis=2)
    image = read_pixels(picture, 8, **tags)
    assert image.shape == (60, 50)
    assert np.abs(image - pairs).max() <= 0.51


def test_pixels_twice_as_wide_as_tall(picture: np.ndarray) -> None:
    image = read_pixels(picture, 8, PixelAspectRatio=[1, 2])
    assert image.shape == (30, 100)
    assert np.abs(image - picture.reshape(30, 2, 100).astype(float).mean(axis=1)).max() <= 0.51


def test_any_ratio_up_to_the_limit(picture: np.ndarray) -> None:
    assert read_pixels(picture, 8, PixelAspectRatio=[5, 4]).shape == (60, 80)
    assert read_pixels(picture, 8, PixelAspectRatio=[10, 1]).shape == (60, 10)
    assert read_pixels(picture[:2], 8, PixelAspectRatio=[1, 10]).shape == (1, 100)


@pytest.mark.parametrize(
    "tags",
    [
        {"PixelSpacing": ["0.143", "0.1431"]},
        {"PixelSpacing": ["0.000", "0.000"]},
        {"PixelSpacing": None, "PixelAspectRatio": [1, 1]},
        {"PixelSpacing": ""},
    ],
)
def test_square_pixels_stay(tags: dict[str, Any], picture: np.ndarray) -> None:
    assert (read_pixels(picture, 8, **tags) == picture).all()


@pytest.mark.parametrize(
    ("tags", "named"),
    [
        ({"PixelAspectRatio": [0, 1]}, "PixelAspectRatio is not two positive numbers"),
        ({"PixelAspectRatio": [-2, 1]}, "PixelAspectRatio is not two positive"),
        ({"PixelAspectRatio": [11, 1]}, "11 times as tall as wide, the limit is 10"),
        ({"PixelSpacing": ["0.000001", "1"]}, "the limit is 10"),
        ({"PixelSpacing": ["0.2"]}, "PixelSpacing is not two positive"),
        ({"ImagerPixelSpacing": ["0.2", "-0.2"]}, "ImagerPixelSpacing is not two"),
    ],
)
def test_refused(tags: dict[str, Any], named: str, picture: np.ndarray) -> None:
    assert named in refusal(save(draw(picture, 8, **tags)))
