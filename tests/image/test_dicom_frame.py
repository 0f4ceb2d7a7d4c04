"""Pixels that are others than the data set says, and files that end early."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM needs the extra 'dicom'")

import pydicom
from dicom_files import draw, ramp, refusal, save
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from cxr_edge.errors import ImageError, LeftOut
from cxr_edge.image import ImageLimits, read_image

PICTURE = ramp(0, 255, "u1")


def jpeg(picture: np.ndarray, orientation: int | None = None) -> bytes:
    """A DICOM file of a JPEG, whose own EXIF states an orientation."""
    frame = cv2.imencode(".jpg", picture)[1].tobytes()
    if orientation is not None:
        entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
        exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + bytes(4)
        frame = frame[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + frame[2:]
    dataset = draw(PICTURE, 8, BodyPartExamined="CHEST", ViewPosition="PA")
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([frame])
    return save(dataset)


@pytest.mark.parametrize("orientation", [2, 3, 6])
def test_an_orientation_inside_a_jpeg_is_not_the_data_sets(orientation: int) -> None:
    expected = read_image(jpeg(PICTURE))
    assert np.abs(expected.astype(int) - PICTURE).max() <= 2
    assert (read_image(jpeg(PICTURE, orientation)) == expected).all()


def test_a_jpeg_in_colour_is_not_grey() -> None:
    assert "a JPEG in colour" in refusal(jpeg(np.dstack([PICTURE, PICTURE, 255 - PICTURE])))


@pytest.mark.parametrize("tags", [{"Columns": 63}, {"Rows": 15}, {"Columns": 32}])
def test_pixels_beyond_rows_and_columns(tags: dict[str, int]) -> None:
    """With a column less, each row of the picture would begin further left than the one above."""
    assert "the DICOM file's pixels have 1,024 bytes" in refusal(save(draw(PICTURE, 8, **tags)))


def test_run_lengths_beyond_rows_and_columns() -> None:
    for picture in (PICTURE, PICTURE.astype("u2") * 16):
        dataset = draw(picture, 8 * picture.itemsize)
        dataset.compress(RLELossless)
        assert (read_image(save(dataset)) == PICTURE).mean() > 0.99
        dataset.Columns = 63
        assert "more in an RLE segment" in refusal(save(dataset))


def test_zeros_may_follow_the_pixels() -> None:
    dataset = draw(PICTURE, 8)
    dataset.PixelData += bytes(512)
    assert (read_image(save(dataset)) == PICTURE).all()


@pytest.mark.parametrize("vr", ["OB", "OW"])
@pytest.mark.parametrize("is_big", [False, True])
def test_the_byte_that_makes_an_odd_size_even_may_be_any(vr: str, is_big: bool) -> None:
    picture = PICTURE[:3, :41]
    stored = picture.tobytes() + b"\x20"
    if is_big and vr == "OW":  # each pair of bytes is swapped
        stored = np.frombuffer(stored, np.uint16).byteswap().tobytes()
    dataset = draw(picture, 8)
    dataset.add_new(0x7FE00010, vr, stored)
    if is_big:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, little_endian=not is_big, implicit_vr=False)
    assert (read_image(buffer.getvalue()) == picture).all()


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, RLELossless, JPEGLSLossless])
def test_a_second_frame_that_no_header_mentions(syntax: str) -> None:
    frames = []
    for picture in (PICTURE, 255 - PICTURE):
        dataset = draw(picture, 8)
        if syntax == JPEGBaseline8Bit:
            frames.append(cv2.imencode(".jpg", picture)[1].tobytes())
            dataset.file_meta.TransferSyntaxUID = syntax
        else:
            dataset.compress(syntax)
            frames.append(next(generate_frames(dataset.PixelData, number_of_frames=1)))
    dataset.PixelData = encapsulate(frames[:1], has_bot=False)
    assert read_image(save(dataset)).shape == PICTURE.shape
    dataset.PixelData = encapsulate(frames, has_bot=False)
    assert "several frames" in refusal(save(dataset))
    dataset.PixelData = encapsulate(frames[:1], fragments_per_frame=2, has_bot=False)
    if syntax != RLELossless:
        assert read_image(save(dataset)).shape == PICTURE.shape


def test_elements_behind_the_pixels() -> None:
    """A window there would not be seen; padding and what belongs there does not matter."""
    data = save(draw(PICTURE, 8))
    window = b"\x28\0\x50\x10DS\x04\x00100 " + b"\x28\0\x51\x10DS\x02\x0010"
    assert "elements behind its pixels" in refusal(data + window)
    assert "elements behind its pixels" in refusal(data + data[-12 - PICTURE.size :])
    padding = b"\xfc\xff\xfc\xffOB\0\0\x04\0\0\0abcd"
    for after in (b"", bytes(3), bytes(100), b"\x01", padding):
        assert (read_image(data + after) == PICTURE).all()


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless])
def test_a_file_that_ends_early_is_damaged_and_nothing_else(syntax: str | None) -> None:
    """A value that is cut reads as another: a modality C, or a body part CHES."""
    if syntax == JPEGBaseline8Bit:
        data = jpeg(PICTURE)
    else:
        dataset = draw(PICTURE, 8, BodyPartExamined="CHEST", ViewPosition="PA", WindowCenter=100)
        dataset.WindowWidth, dataset.PatientName = 3000, "Doe^Jane"
        if syntax == RLELossless:
            dataset.compress(syntax)
        elif syntax:
            dataset.file_meta.TransferSyntaxUID = syntax
        data = save(dataset)
    limits = ImageLimits(radiographs="frontal-chest")
    assert read_image(data, limits=limits).shape == PICTURE.shape
    for end in {*range(min(len(data), 700)), *range(700, len(data), 7), len(data) - 1}:
        with pytest.raises(ImageError) as caught:
            read_image(data[:end], limits=limits)
        assert not isinstance(caught.value, LeftOut), end
        assert "Doe" not in str(caught.value)
