"""JPEG: decoded as Pillow does, or refused with the cause."""

from __future__ import annotations

import dataclasses
import io
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageOps

from cxr_edge.errors import ImageError
from cxr_edge.image import read_image
from cxr_edge.preprocess import Image, resize_to_input
from cxr_edge.spec import InputSpec

Encode = Callable[..., bytes]
END = b"\xff\xd9"
OPTIONS: dict[str, dict[str, object]] = {
    "baseline": {"quality": 90},
    "optimized": {"quality": 60, "optimize": True},
    "progressive": {"quality": 90, "progressive": True},
    "restart": {"quality": 90, "restart_marker_blocks": 37},
}


def refusal(data: bytes) -> str:
    """The message with which ``data`` is refused; fails where it is accepted."""
    with pytest.raises(ImageError) as caught:
        read_image(data, name="x.jpg")
    message = str(caught.value)
    assert message.startswith("x.jpg: ")
    assert "\n" not in message
    return message


def scan_start(data: bytes) -> int:
    """Where the first scan's entropy-coded data begins."""
    at = data.index(b"\xff\xda")
    return at + 2 + struct.unpack_from(">H", data, at + 2)[0]


def by_pillow(data: bytes, mode: str) -> np.ndarray:
    picture = Pillow.open(io.BytesIO(data))
    if mode == "L":
        picture.draft("L", picture.size)
    return np.asarray(ImageOps.exif_transpose(picture).convert(mode)).astype(int)


def colours(xray: Image) -> Image:
    return np.stack([xray, xray[::-1], xray[:, ::-1]], axis=2)


@pytest.mark.parametrize("format_name", OPTIONS)
@pytest.mark.parametrize("is_colour", [False, True])
def test_equals_pillow(format_name: str, is_colour: bool, xray: Image, encode: Encode) -> None:
    picture = colours(xray) if is_colour else xray
    data = encode(picture, "JPEG", **OPTIONS[format_name])
    grey, colour = read_image(data), read_image(data, channels=3)
    assert (grey.shape, grey.dtype) == (xray.shape, np.uint8)
    assert (colour.shape, colour.dtype) == ((*xray.shape, 3), np.uint8)
    assert np.abs(grey - by_pillow(data, "L")).max() <= 1
    assert np.abs(colour - by_pillow(data, "RGB")).max() <= 1


@pytest.mark.parametrize("format_name", OPTIONS)
def test_cut_anywhere_is_refused(format_name: str, xray: Image, encode: Encode) -> None:
    data = encode(xray, "JPEG", **OPTIONS[format_name])
    for end in np.linspace(1, len(data) - 1, 200).astype(int):
        refusal(data[:end])


def test_cut_before_the_end_of_a_thumbnail_is_not_fooled(xray: Image, encode: Encode) -> None:
    """The EXIF thumbnail is a JPEG with an end marker of its own."""
    thumbnail = encode(xray[::8, ::8], "JPEG")
    exif = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00" + thumbnail
    data = encode(xray, "JPEG", exif=exif)
    assert read_image(data).shape == xray.shape
    assert "cut" in refusal(data[: data.index(END) + 2])
    assert "cut" in refusal(data[:-2])


def lost_rows(image: Image, original: Image) -> float:
    """Share of rows that are off by more than 8 grey levels on average."""
    return float((np.abs(image.astype(int) - original).mean(axis=1) > 8).mean())


@pytest.mark.parametrize("format_name", OPTIONS)
@pytest.mark.parametrize("border", [0, 0.25])
@pytest.mark.parametrize("shrink_for", [None, InputSpec(60, 60)], ids=["exact", "fast"])
def test_damage_that_libjpeg_papers_over(
    format_name: str,
    border: float,
    shrink_for: InputSpec | None,
    natives: list[Path],
    encode: Encode,
) -> None:
    """Cut + EOI, zero tail + EOI and 4 KiB holes: none accepted has lost over 2 % of its rows."""
    random = np.random.default_rng(3)
    tried = accepted = 0
    for path in natives:
        picture = read_image(path)[::2, ::2]
        edge = int(border * picture.shape[0])
        data = encode(np.pad(picture, ((edge, edge), (0, 0))), "JPEG", **OPTIONS[format_name])
        original, start = read_image(data, shrink_for=shrink_for), scan_start(data)
        assert (original.size < picture.size) == (shrink_for is not None)
        for share in random.uniform(0, 0.95, 6):
            at = start + int(share * (len(data) - start))
            hole = min(at, len(data) - 4100)
            for damaged in (
                data[:at] + END,
                data[:at] + bytes(len(data) - at) + END,
                data[:hole] + bytes(4096) + data[hole + 4096 :],
            ):
                tried += 1
                try:
                    image = read_image(damaged, shrink_for=shrink_for)
                except ImageError:
                    continue
                accepted += 1
                assert lost_rows(image, original) <= 0.02
    assert tried >= 90
    # A progressive file cut in its last scan lacks low bits, but no row.
    assert accepted <= (0.2 if format_name == "progressive" else 0.02) * tried


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("is_colour", [False, True])
@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("geometry", ["squash", "letterbox", "center-crop"])
def test_fast_decoding_gives_the_pixels_of_exact_decoding(
    channels: Literal[1, 3],
    is_colour: bool,
    orientation: int,
    geometry: Literal["squash", "letterbox", "center-crop"],
    xray: Image,
    encode: Encode,
) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    picture = colours(xray) if is_colour else xray
    data = encode(picture, "JPEG", quality=95, exif=exif.tobytes())
    spec = InputSpec(71, 97, channels, geometry=geometry)
    whole = read_image(data, channels=channels)
    fast = read_image(data, channels=channels, shrink_for=spec)
    assert max(fast.shape[:2]) <= 97 < min(whole.shape[:2])
    delta = resize_to_input(fast, spec).astype(int) - resize_to_input(whole, spec)
    assert np.abs(delta).max() <= 1
    assert (delta != 0).mean() < 0.002


def test_only_jpeg_and_only_averaging_is_resized_early(xray: Image, encode: Encode) -> None:
    spec = InputSpec(20, 20)
    for format_name in ("PNG", "BMP", "TIFF", "WEBP"):
        assert read_image(encode(xray, format_name), shrink_for=spec).shape == xray.shape
    linear = dataclasses.replace(spec, interpolation="linear")
    assert read_image(encode(xray, "JPEG"), shrink_for=linear).shape == xray.shape


def test_zeros_in_flat_areas_are_no_damage(encode: Encode, xray: Image) -> None:
    """Optimized tables code black borders as zero bits; hundreds of zero bytes are the picture."""
    for picture in (
        np.zeros((1500, 1200), np.uint8),
        np.pad(xray, 900),
        np.pad(xray, ((0, 1500), (800, 0)), constant_values=255),
        np.pad(xray, ((1500, 0), (0, 0))),
    ):
        for format_name in OPTIONS:
            data = encode(picture, "JPEG", **{**OPTIONS[format_name], "optimize": True})
            image = read_image(data)
            assert np.abs(image.astype(int) - picture).mean() < 6
            assert read_image(data, shrink_for=InputSpec(80, 80)).shape == (80, 80)
    long_run = bytes(500)
    assert long_run in encode(np.pad(xray, 900), "JPEG", quality=60, optimize=True)


def test_a_grey_bottom_is_no_damage(xray: Image, encode: Encode) -> None:
    """Level 128 is what libjpeg makes up for lost rows, and what some people pad with."""
    padded = np.pad(xray, ((0, 200), (0, 0)), constant_values=128)
    data = encode(padded, "JPEG", quality=90)
    assert (read_image(data)[-100:] == 128).all()
    assert "premature end" in refusal(data[: scan_start(data) + 5000] + END)


def test_restart_markers(xray: Image, encode: Encode) -> None:
    data = encode(xray, "JPEG", **OPTIONS["restart"])
    third, fourth = data.index(b"\xff\xd2"), data.index(b"\xff\xd3")
    assert "instead of RST2" in refusal(data[:third] + data[fourth:])
    assert "instead of RST2" in refusal(data[:third] + b"\xff\xd5" + data[third + 2 :])
    plain = encode(xray, "JPEG", quality=90)
    middle = (scan_start(plain) + len(plain)) // 2
    middle += plain[middle - 1] == 0xFF
    assert "marker" in refusal(plain[:middle] + b"\xff\xd0" + plain[middle:])


def test_no_false_refusal(data_root: Path) -> None:
    """Every radiograph of the data folder is read: 5,620 of them."""
    paths = [*(data_root / "chest_xray").rglob("*.jp*g"), *(data_root / "native").rglob("*.jp*g")]
    assert len(paths) >= 5_000
    for path in paths:
        assert read_image(path).min() >= 0
    for path in (data_root / "native").rglob("*.jp*g"):
        assert read_image(path, shrink_for=InputSpec(150, 150)).min() >= 0


@pytest.mark.parametrize("encoder", ["cv2 progressive", "cv2 restart", "cv2 optimized"])
def test_natives_reencoded_are_read(encoder: str, natives: list[Path]) -> None:
    option = {
        "cv2 progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
        "cv2 restart": [cv2.IMWRITE_JPEG_RST_INTERVAL, 64],
        "cv2 optimized": [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
    }[encoder]
    for path in natives:
        picture = read_image(path)
        data = cv2.imencode(".jpg", picture, option)[1].tobytes()
        assert np.abs(read_image(data).astype(int) - picture).mean() < 2


def test_kinds_that_are_refused(xray: Image, encode: Encode) -> None:
    data = encode(xray, "JPEG", quality=90)
    frame = data.index(b"\xff\xc0")

    def patched(offset: int, value: bytes) -> bytes:
        return data[: frame + offset] + value + data[frame + offset + len(value) :]

    assert "arithmetic" in refusal(patched(1, b"\xc9"))
    assert "lossless" in refusal(patched(1, b"\xc3"))
    assert "hierarchical" in refusal(patched(1, b"\xc5"))
    assert "12 bits" in refusal(patched(4, b"\x0c"))
    assert "2 components" in refusal(patched(9, b"\x02"))
    assert "at least 1x1" in refusal(patched(5, b"\x00\x00"))
    assert "sampling" in refusal(patched(11, b"\x00"))
    assert "before the frame" in refusal(data[:frame] + data[data.index(b"\xff\xda") :])
    length = 2 + struct.unpack_from(">H", data, frame + 2)[0]
    assert "two frame" in refusal(data[: frame + length] + data[frame:])
    cmyk = io.BytesIO()
    Pillow.new("CMYK", (50, 50)).save(cmyk, "JPEG")
    assert "CMYK" in refusal(cmyk.getvalue())
    assert "no picture" in refusal(data[: data.index(b"\xff\xda")] + END)
    progressive = encode(xray, "JPEG", progressive=True)
    scans = [i for i in range(len(progressive)) if progressive[i : i + 2] == b"\xff\xda"]
    assert "lacks scans" in refusal(progressive[: scans[-1]] + END)


def test_what_follows_the_end_is_ignored(xray: Image, encode: Encode) -> None:
    data = encode(xray, "JPEG", quality=90)
    assert (read_image(data + bytes(1000) + b"appendix") == read_image(data)).all()


@pytest.mark.parametrize("scans", [101, 1_000, 10_000])
def test_scan_bomb(scans: int, xray: Image, encode: Encode) -> None:
    data = encode(xray, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    bomb = data[:last] + data[last:-2] * scans + END
    started = time.process_time()
    assert "scans" in refusal(bomb)
    assert time.process_time() - started < 0.2


def test_segment_bomb(xray: Image, encode: Encode) -> None:
    data = encode(xray, "JPEG")
    assert "segments" in refusal(data[:2] + b"\xff\xfe\x00\x02" * 6_000 + data[2:])


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("portrait", [False, True])
def test_orientation(orientation: int, portrait: bool, xray: Image, encode: Encode) -> None:
    """Numbers other than 1..8 are ignored, as Pillow does."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    data = encode(xray.T.copy() if portrait else xray, "JPEG", quality=95, exif=exif.tobytes())
    expected = by_pillow(data, "L")
    image = read_image(data)
    assert image.shape == expected.shape
    assert np.abs(image - expected).mean() <= 0.1
    assert np.abs(read_image(data, channels=3) - by_pillow(data, "RGB")).mean() <= 0.1
    if 1 <= orientation <= 8:
        upright = read_image(encode(xray.T.copy() if portrait else xray, "JPEG", quality=95))
        assert (image.shape == upright.shape) == (orientation <= 4)
        assert (orientation == 1) == (image.shape == upright.shape and (image == upright).all())


def test_damaged_exif_is_no_damaged_picture(xray: Image, encode: Encode) -> None:
    for exif in (b"Exif\x00\x00", b"Exif\x00\x00MM\x00*\xff\xff\xff\xff", b"Exif\x00\x00junk" * 9):
        data = encode(xray, "JPEG", quality=90, exif=exif)
        assert read_image(data).shape == xray.shape


def test_exif_samples(data_root: Path) -> None:
    """Camera files with real EXIF blocks look as Pillow turns them."""
    paths = sorted((data_root / "odd_images" / "exif").glob("*.jp*g"))
    assert len(paths) > 40
    for path in paths:
        data = path.read_bytes()
        expected = by_pillow(data, "RGB")
        image = read_image(data, channels=3)
        assert image.shape == expected.shape, path.name
        assert np.abs(image - expected).mean() <= 0.5, path.name
