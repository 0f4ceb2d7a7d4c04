"""Limits on pixels and bytes."""

from __future__ import annotations

import resource
import struct
import time
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from cxr_edge.errors import ImageError, UsageError
from cxr_edge.image import ImageLimits, read_image
from cxr_edge.preprocess import Image

Encode = Callable[..., bytes]
KINDS = ["JPEG", "PNG", "BMP", "TIFF", "WEBP"]


def claim(data: bytes, format_name: str, width: int, height: int) -> bytes:
    """``data`` with a header that says another size."""
    if format_name == "JPEG":
        at, sides = data.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width)
    elif format_name == "PNG":
        body = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
        at, sides = 12, body + struct.pack(">I", zlib.crc32(body))
    elif format_name == "BMP":
        at, sides = 18, struct.pack("<ii", width, height)
    elif format_name == "WEBP":  # 14 bits a side
        at, sides = data.index(b"\x9d\x01\x2a") + 3, struct.pack("<HH", width, height)
    else:
        (at,) = struct.unpack_from("<I", data, 4)
        assert data[at + 2 : at + 4] == b"\x00\x01"
        assert data[at + 14 : at + 16] == b"\x01\x01"
        entries = struct.pack("<HHII", 256, 4, 1, width) + struct.pack("<HHII", 257, 4, 1, height)
        at, sides = at + 2, entries
    return data[:at] + sides + data[at + len(sides) :]


@pytest.mark.parametrize("format_name", KINDS)
def test_headers_over_the_limit(format_name: str, xray: Image, encode: Encode) -> None:
    data = encode(xray, format_name)
    side = 16_383 if format_name == "WEBP" else 65_500
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    for width, height in ((side, side), (side, 4_000), (4_000, side)):
        with pytest.raises(ImageError, match=f"says {width}x{height} = .* the limit is 50,000,000"):
            read_image(claim(data, format_name, width, height))
    assert time.process_time() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@pytest.mark.parametrize("format_name", KINDS)
def test_pixels_at_the_limit_and_one_over(format_name: str, xray: Image, encode: Encode) -> None:
    data = encode(xray, format_name)
    assert read_image(data, limits=ImageLimits(max_pixels=xray.size)).shape == xray.shape
    with pytest.raises(ImageError, match=f"{xray.size:,} pixels, the limit is {xray.size - 1:,}"):
        read_image(data, limits=ImageLimits(max_pixels=xray.size - 1))


def test_bytes_at_the_limit_and_one_over(xray: Image, encode: Encode, tmp_path) -> None:
    data = encode(xray, "PNG")
    path = tmp_path / "x.png"
    path.write_bytes(data)
    for source in (data, path):
        assert read_image(source, limits=ImageLimits(max_bytes=len(data))).shape == xray.shape
        with pytest.raises(ImageError, match=f"{len(data):,} bytes, the limit is"):
            read_image(source, limits=ImageLimits(max_bytes=len(data) - 1))


def test_defaults() -> None:
    assert ImageLimits() == ImageLimits(max_pixels=50_000_000, max_bytes=268_435_456)


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize("name", ["max_pixels", "max_bytes"])
def test_limits_that_accept_nothing(name: str, value: int) -> None:
    with pytest.raises(UsageError, match=f"{name} is {value}"):
        ImageLimits(**{name: value})


@pytest.mark.parametrize("format_name", ["PNG", "BMP", "TIFF"])
def test_sides_at_the_limit_and_one_over(format_name: str, encode: Encode) -> None:
    """A long side costs decoders memory or time for each row or column."""
    for shape in ((65_535, 1), (1, 65_535)):
        assert read_image(encode(np.zeros(shape, np.uint8), format_name)).shape == shape
    for height, width in ((65_536, 1), (1, 65_536)):
        data = encode(np.zeros((height, width), np.uint8), format_name)
        with pytest.raises(ImageError, match=f"{width}x{height} pixels, the limit for a side is"):
            read_image(data, limits=ImageLimits(max_pixels=10**10))


def test_the_largest_picture_by_default(encode: Encode) -> None:
    """50 Mpx are read whole."""
    data = encode(np.zeros((5_000, 10_000), np.uint8), "PNG")
    assert read_image(data).shape == (5_000, 10_000)
