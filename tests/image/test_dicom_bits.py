"""Which bits of a cell are the value, and what happens to the others (PS3.5 8.1.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM needs the extra 'dicom'")

from dicom_files import draw, ramp, read_pixels, refusal, save
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from cxr_edge.image import read_image
from cxr_edge.image.dicom.cells import Cell


def spread(values: np.ndarray) -> np.ndarray:
    """From minimum..maximum to 0..255."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) * 255


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("sign", ["u", "i"])
def test_wide_values(bits: int, sign: str) -> None:
    half = 2 ** (bits - 1)
    pixels = ramp(-half, half - 1, "i2") if sign == "i" else ramp(0, 2 * half - 1, "u2")
    assert np.abs(read_pixels(pixels, bits) - spread(pixels.astype(float))).max() <= 0.51
    window = {"WindowCenter": 100, "WindowWidth": 500}
    shown = np.clip((pixels - 99.5) / 499 + 0.5, 0, 1) * 255
    assert np.abs(read_pixels(pixels, bits, **window) - shown).max() <= 0.51


def test_eight_bits_signed_span_all_that_can_be_stored() -> None:
    pixels = ramp(-100, 90, "i1")
    assert (read_pixels(pixels, 8) == pixels.astype(int) + 128).all()


def test_eight_bits_in_sixteen() -> None:
    pixels = ramp(10, 200, "u2")
    assert (read_pixels(pixels, 8, BitsAllocated=16) == pixels).all()


@pytest.mark.parametrize("high", [12, 15])
@pytest.mark.parametrize("sign", ["u", "i"])
def test_a_high_bit_further_up(high: int, sign: str) -> None:
    pixels = ramp(-2000, 2000, "i2") if sign == "i" else ramp(0, 4000, "u2")
    window = {"WindowCenter": 1000, "WindowWidth": 3000}
    moved = (pixels << high - 11).astype(pixels.dtype)
    expected = read_pixels(pixels, 12, **window)
    assert (read_pixels(moved, 12, HighBit=high, **window) == expected).all()
    assert "more than the 12 bits" in refusal(save(draw(moved | 1, 12, HighBit=high, **window)))


def test_signed_values_need_not_be_extended() -> None:
    pixels = ramp(-2000, 2000, "i2")
    expected = read_pixels(pixels, 12)
    assert (read_pixels(pixels & 0xFFF, 12) == expected).all()
    damaged = pixels.copy()
    damaged[3, 3] = 0x2000
    assert "more than the 12 bits stored up to bit 11" in refusal(save(draw(damaged, 12)))


def test_values_beyond_the_bits_stored_are_refused() -> None:
    pixels = ramp(700, 3200, "u2") * 4
    for compressed in (False, True):
        dataset = draw(pixels, 12)
        if compressed:
            dataset.BitsStored, dataset.HighBit = 16, 15
            dataset.compress(RLELossless)
            dataset.BitsStored, dataset.HighBit = 12, 11
        assert "more than the 12 bits" in refusal(save(dataset))


def test_overlays_in_the_high_bits_are_left_out() -> None:
    pixels = ramp(0, 4000, "u2")
    drawn = pixels | 0x2000 * (np.arange(64) % 3 == 0)
    dataset = draw(drawn.astype(np.uint16), 12)
    assert "no overlay in the other bits" in refusal(save(dataset))
    dataset.add_new(0x60020100, "US", 16)
    dataset.add_new(0x60020102, "US", 13)
    assert (read_image(save(dataset)) == read_pixels(pixels, 12)).all()
    dataset[0x60020102].value = 14
    assert "no overlay" in refusal(save(dataset))
    apart = draw(drawn.astype(np.uint16), 12)
    apart.add_new(0x60000100, "US", 1)
    apart.add_new(0x60000102, "US", 13)
    assert "no overlay" in refusal(save(apart))


def test_overlays_of_their_own_are_not_drawn() -> None:
    pixels = ramp(0, 4000, "u2")
    dataset = draw(pixels, 12)
    for element, vr, value in ((0x10, "US", 16), (0x11, "US", 64), (0x100, "US", 1)):
        dataset.add_new(0x60000000 + element, vr, value)
    dataset.add_new(0x60000102, "US", 0)
    dataset.add_new(0x60003000, "OW", b"\xff" * 128)
    assert (read_image(save(dataset)) == read_pixels(pixels, 12)).all()


@pytest.mark.parametrize(
    ("tags", "named"),
    [
        ({"BitsStored": 17}, "17 bits stored"),
        ({"BitsStored": 0}, "0 bits stored"),
        ({"HighBit": 16}, "up to bit 16"),
        ({"HighBit": 10}, "up to bit 10"),
        ({"BitsAllocated": 32}, "32 bits a pixel, supported are 8, 16"),
        ({"BitsAllocated": 1}, "1 bits a pixel"),
        ({"PixelRepresentation": 2}, "PixelRepresentation is 2"),
        ({"Rows": None}, "no Rows"),
        ({"Columns": None}, "no Columns"),
        ({"BitsAllocated": None}, "no BitsAllocated"),
        ({"BitsStored": None}, "no BitsStored"),
        ({"HighBit": None}, "no HighBit"),
        ({"PixelRepresentation": None}, "no PixelRepresentation"),
        ({"PhotometricInterpretation": None}, "no PhotometricInterpretation"),
        ({"SamplesPerPixel": None}, "no SamplesPerPixel"),
    ],
)
def test_contradicting_and_missing_attributes(tags: dict[str, Any], named: str) -> None:
    assert named in refusal(save(draw(ramp(0, 4000, "u2"), 12, **tags)))


@pytest.mark.parametrize("sign", ["u", "i"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_jpeg_ls(bits: int, sign: str) -> None:
    pytest.importorskip("jpeg_ls", reason="JPEG-LS needs pyjpegls")
    half = 2 ** (bits - 1)
    size = 1 if bits == 8 else 2
    low, high = (-half, half - 1) if sign == "i" else (0, 2 * half - 1)
    pixels = ramp(low, high, f"{sign}{size}")
    expected = read_pixels(pixels, bits)
    dataset = draw(pixels, bits)
    dataset.compress(JPEGLSLossless)
    assert (read_image(save(dataset)) == expected).all()
    if bits == 12 and sign == "i":  # fewer bits than stored: where is the sign?
        dataset.BitsStored, dataset.HighBit = 13, 12
        assert "compressed with 12 bits, its header says 13 signed" in refusal(save(dataset))


def test_a_codestream_of_more_bits_than_stored() -> None:
    pytest.importorskip("jpeg_ls", reason="JPEG-LS needs pyjpegls")
    dataset = draw(ramp(0, 4095, "u2"), 12)
    dataset.compress(JPEGLSLossless)
    dataset.BitsStored, dataset.HighBit = 10, 9
    assert "more than the 10 bits" in refusal(save(dataset))
    dataset.BitsStored, dataset.HighBit = 10, 15
    assert "up to bit 15" in refusal(save(dataset))


@pytest.mark.parametrize("sign", ["u", "i"])
def test_jpeg_2000(sign: str) -> None:
    pytest.importorskip("openjpeg", reason="JPEG 2000 needs pylibjpeg-openjpeg")
    pixels = ramp(-2000, 2000, "i2") if sign == "i" else ramp(0, 4000, "u2")
    pixels = pixels.repeat(4, 0)
    dataset = draw(pixels, 12)
    dataset.compress(JPEG2000Lossless)
    assert (read_image(save(dataset)) == read_pixels(pixels, 12)).all()
    dataset.PixelRepresentation = 1 - dataset.PixelRepresentation
    assert "compressed with 12" in refusal(save(dataset))


def test_baseline_jpeg_has_eight_unsigned_bits(encode: Any) -> None:
    pixels = ramp(0, 250, "u1")
    jpeg = encode(pixels, "JPEG", quality=90)
    for tags in ({"PixelRepresentation": 1}, {"BitsStored": 7, "HighBit": 6}):
        dataset = draw(pixels, 8, **tags)
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"
        dataset.PixelData = encapsulate([jpeg])
        dataset["PixelData"].is_undefined_length = True
        assert "a JPEG of 8 unsigned bits" in refusal(save(dataset))


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_value_comes_back_from_any_cell(data: st.DataObject) -> None:
    allocated = data.draw(st.sampled_from([8, 16]))
    stored = data.draw(st.integers(1, allocated))
    high = data.draw(st.integers(stored - 1, allocated - 1))
    cell = Cell(allocated, stored, high, data.draw(st.booleans()))
    value = data.draw(st.integers(cell.lowest, cell.highest))
    pattern = (value << cell.shift) & ((1 << high + 1) - 1)
    values, overfull = cell.values(np.array([pattern]))
    assert values[0] == value and not overfull[0]
    others = [bit for bit in range(allocated) if not cell.shift <= bit <= high]
    if others:
        bit = data.draw(st.sampled_from(others))
        values, overfull = cell.values(np.array([pattern | 1 << bit]))
        is_extension = value < 0 and bit == high + 1 == allocated - 1
        assert values[0] == value and overfull[0] != is_extension
