"""Files as others write them: without a preamble, and those that pydicom comes with."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM needs the extra 'dicom'")

import pydicom.data
from dicom_files import draw, ramp, refusal, save
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from cxr_edge.errors import CxrEdgeError, ImageError, MissingExtraError
from cxr_edge.image import read_image
from cxr_edge.image.dicom.cells import read_cell
from cxr_edge.image.dicom.elements import read_elements
from cxr_edge.image.dicom.frame import read_frame
from cxr_edge.image.dicom.greyscale import read_greyscale, show
from cxr_edge.image.dicom.recognition import is_dicom
from cxr_edge.image.formats import recognizes
from cxr_edge.image.header import DEFAULT_LIMITS

DEEP = ramp(0, 4095, "u2")
SHIPPED = Path(pydicom.data.__file__).parent


def saved_as(syntax: str | None, **tags: object) -> bytes:
    dataset = draw(DEEP, 12, WindowCenter=2000, WindowWidth=3000, **tags)
    if syntax:
        dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = DEEP.astype(">u2").tobytes()
    return save(dataset)


def without_meta(data: bytes) -> bytes:
    """The data set alone, as it is sent over a network."""
    length = int.from_bytes(data[140:144], "little")
    return data[144 + length :]


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("first", [None, "SpecificCharacterSet", "ImageType"])
def test_without_preamble_and_meta(syntax: str | None, first: str | None) -> None:
    values = {"SpecificCharacterSet": "ISO_IR 100", "ImageType": ["ORIGINAL", "PRIMARY"]}
    data = saved_as(syntax, **({first: values[first]} if first else {}))
    expected = read_image(data)
    for part in (data[132:], without_meta(data)):
        assert recognizes(part[:132])
        assert (read_image(part) == expected).all()


def test_with_a_group_length() -> None:
    data = without_meta(saved_as(None))
    counted = b"\x08\x00\x00\x00UL\x04\x00\x40\x00\x00\x00" + data
    assert (read_image(counted) == read_image(data)).all()


def test_cut_raw_files_are_dicom() -> None:
    data = without_meta(saved_as(ImplicitVRLittleEndian))
    for end in (60, 200, len(data) // 2, len(data) - 1):
        assert "DICOM" in refusal(data[:end])


def test_deflated_without_a_preamble() -> None:
    data = saved_as(DeflatedExplicitVRLittleEndian)
    assert "deflated" in refusal(data[132:])


def test_syntaxes_that_are_missing_or_wrong() -> None:
    dataset = draw(DEEP, 12)
    dataset.compress(pydicom.uid.RLELossless)
    compressed = save(dataset)
    raw = without_meta(compressed)
    assert "compressed pixels and no Transfer Syntax UID" in refusal(raw)
    uid = b"1.2.840.10008.1.2.5\x00"
    assert "its transfer syntax says they are not" in refusal(
        compressed.replace(uid, b"1.2.840.10008.1.2.1\x00")
    )
    plain = saved_as(None)
    for wrong in (b"1.2.840.10008.1.2.5\x00", b"1.2.840.10008.1.2.2\x00"):
        assert "DICOM" in refusal(plain.replace(b"1.2.840.10008.1.2.1\x00", wrong))


def test_what_is_no_dicom(data_root: Path) -> None:
    for data in (b"", b"\x08\x00", b"\x00" * 200, b"\x02\x00" * 100, b"\x08\x00\x05\x00" * 50):
        assert not is_dicom(data)
    # Targa: 8 bytes of identification, then the kind of image.
    for kind in (1, 2, 3, 9, 10, 11):
        assert not is_dicom(bytes([8, 0, kind]) + bytes(9) + b"\x10\x00\x10\x00\x08" + bytes(120))
    others = [path for path in (data_root / "odd_images").rglob("*") if path.is_file()]
    assert len(others) > 100
    for path in others:
        with path.open("rb") as file:
            assert not is_dicom(file.read(132)), path


# Of the files that pydicom comes with.
RADIOGRAPHS = {"6154", "6247", "6278"}
GREY = (
    *("CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm"),
    *("MR_small_expb.dcm", "MR_small_implicit.dcm", "MR_small_padded.dcm"),
    *("MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "693_J2KI.dcm"),
    *("JPEG2000.dcm", "JPEGLSNearLossless_08.dcm", "JPEGLSNearLossless_16.dcm"),
    *("examples_overlay.dcm", "6154", "6247", "6278", "chrArab.dcm"),
)
REFUSED = {
    "JPEG-lossy.dcm": "12 bits a sample",
    "JPGExtended.dcm": "12 bits a sample",
    "J2K_pixelrep_mismatch.dcm": "compressed with 13 unsigned bits, its header says 13 signed",
    "JPEG2000-embedded-sequence-delimiter.dcm": "tiles",
    "MR_truncated.dcm": "damaged or was cut",
    "liver_1frame.dcm": "1 bits a pixel",
    "rtdose_1frame.dcm": "32 bits a pixel",
}


def shipped() -> dict[str, Path]:
    kept = (path for path in SHIPPED.rglob("*") if path.is_file())
    return {path.name: path for path in kept if path.suffix not in (".py", ".pyc", ".json")}


def show_any(data: bytes) -> np.ndarray:
    """What a reader of radiographs alone would show of any grey picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset, place = read_elements(data, pydicom)
        assert place is not None
        cell = read_cell(dataset)
        greyscale = read_greyscale(dataset, cell)
        pixels = read_frame(data, dataset, place, cell, pydicom, DEFAULT_LIMITS)
        return show(pixels, dataset, greyscale)


def expected_of(path: Path) -> np.ndarray:
    """By pydicom's decoders and the standard's formulas, for files without look-up tables."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        stored = dataset.pixel_array.astype(float)
        assert not {"VOILUTSequence", "ModalityLUTSequence"} & set(dataset.dir())
        values = stored * dataset.get("RescaleSlope", 1) + dataset.get("RescaleIntercept", 0)
        padding = dataset.get("PixelPaddingValue")
        center, width = dataset.get("WindowCenter"), dataset.get("WindowWidth")
    padded = stored == padding if padding is not None else np.zeros(stored.shape, np.bool_)
    if center:
        first = [float(x if isinstance(x, int | float) else x[0]) for x in (center, width)]
        shown = (values - (first[0] - 0.5)) / (first[1] - 1) + 0.5
    elif dataset.BitsStored == 8:
        shown = values / 255
    else:
        low, high = values[~padded].min(), values[~padded].max()
        shown = (values - low) / (high - low)
    shown = np.clip(shown, 0, 1) * 255
    return np.where(
        padded, 0, 255 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown
    )


@pytest.mark.parametrize("name", GREY)
def test_grey_files_of_pydicom(name: str) -> None:
    path = shipped()[name]
    try:
        image = show_any(path.read_bytes())
    except MissingExtraError as err:
        pytest.skip(str(err))
    assert np.abs(image - expected_of(path)).max() <= 0.51


@pytest.mark.parametrize("name", REFUSED)
def test_refused_files_of_pydicom(name: str) -> None:
    with pytest.raises(ImageError, match=REFUSED[name]):
        show_any(shipped()[name].read_bytes())


def test_every_file_of_pydicom_is_a_picture_or_a_typed_line() -> None:
    files = shipped()
    assert len(files) > 100
    pictures = set()
    for name, path in files.items():
        try:
            image = read_image(path.read_bytes(), name="x")
        except CxrEdgeError as err:
            assert str(err).isprintable() and len(str(err)) <= 300, name
            if path.suffix == ".dcm" and name != "no_meta.dcm":  # which begins with a space
                assert "DICOM" in str(err), name
        else:
            assert image.dtype == np.uint8 and image.min() < image.max()
            pictures.add(name)
    assert pictures == RADIOGRAPHS
