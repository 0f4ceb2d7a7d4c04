"""Look-up tables, in every way that files hold them (PS3.3 C.11.1.1, C.11.2.1.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM needs the extra 'dicom'")

from dicom_files import draw, ramp, read_pixels, refusal, save
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from cxr_edge.image import read_image

VOI, MODALITY = "VOILUTSequence", "ModalityLUTSequence"


def table(descriptor: list[int], entries: Any, vr: str = "OW", first_vr: str = "US") -> Dataset:
    """An item: entries as bytes, or as integers to put into words."""
    item = Dataset()
    item.add_new(0x00283002, first_vr, descriptor)
    if not isinstance(entries, bytes):
        entries = np.asarray(entries, "<u2").tobytes() if vr == "OW" else [int(x) for x in entries]
    item.add_new(0x00283006, vr, entries)
    return item


def expected_by(
    values: np.ndarray, first: int, entries: np.ndarray, bits: int, tolerance: float = 0.51
) -> Any:
    """The standard's rule: below the first and above the last the ends; 0..2^bits - 1."""
    places = np.clip(values.astype(int) - first, 0, len(entries) - 1)
    return pytest.approx(entries[places] / (2**bits - 1) * 255, abs=tolerance)


CURVE = np.rint(4095 * np.sqrt(np.arange(4096) / 4095)).astype(int)


@pytest.mark.parametrize("vr", ["US", "OW"])
@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_entries_in_words(vr: str, syntax: str | None) -> None:
    pixels = ramp(700, 3200, "u2")
    entries: Any = CURVE
    dataset = draw(pixels, 12)
    if syntax:
        dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = pixels.astype(">u2").tobytes()
        entries = CURVE.astype(">u2").tobytes() if vr == "OW" else CURVE
    dataset.VOILUTSequence = [table([4096, 0, 12], entries, vr)]
    assert read_image(save(dataset)) == expected_by(pixels, 0, CURVE, 12)


@pytest.mark.parametrize("count", [255, 256])
@pytest.mark.parametrize("kind", ["packed", "OB", "words", "big endian"])
@pytest.mark.parametrize("keyword", [VOI, MODALITY])
def test_entries_of_eight_bits(count: int, kind: str, keyword: str) -> None:
    entries = np.random.default_rng(count).permutation(count).astype(np.uint8)
    data = entries.tobytes() + bytes(count % 2)
    pixels = ramp(0, 255, "u1")
    dataset = draw(pixels, 8)
    if kind == "big endian":
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        dataset["PixelData"].VR = "OB"
        data = np.frombuffer(data, "<u2").astype(">u2").tobytes()
    if kind == "words":
        data = entries.astype("<u2").tobytes()
    item = table([count, 0, 8], data, "OB" if kind == "OB" else "OW")
    setattr(dataset, keyword, [item])
    image = read_image(save(dataset))
    if keyword == MODALITY:  # without a window, its own range
        values = entries[np.clip(pixels.astype(int), 0, count - 1)].astype(float)
        low, high = values.min(), values.max()
        assert image == pytest.approx((values - low) / (high - low) * 255, abs=0.51)
    else:
        assert image == expected_by(pixels, 0, entries, 8)


def test_sixty_five_thousand_entries_are_written_as_zero() -> None:
    entries = np.arange(65_536)[::-1]
    pixels = ramp(0, 65_535, "u2")
    image = read_pixels(pixels, 16, VOILUTSequence=[table([0, 0, 16], entries)])
    assert image == expected_by(pixels, 0, entries, 16)


def test_values_outside_of_the_table() -> None:
    entries = np.linspace(50, 200, 1000).astype(int)
    pixels = ramp(0, 4095, "u2")
    image = read_pixels(pixels, 12, VOILUTSequence=[table([1000, 1500, 8], entries)])
    assert image == expected_by(pixels, 1500, entries, 8)
    assert (image[0, 0], image[0, -1]) == (50, 200)


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
@pytest.mark.parametrize("first_vr", ["US", "SS"])
def test_a_negative_first_value(syntax: str | None, first_vr: str) -> None:
    """Its sign is that of what the table maps, whatever VR a file gives it."""
    first = -1024 if first_vr == "SS" else 0x10000 - 1024
    for pixels, tags in (
        (ramp(-1000, 2000, "i2"), {}),
        (ramp(24, 3024, "u2"), {"RescaleSlope": 1, "RescaleIntercept": -1024}),
    ):
        dataset = draw(pixels, 12, **tags)
        if syntax:
            dataset.file_meta.TransferSyntaxUID = syntax
        dataset.VOILUTSequence = [table([4096, first, 12], CURVE, first_vr=first_vr)]
        values = pixels.astype(int) - (1024 if tags else 0)
        assert read_image(save(dataset)) == expected_by(values, -1024, CURVE, 12)


def test_a_large_first_value_of_unsigned_data() -> None:
    pixels = ramp(40_000, 44_000, "u2")
    image = read_pixels(pixels, 16, VOILUTSequence=[table([4096, 40_000, 12], CURVE)])
    assert image == expected_by(pixels, 40_000, CURVE, 12)


@pytest.mark.parametrize("signed", [False, True])
def test_a_modality_table_before_a_window(signed: bool) -> None:
    first = -2048 if signed else 0
    entries = np.arange(4096) * 3 + 100
    pixels = ramp(-2000, 2000, "i2") if signed else ramp(0, 4095, "u2")
    item = table([4096, first, 16], entries, first_vr="SS" if signed else "US")
    image = read_pixels(pixels, 12, ModalityLUTSequence=[item], WindowCenter=6000, WindowWidth=9000)
    values = entries[pixels.astype(int) - first]
    shown = np.clip((values - 5999.5) / 8999 + 0.5, 0, 1) * 255
    assert np.abs(image - shown).max() <= 0.51


def test_a_modality_table_stands_in_place_of_the_rescale() -> None:
    pixels = ramp(0, 4095, "u2")
    item = table([4096, 0, 16], np.arange(4096))
    tags = {"WindowCenter": 2048, "WindowWidth": 4096}
    image = read_pixels(
        pixels, 12, ModalityLUTSequence=[item], RescaleSlope=2, RescaleIntercept=-9, **tags
    )
    assert (image == read_pixels(pixels, 12, **tags)).all()


def test_of_several_the_first_and_before_a_window() -> None:
    pixels = ramp(0, 4095, "u2")
    items = [table([4096, 0, 12], CURVE), table([4096, 0, 12], CURVE[::-1])]
    image = read_pixels(pixels, 12, VOILUTSequence=items, WindowCenter=1, WindowWidth=2)
    assert image == expected_by(pixels, 0, CURVE, 12)


def test_an_empty_sequence_is_none() -> None:
    pixels = ramp(0, 4095, "u2")
    tags = {"WindowCenter": 2048, "WindowWidth": 4096}
    image = read_pixels(pixels, 12, VOILUTSequence=[], ModalityLUTSequence=[], **tags)
    assert (image == read_pixels(pixels, 12, **tags)).all()


@pytest.mark.parametrize("keyword", [VOI, MODALITY])
@pytest.mark.parametrize(
    ("item", "named"),
    [
        (table([4096, 0, 7], CURVE), "4096 entries of 7 bits, expected at least 2 of 8 "),
        (table([4096, 0, 17], CURVE), "4096 entries of 17 bits"),
        (table([1, 0, 16], b"\x05\x00"), "1 entries of 16 bits"),
        (table([4096, 0], CURVE), "is damaged"),
        (table([4096, 0, 16, 1], CURVE), "is damaged"),
        (table([4096, 0, 16], CURVE[:4000]), "is damaged"),
        (table([4000, 0, 16], CURVE), "is damaged"),
        (table([0, 0, 16], CURVE), "is damaged"),
        (table([4096, 0, 16], b""), "is damaged"),
        (table([256, 0, 8], np.arange(256) * 2), "entries up to 510, more than its 8 bits"),
        (Dataset(), "is damaged"),
    ],
)
def test_damaged_tables_are_refused(keyword: str, item: Dataset, named: str) -> None:
    message = refusal(save(draw(ramp(0, 4095, "u2"), 12, **{keyword: [item]})))
    kind = "VOI" if keyword == VOI else "modality"
    assert f"{kind} look-up table" in message and named in message


def test_a_modality_table_of_twelve_bits_is_refused() -> None:
    """The standard allows 8 and 16 there."""
    item = table([4096, 0, 12], CURVE)
    message = refusal(save(draw(ramp(0, 4095, "u2"), 12, ModalityLUTSequence=[item])))
    assert "12 bits, expected at least 2 of 8 or 16 bits" in message


def test_a_table_of_one_level_is_refused() -> None:
    item = table([4096, 0, 12], np.full(4096, 9))
    assert "single grey level" in refusal(
        save(draw(ramp(0, 4095, "u2"), 12, VOILUTSequence=[item]))
    )
