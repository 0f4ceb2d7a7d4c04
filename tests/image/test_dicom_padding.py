"""Pixel padding is left out, and black (PS3.3 C.7.5.1.1.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM needs the extra 'dicom'")

from dicom_files import draw, ramp, read_pixels, refusal, save
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from cxr_edge.image import read_image

WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}


def framed(value: int, dtype: str = "u2", low: int = 700, high: int = 3200) -> np.ndarray:
    """A ramp whose first ten columns are padding."""
    pixels = ramp(low, high, dtype)
    pixels[:, :10] = value
    return pixels


def saved_with(pixels: np.ndarray, bits: int, vr: str, value: int, **tags: Any) -> bytes:
    dataset = draw(pixels, bits, **tags)
    dataset.add_new(0x00280120, vr, value)
    return save(dataset)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("padding", [0, 4095])
def test_black_whatever_the_polarity(photometric: str, padding: int) -> None:
    pixels = framed(padding)
    tags = {"PhotometricInterpretation": photometric, "PixelPaddingValue": padding}
    shown = np.clip((pixels - 2047.5) / 4095 + 0.5, 0, 1) * 255
    expected = np.rint(255 - shown if photometric == "MONOCHROME1" else shown)
    expected[:, :10] = 0
    assert np.abs(read_pixels(pixels, 12, **tags, **WINDOW) - expected).max() <= 1


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_left_out_of_the_range(photometric: str) -> None:
    pixels = framed(0)
    low = float(pixels[:, 10:].min())
    shown = (pixels - low) / (3200 - low) * 255
    expected = 255 - shown if photometric == "MONOCHROME1" else shown
    expected[:, :10] = 0
    image = read_pixels(pixels, 12, PhotometricInterpretation=photometric, PixelPaddingValue=0)
    assert np.abs(image - expected).max() <= 0.51


@pytest.mark.parametrize(("value", "limit"), [(0, 10), (10, 0), (7, 7)])
def test_a_range_in_either_order(value: int, limit: int) -> None:
    pixels = framed(7)
    pixels[:, :3] = value
    image = read_pixels(pixels, 12, PixelPaddingValue=value, PixelPaddingRangeLimit=limit)
    assert (image[:, :10] == 0).all() and image[0, 11] > 0
    outside = pixels.copy()
    outside[:, 10] = 11
    image = read_pixels(outside, 12, PixelPaddingValue=value, PixelPaddingRangeLimit=limit)
    low, high = 11, 3200
    assert image[0, 30] == pytest.approx((int(outside[0, 30]) - low) / (high - low) * 255, abs=0.51)


@pytest.mark.parametrize(
    ("vr", "value", "bits"),
    [
        ("SS", -2000, 12),
        ("US", 0x10000 - 2000, 12),
        ("US", 0x1000 - 2000, 12),  # the bits stored, not extended
        ("SS", -2000, 16),
        ("US", 0x10000 - 2000, 16),
    ],
)
def test_signed_data_with_any_vr(vr: str, value: int, bits: int) -> None:
    pixels = framed(-2000, "i2", -1000, 1500)
    image = read_image(saved_with(pixels, bits, vr, value))
    assert (image[:, :10] == 0).all()
    assert image[0, 11] == pytest.approx(
        (int(pixels[0, 11]) - int(pixels[0, 10])) / (1500 - int(pixels[0, 10])) * 255, abs=0.51
    )


def test_unsigned_data_with_a_negative_value() -> None:
    """The 16 bits count; numbers that the bits stored cannot hold match whole cells alone."""
    deep = framed(0x10000 - 2000)
    assert (read_image(saved_with(deep, 16, "SS", -2000))[:, :10] == 0).all()
    assert (read_image(saved_with(deep, 12, "SS", -2000))[:, :10] == 0).all()
    assert "more than the 12 bits" in refusal(saved_with(deep, 12, "SS", -2001))
    pixels = ramp(700, 3200, "u2")
    pixels[0, 5] = 0x1000 - 2000  # the same low bits
    assert (read_image(saved_with(pixels, 12, "SS", -2000)) == read_pixels(pixels, 12)).all()


def test_eight_bits() -> None:
    pixels = ramp(20, 200, "u1")
    pixels[:, :10] = 255
    expected = pixels.copy()
    expected[:, :10] = 0
    assert (read_pixels(pixels, 8, PixelPaddingValue=255) == expected).all()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_in_every_encoding(syntax: str) -> None:
    pixels = framed(-2000, "i2", -1000, 1500)
    tags = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1990}
    expected = read_pixels(pixels, 12, **tags)
    dataset = draw(pixels, 12, **tags)
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = pixels.astype(">i2").tobytes()
    assert (read_image(save(dataset)) == expected).all()


def test_it_lies_in_stored_values() -> None:
    tags = {"RescaleSlope": 1, "RescaleIntercept": -1024, "PixelPaddingValue": 24}
    pixels = framed(24)
    pixels[:, 10], pixels[:, 20] = 700, 1048  # 24 after the rescale
    image = read_pixels(pixels, 12, **tags)
    assert (image[:, :10] == 0).all() and image[0, 20] > 0


def test_none_that_matches() -> None:
    pixels = ramp(700, 3200, "u2")
    assert (read_pixels(pixels, 12, PixelPaddingValue=0) == read_pixels(pixels, 12)).all()


def test_refused() -> None:
    pixels = ramp(700, 3200, "u2")
    alone = save(draw(pixels, 12, PixelPaddingRangeLimit=10))
    assert "PixelPaddingRangeLimit without PixelPaddingValue" in refusal(alone)
    assert "only padding" in refusal(
        save(draw(pixels, 12, PixelPaddingValue=0, PixelPaddingRangeLimit=4095))
    )
    assert "2 values of PixelPaddingValue" in refusal(saved_with(pixels, 12, "US", [1, 2]))  # type: ignore[arg-type]
    assert "not a 16-bit integer" in refusal(saved_with(pixels, 12, "UL", 70_000))
