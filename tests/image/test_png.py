"""PNG: decoded as Pillow does, or refused with the cause."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageOps

from cxr_edge.errors import ImageError
from cxr_edge.image import read_image
from cxr_edge.preprocess import Image

Encode = Callable[..., bytes]
SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = (b"IEND", b"")


def refusal(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(data, name="x.png")
    message = str(caught.value)
    assert message.startswith("x.png: ")
    assert "\n" not in message
    return message


def join(*chunks: tuple[bytes, bytes]) -> bytes:
    return SIGNATURE + b"".join(
        struct.pack(">I", len(body))
        + chunk_type
        + body
        + struct.pack(">I", zlib.crc32(chunk_type + body))
        for chunk_type, body in chunks
    )


def split(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at < len(data):
        length, chunk_type = struct.unpack_from(">I4s", data, at)
        yield chunk_type, data[at + 8 : at + 8 + length]
        at += 12 + length


def is_whole(data: bytes) -> bool:
    return join(*split(data)) == data


def header(width: int, height: int, depth: int = 8, colour: int = 0) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)


def assert_equals_pillow(data: bytes, grey_levels: float = 1) -> None:
    picture = ImageOps.exif_transpose(Pillow.open(io.BytesIO(data))).convert("RGB")
    grey, colour = read_image(data), read_image(data, channels=3)
    assert (colour == np.asarray(picture)).all()
    assert np.abs(grey - np.asarray(picture.convert("L")).astype(int)).max() <= grey_levels


def test_equals_pillow(xray: Image, encode: Encode) -> None:
    colours = np.stack([xray, xray[::-1], xray[:, ::-1]], axis=2)
    for picture in (xray, colours):
        assert_equals_pillow(encode(picture, "PNG"))
    for bits in (1, 2, 4, 8):
        buffer = io.BytesIO()
        palette = Pillow.fromarray(colours).quantize(2**bits)
        palette.save(buffer, "PNG", bits=bits)
        assert_equals_pillow(buffer.getvalue())
    buffer = io.BytesIO()
    Pillow.fromarray(xray).convert("1").save(buffer, "PNG")
    assert_equals_pillow(buffer.getvalue())


@pytest.mark.parametrize("filter_type", range(5))
def test_bands(filter_type: int, xray: Image) -> None:
    """A picture of many bands, whose rows refer to the ones above."""
    flag = (8, 16, 32, 64, 128)[filter_type]
    tall = np.vstack([xray, xray[::-1], xray[:, ::-1]])
    colours = np.stack([tall, tall[::-1], tall[:, ::-1]], axis=2)
    opaque = np.dstack([colours, np.full_like(tall, 255)])
    for picture in (tall, colours, opaque):
        data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_FILTER, flag])[1].tobytes()
        assert_equals_pillow(data)


def test_a_row_longer_than_a_stored_block(encode: Encode) -> None:
    rows = np.arange(40 * 22_000 * 3, dtype=np.uint32).astype(np.uint8).reshape(40, 22_000, 3)
    assert (read_image(encode(rows, "PNG"), channels=3) == rows).all()


def test_cut_anywhere_is_refused(xray: Image, encode: Encode) -> None:
    data = encode(xray, "PNG")
    for end in np.linspace(1, len(data) - 1, 200).astype(int):
        refusal(data[:end])


def test_a_changed_byte_is_refused(xray: Image, encode: Encode) -> None:
    data = encode(xray, "PNG")
    for at in np.linspace(8, len(data) - 1, 200).astype(int):
        refusal(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :])


def test_compressed_data_that_decodes_short(xray: Image, encode: Encode) -> None:
    """Whole chunks with right checksums, but not the whole picture."""
    chunks = list(split(encode(xray, "PNG")))
    first = chunks[0]
    packed = b"".join(body for chunk_type, body in chunks if chunk_type == b"IDAT")
    rows = zlib.decompress(packed)
    assert (read_image(join(first, (b"IDAT", zlib.compress(rows)), END)) == xray).all()
    for damaged in (
        zlib.compress(rows[: len(rows) // 2]),
        zlib.compress(rows[: -xray.shape[1] - 1]),
        packed[:-100],
        packed[: len(packed) // 2] + b"\xff" * (len(packed) // 2),
        b"",
        zlib.compress(rows + b"\0"),
        zlib.compress(rows)[:-1],
        zlib.compress(rows)[:-4] + b"\0\0\0\0",
    ):
        refusal(join(first, (b"IDAT", damaged), END))
    refusal(join(first, END))


def test_sixteen_bits_are_refused(xray: Image, encode: Encode) -> None:
    """12 bits stored in 16 would decode nearly black, and the range cannot be guessed."""
    for deep in (xray.astype(np.uint16) * 257, xray.astype(np.uint16) * 16):
        assert "16 bits" in refusal(encode(deep, "PNG"))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha(mode: str, xray: Image, encode: Encode) -> None:
    picture = Pillow.fromarray(xray).convert(mode)
    opaque, clear = io.BytesIO(), io.BytesIO()
    picture.save(opaque, "PNG")
    assert_equals_pillow(opaque.getvalue())
    picture.putpixel((3, 5), (10,) * (len(mode) - 1) + (254,))
    picture.save(clear, "PNG")
    assert "flatten" in refusal(clear.getvalue())


def test_transparency_by_value(xray: Image) -> None:
    """tRNS: refused where a pixel has it, harmless where none has."""
    grey = np.clip(xray, 10, 250)
    for mode, used, free in (("L", int(grey[0, 0]), 3), ("RGB", (int(grey[0, 0]),) * 3, (0, 3, 3))):
        for value in (used, free):
            buffer = io.BytesIO()
            Pillow.fromarray(grey).convert(mode).save(buffer, "PNG", transparency=value)
            if value == used:
                assert "flatten" in refusal(buffer.getvalue())
            else:
                assert (read_image(buffer.getvalue()) == grey).all()
    palette = Pillow.fromarray(grey).quantize(16)
    for level, is_refused in ((255, False), (254, True)):
        buffer = io.BytesIO()
        palette.save(buffer, "PNG", transparency=bytes([level]) * 16)
        if is_refused:
            assert "flatten" in refusal(buffer.getvalue())
        else:
            assert read_image(buffer.getvalue()).shape == grey.shape


def test_animation_is_refused(xray: Image) -> None:
    buffer = io.BytesIO()
    frames = [Pillow.fromarray(xray), Pillow.fromarray(xray[::-1])]
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    assert "several frames" in refusal(buffer.getvalue())


def test_gamma_changes_nothing(xray: Image, encode: Encode) -> None:
    """libpng applies gAMA when it makes grey of colours, and nowhere else."""
    colours = np.stack([xray, xray[::-1], xray[:, ::-1]], axis=2)
    first, *rest = split(encode(colours, "PNG"))
    with_gamma = join(first, (b"gAMA", struct.pack(">I", 100_000)), *rest)
    assert (read_image(with_gamma) == read_image(join(first, *rest))).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int, xray: Image, encode: Encode) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    assert_equals_pillow(encode(xray, "PNG", exif=exif))


def test_texts_that_inflate_are_not_inflated(xray: Image, encode: Encode) -> None:
    first, *rest = split(encode(xray, "PNG"))
    bomb = zlib.compress(bytes(100_000_000), 9)
    data = join(first, *[(b"zTXt", b"a\x00\x00" + bomb)] * 5, (b"iCCP", b"a\x00\x00" + bomb), *rest)
    tracemalloc.start()
    assert (read_image(data) == xray).all()
    assert tracemalloc.get_traced_memory()[1] < 16e6
    tracemalloc.stop()


def test_chunk_bomb(xray: Image, encode: Encode) -> None:
    first, *rest = split(encode(xray, "PNG"))
    assert "chunks" in refusal(join(first, *[(b"teXt", b"")] * 100_001, *rest))


def test_headers_that_lie(xray: Image, encode: Encode) -> None:
    _, *rest = split(encode(xray, "PNG"))
    assert "at least 1x1" in refusal(join(header(0, 300), *rest))
    assert "limit" in refusal(join(header(65_000, 65_000), *rest))
    assert "3 bits" in refusal(join(header(401, 300, depth=3), *rest))
    assert "IHDR" in refusal(join(*rest))
    refusal(join(header(401, 301), *rest))


def test_png_suite(data_root: Path) -> None:
    """The 8-bit opaque files equal Pillow's; the others are refused with the cause."""
    counts = {"equal": 0, "16 bits": 0, "transparent": 0, "broken": 0}
    for path in sorted((data_root / "odd_images" / "pngsuite").glob("*.png")):
        data = path.read_bytes()
        try:
            picture = Pillow.open(io.BytesIO(data))
            picture.load()
            assert is_whole(data)  # Pillow ignores some checksums
            opaque = np.asarray(picture.convert("RGBA"))[..., 3].min() == 255
            # Pillow compares the value of a 4-bit file with pixels that it scaled to 8.
            opaque &= not (picture.mode == "L" and "transparency" in picture.info)
        except Exception:
            counts["broken"] += 1
            refusal(data)
            continue
        if data[24] == 16:
            counts["16 bits"] += 1
            assert "16 bits" in refusal(data)
        elif not opaque:
            counts["transparent"] += 1
            assert "flatten" in refusal(data)
        else:
            counts["equal"] += 1
            assert_equals_pillow(data)
    assert counts["equal"] >= 40, counts
    assert min(counts.values()) >= 1, counts
