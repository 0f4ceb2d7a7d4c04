"""DICOM: a radiograph as a viewer shows it, or a refusal that names the cause."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr_edge.errors import CxrEdgeError, MissingExtraError
from cxr_edge.image import ImageLimits, read_image
from cxr_edge.image.dicom import reader as dicom
from cxr_edge.image.dicom.frame import read_frame
from cxr_edge.preprocess import Image

pydicom = pytest.importorskip("pydicom", reason="DICOM needs the extra 'dicom'")

from dicom_files import draw, refusal, save  # noqa: E402
from pydicom.dataset import Dataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.uid import (  # noqa: E402
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

Encode = Callable[..., bytes]


@pytest.fixture(scope="module")
def deep(xray: Image) -> np.ndarray:
    """12 bits of the same picture."""
    random = np.random.default_rng(1)
    return (xray.astype(np.uint16) * 16 + random.integers(0, 16, xray.shape)).astype(np.uint16)


def test_eight_bits_stay_as_they_are(xray: Image) -> None:
    image = read_image(save(draw(xray, 8)))
    assert (image == xray).all()
    assert (read_image(save(draw(xray, 8)), channels=3) == xray[..., None]).all()


def test_inversion_comes_last(xray: Image, deep: np.ndarray) -> None:
    window = {"WindowCenter": 1500, "WindowWidth": 2000}
    for pixels, bits, tags in ((xray, 8, {}), (deep, 12, {}), (deep, 12, window)):
        upright = read_image(save(draw(pixels, bits, **tags)))
        inverted = save(draw(pixels, bits, PhotometricInterpretation="MONOCHROME1", **tags))
        assert (read_image(inverted) == 255 - upright).all()


def test_a_negative_is_shown_like_its_positive(deep: np.ndarray) -> None:
    """The same picture stored inverted as MONOCHROME1 looks the same."""
    twin = save(draw(4095 - deep, 12, PhotometricInterpretation="MONOCHROME1"))
    assert np.abs(read_image(twin).astype(int) - read_image(save(draw(deep, 12)))).max() <= 1


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (None, lambda x: (x - 1499.5) / 1999 + 0.5),
        ("LINEAR", lambda x: (x - 1499.5) / 1999 + 0.5),
        ("LINEAR_EXACT", lambda x: (x - 1500) / 2000 + 0.5),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 1500) / 2000))),
    ],
)
def test_windows(function: str | None, expected: Callable[..., Any], deep: np.ndarray) -> None:
    """The formulas of PS3.3 C.11.2.1.2 and C.11.2.1.3, of rescaled values."""
    data = save(
        draw(
            deep,
            12,
            WindowCenter=[1500, 9],
            WindowWidth=[2000, 9],
            VOILUTFunction=function,
            RescaleSlope=2,
            RescaleIntercept=-1024,
        )
    )
    shown = np.clip(expected(deep * 2.0 - 1024), 0, 1) * 255
    assert np.abs(read_image(data) - shown).max() <= 0.51


def test_voi_lut(deep: np.ndarray) -> None:
    """An entry's range is that of its bits, whatever the entries are."""
    table = (np.arange(4096) * 10)[::-1]
    lut = Dataset()
    lut.LUTDescriptor = [4096, 0, 16]
    lut.LUTData = table.astype(int).tolist()
    dataset = draw(deep, 12, WindowCenter=1, WindowWidth=2)
    dataset.VOILUTSequence = [lut]
    dataset.VOILUTSequence[0]["LUTDescriptor"].VR = "US"
    dataset.VOILUTSequence[0]["LUTData"].VR = "US"
    shown = (4095 - deep.astype(float)) * 10 / 65_535 * 255
    assert np.abs(read_image(save(dataset)) - shown).max() <= 0.51


def test_without_a_window_the_picture_spans_the_range(deep: np.ndarray) -> None:
    """12 bits in 16 are never silently dark."""
    image = read_image(save(draw(deep, 12)))
    assert (image.min(), image.max()) == (0, 255)
    scaled = (deep - deep.min()) / (deep.max() - deep.min()) * 255
    assert np.abs(image - scaled).max() <= 0.51
    signed = deep.astype(np.int16) - 2048
    assert (read_image(save(draw(signed, 12))) == image).all()
    padded = deep.copy()
    padded[:50] = 0
    image = read_image(save(draw(padded, 12, PixelPaddingValue=0)))
    assert (image[:50] == 0).all()
    assert np.abs(image[50:].astype(int) - scaled[50:]).max() <= 12


def test_rle(deep: np.ndarray) -> None:
    dataset = draw(deep, 12)
    expected = read_image(save(dataset))
    dataset.compress(RLELossless)
    assert (read_image(save(dataset)) == expected).all()


def test_jpeg_ls(deep: np.ndarray) -> None:
    pytest.importorskip("jpeg_ls", reason="JPEG-LS needs pyjpegls of the extra 'dicom'")
    dataset = draw(deep, 12)
    expected = read_image(save(dataset))
    dataset.compress(JPEGLSLossless)
    data = save(dataset)
    assert (read_image(data) == expected).all()
    dataset.Rows += 1
    assert "its header says" in refusal(save(dataset))


def baseline(jpeg: bytes, like: Image) -> Dataset:
    dataset = draw(like, 8)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([jpeg])
    dataset["PixelData"].is_undefined_length = True
    return dataset


def test_baseline_jpeg_is_questioned_like_a_file(xray: Image, encode: Encode) -> None:
    jpeg = encode(xray, "JPEG", quality=90)
    assert (read_image(save(baseline(jpeg, xray))) == read_image(jpeg)).all()
    half = jpeg[: len(jpeg) // 2]
    assert "cut" in refusal(save(baseline(half, xray)))
    assert "premature end" in refusal(save(baseline(half + b"\xff\xd9", xray)))
    assert "its header says" in refusal(save(baseline(jpeg, xray[:-1])))
    assert "not a JPEG" in refusal(save(baseline(encode(xray, "PNG"), xray)))


def test_real_files(data_root: Path) -> None:
    folder = data_root / "dicom"
    upright = read_image(folder / "rsna_cr_monochrome2.dcm")
    retagged = read_image(folder / "rsna_cr_retagged_monochrome1.dcm")
    assert upright.shape == (1024, 1024)
    assert (retagged == 255 - upright).all()
    try:
        chest = read_image(folder / "rg1_chest_monochrome1_j2k_lossy.dcm")
    except MissingExtraError:
        pytest.skip("JPEG 2000 needs pylibjpeg-openjpeg of the extra 'dicom'")
    assert chest.shape == (1955, 1841)
    middle = chest[600:1200]
    # Spine and mediastinum are lighter than the lungs beside them.
    assert middle[:, 850:1000].mean() > middle[:, 450:600].mean() + 10


def test_cut_anywhere_is_refused(xray: Image, deep: np.ndarray, encode: Encode) -> None:
    compressed = baseline(encode(xray, "JPEG", quality=90), xray)
    rle = draw(deep, 12)
    rle.compress(RLELossless)
    for dataset in (draw(deep, 12), compressed, rle):
        data = save(dataset)
        # The last 8 bytes of encapsulated pixels are their delimiter, no part of the picture.
        for end in np.linspace(1, len(data) - 9, 60).astype(int):
            refusal(data[:end])


def test_cut_jpeg_2000_is_refused(data_root: Path) -> None:
    data = (data_root / "dicom" / "rg1_chest_monochrome1_j2k_lossy.dcm").read_bytes()
    for end in np.linspace(200, len(data) - 9, 15).astype(int):
        with pytest.raises(CxrEdgeError):
            read_image(data[:end])


@pytest.mark.parametrize(
    ("tags", "named"),
    [
        ({"Modality": "CT"}, "modality is CT, expected a radiograph: CR, DX, RG"),
        ({"Modality": None}, "states no modality"),
        ({"NumberOfFrames": 3}, "3 frames"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "RGB"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"BitsAllocated": 32}, "32 bits"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "FOR PROCESSING"),
        ({"PresentationLUTShape": "INVERSE"}, "contradicts itself"),
        ({"WindowCenter": 5, "WindowWidth": 0}, "window"),
        (
            {"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "CUBIC"},
            "window function is not a term",
        ),
        ({"Rows": None}, "Rows"),
        ({"Rows": 0}, "at least 1x1"),
        ({"Rows": 60_000, "Columns": 60_000}, "the limit is 50,000,000"),
        ({"Rows": 400}, "damaged"),
    ],
)
def test_kinds_that_are_refused(tags: dict[str, Any], named: str, deep: np.ndarray) -> None:
    assert named in refusal(save(draw(deep, 12, **tags)))


def test_no_pixels(deep: np.ndarray) -> None:
    dataset = draw(deep, 12)
    del dataset.PixelData
    assert "no pixel data" in refusal(save(dataset))


def test_one_level(deep: np.ndarray) -> None:
    assert "single grey level" in refusal(save(draw(np.full_like(deep, 7), 12)))


def test_limits_at_and_over(xray: Image) -> None:
    data = save(draw(xray, 8))
    assert read_image(data, limits=ImageLimits(max_pixels=xray.size)).shape == xray.shape
    assert "the limit is" in refusal(data, limits=ImageLimits(max_pixels=xray.size - 1))


def test_deflated_is_refused(xray: Image) -> None:
    dataset = draw(xray, 8)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert "deflated" in refusal(save(dataset))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_hole_of_zeros_in_jpeg_2000_is_refused(data_root: Path, share: float) -> None:
    data = (data_root / "dicom" / "rg1_chest_monochrome1_j2k_lossy.dcm").read_bytes()
    assert read_image(data).shape == (1955, 1841)
    start = int(share * len(data))
    assert "overwritten with zeros" in refusal(data[:start] + bytes(4_096) + data[start + 4_096 :])


def test_unknown_transfer_syntax(xray: Image) -> None:
    data = save(draw(xray, 8)).replace(b"1.2.840.10008.1.2.1\x00", b"1.2.840.10008.1.2.9\x00")
    assert "1.2.840.10008.1.2.9 is not supported" in refusal(data)


def test_a_missing_codec_says_what_to_install(xray: Image) -> None:
    if pydicom.pixels.get_decoder(JPEGLosslessSV1).is_available:
        pytest.skip("python-gdcm is installed")
    dataset = baseline(b"\xff\xd8\xff\xc3", xray)
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    with pytest.raises(MissingExtraError, match="pip install python-gdcm"):
        read_image(save(dataset))


def test_pydicom_is_optional(xray: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    data = save(draw(xray, 8))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    expected = r"^scan\.dcm: pydicom is not installed; run: pip install 'cxr-edge\[dicom\]'"
    with pytest.raises(MissingExtraError, match=expected):
        read_image(data, name="scan.dcm")


def test_warnings_do_not_reach_the_user(xray: Image, capfd: pytest.CaptureFixture[str]) -> None:
    """A value that breaks its representation's rules makes pydicom warn."""
    data = save(draw(xray, 8)).replace(b"1.2.3\x00", b"0.002a"[:6])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (read_image(data) == xray).all()
    assert capfd.readouterr().err == ""


def test_warnings_of_others_do(xray: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning of another thread while a file is read, and of this one before and after."""
    data = save(draw(xray, 8))
    heard: list[str] = []

    def warn(name: str) -> None:
        try:
            warnings.warn(name, stacklevel=1)
        except UserWarning as err:
            heard.append(str(err))

    def warn_in_both(*given: Any) -> Any:
        warn("of this thread, which reads")
        thread = threading.Thread(target=warn, args=["of another"])
        thread.start()
        thread.join()
        return read_frame(*given)

    monkeypatch.setattr(dicom, "read_frame", warn_in_both)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn("before")
        read_image(data)
        warn("after")
    assert heard == ["before", "of another", "after"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of Python 3.12
def test_files_are_read_at_the_same_time_and_in_a_fork_meanwhile(
    xray: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, meeting = save(draw(xray, 8)), threading.Barrier(3, timeout=20)

    def meet(*given: Any) -> Any:
        meeting.wait()  # two reading threads are here, and this one
        meeting.wait()  # until it has forked
        return read_frame(*given)

    with monkeypatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(dicom, "read_frame", meet)
        reading = [pool.submit(read_image, data) for _ in range(2)]
        meeting.wait()
        child = os.fork()
        if child == 0:
            signal.alarm(10)  # a hang ends as a signal
            patch.undo()
            os._exit(0 if (read_image(data) == xray).all() else 1)
        status = os.waitpid(child, 0)[1]
        meeting.wait()
        assert all((image.result() == xray).all() for image in reading)
    assert os.waitstatus_to_exitcode(status) == 0


def test_threads_read_what_one_reads(xray: Image, deep: np.ndarray, encode: Encode) -> None:
    """Every transfer syntax at once, each time in another order; refusals too."""
    files = [save(draw(xray, 8)), save(draw(deep, 12)), save(draw(deep, 12))[:-99]]
    files.append(save(baseline(encode(xray, "JPEG", quality=90), xray)))
    for syntax, codec in (
        (RLELossless, ""),
        (JPEGLSLossless, "jpeg_ls"),
        (JPEG2000Lossless, "openjpeg"),
    ):
        if not codec or importlib.util.find_spec(codec):
            dataset = draw(deep[:200, :300], 12)
            dataset.compress(syntax)
            files.append(save(dataset))

    def read(data: bytes) -> bytes:
        try:
            return read_image(data).tobytes()
        except CxrEdgeError as err:
            return str(err).encode()

    expected = {data: read(data) for data in files}
    random = np.random.default_rng(8)
    shuffled = [files[i] for _ in range(6) for i in random.permutation(len(files))]
    with ThreadPoolExecutor(16) as pool:
        for data, result in zip(shuffled, pool.map(read, shuffled), strict=True):
            assert result == expected[data]


def test_mutated_files(deep: np.ndarray) -> None:
    """Changed bytes give an image or the project's error."""
    data = save(draw(deep[:40, :50], 12, WindowCenter=1500, WindowWidth=2000))
    random = np.random.default_rng(9)
    for _ in range(400):
        changed = bytearray(data)
        for at in random.integers(128, 700, random.integers(1, 5)):
            changed[at] = random.integers(0, 256)
        try:
            assert read_image(bytes(changed)).dtype == np.uint8
        except CxrEdgeError as err:
            assert str(err).isprintable()
