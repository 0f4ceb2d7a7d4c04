"""BMP, TIFF and WebP, and the unsupported formats that are refused by name."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageOps

from cxr_edge.errors import ImageError
from cxr_edge.image import bmp, opencv, read_image, tiff
from cxr_edge.preprocess import Image

Encode = Callable[..., bytes]
CONTAINERS = ["BMP", "TIFF", "WEBP"]


def refusal(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(data, name="x")
    message = str(caught.value)
    assert message.startswith("x: ")
    assert "\n" not in message
    return message


def save(picture: Pillow.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)
    return buffer.getvalue()


def assert_equals_pillow(data: bytes, grey_levels: float = 1) -> None:
    picture = ImageOps.exif_transpose(Pillow.open(io.BytesIO(data))).convert("RGB")
    grey, colour = read_image(data), read_image(data, channels=3)
    assert grey.shape == colour.shape[:2] == picture.size[::-1]
    assert np.abs(colour - np.asarray(picture).astype(int)).max() <= grey_levels
    assert np.abs(grey - np.asarray(picture.convert("L")).astype(int)).max() <= grey_levels


@pytest.fixture(scope="module")
def modes(xray: Image) -> dict[str, Pillow.Image]:
    """The same picture in Pillow's modes."""
    colour = Pillow.fromarray(np.stack([xray, xray[::-1], xray[:, ::-1]], axis=2))
    grey = Pillow.fromarray(xray)
    return {"RGB": colour, "L": grey, "P": colour.quantize(200), "1": grey.convert("1")}


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_bmp_equals_pillow(mode: str, modes: dict[str, Pillow.Image]) -> None:
    assert_equals_pillow(save(modes[mode], "BMP"))


def test_pictures_of_many_blocks(
    modes: dict[str, Pillow.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Conversion goes a few rows at a time, over the picture's own memory where it can."""
    monkeypatch.setattr(opencv, "_BLOCK", 3_000)
    monkeypatch.setattr(bmp, "_BLOCK", 9_000)
    monkeypatch.setattr(tiff, "_BAND", 3_000)
    for mode, picture in {**modes, "RGBA": modes["RGB"].convert("RGBA")}.items():
        assert_equals_pillow(save(picture, "BMP"))
        assert_equals_pillow(save(picture, "PNG"))
        assert_equals_pillow(save(picture, "WEBP", lossless=True))
        if mode != "RGBA":
            assert_equals_pillow(save(picture.convert("L") if mode == "1" else picture, "TIFF"))


def test_bmp_variants(xray: Image, modes: dict[str, Pillow.Image]) -> None:
    data = save(modes["L"], "BMP")
    (height,) = struct.unpack_from("<i", data, 22)
    top_down = data[:22] + struct.pack("<i", -height) + data[26:]
    assert (read_image(top_down) == xray[::-1]).all()
    assert "16 bits" in refusal(data[:28] + struct.pack("<H", 16) + data[30:])
    assert "compression 1" in refusal(data[:30] + struct.pack("<I", 1) + data[34:])
    assert "at least 1x1" in refusal(data[:18] + struct.pack("<i", -5) + data[22:])
    assert "limit" in refusal(data[:18] + struct.pack("<ii", 65_000, 65_000) + data[26:])
    with_alpha = modes["RGB"].convert("RGBA")
    assert_equals_pillow(save(with_alpha, "BMP"))
    with_alpha.putpixel((3, 5), (10, 10, 10, 0))
    clear = cv2.imencode(".bmp", np.asarray(with_alpha)[..., [2, 1, 0, 3]])[1].tobytes()
    assert "flatten" in refusal(clear)


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
@pytest.mark.parametrize("compression", ["raw", "tiff_adobe_deflate", "tiff_deflate"])
def test_tiff_equals_pillow(mode: str, compression: str, modes: dict[str, Pillow.Image]) -> None:
    assert_equals_pillow(save(modes[mode], "TIFF", compression=compression))
    assert_equals_pillow(save(modes[mode], "TIFF", compression=compression, strip_size=5_000))


def test_tiff_where_white_is_zero(xray: Image) -> None:
    data = save(Pillow.fromarray(xray), "TIFF", tiffinfo={262: 0})
    picture = np.asarray(Pillow.open(io.BytesIO(data)).convert("L")).astype(int)
    assert np.abs(read_image(data) - picture).max() <= 1


def test_tiff_kinds_that_are_refused(xray: Image, modes: dict[str, Pillow.Image]) -> None:
    pages = save(modes["L"], "TIFF", save_all=True, append_images=[modes["L"]])
    assert "several pages" in refusal(pages)
    assert "1 bits" in refusal(save(modes["1"], "TIFF"))
    assert "photometric 5" in refusal(save(modes["RGB"].convert("CMYK"), "TIFF"))
    assert "samples a pixel" in refusal(save(modes["RGB"].convert("RGBA"), "TIFF"))
    assert "samples a pixel" in refusal(save(modes["L"].convert("LA"), "TIFF"))
    assert "16 bits" in refusal(save(Pillow.fromarray(xray.astype(np.uint16) * 16), "TIFF"))
    assert "32 bits" in refusal(save(Pillow.fromarray(xray.astype(np.float32)), "TIFF"))
    assert "compression 7" in refusal(save(modes["L"], "TIFF", compression="jpeg"))
    assert "compression 5" in refusal(save(modes["L"], "TIFF", compression="tiff_lzw"))
    assert "BigTIFF" in refusal(save(modes["L"], "TIFF", big_tiff=True))


def test_tiff_with_damaged_strips(modes: dict[str, Pillow.Image]) -> None:
    """Compressed rows cut short or overwritten with zeros are refused."""
    data = save(modes["L"], "TIFF", compression="tiff_adobe_deflate", strip_size=1 << 20)
    picture = Pillow.open(io.BytesIO(data))
    start, length = picture.tag_v2[273][0], picture.tag_v2[279][0]
    middle = start + length // 2
    refusal(data[:middle] + bytes(length // 4) + data[middle + length // 4 :])
    at = data.index(struct.pack("<HHI", 279, 4, 1)) + 8
    assert struct.unpack_from("<I", data, at) == (length,)
    assert "too short" in refusal(data[:at] + struct.pack("<I", length // 2) + data[at + 4 :])


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("lossless", [False, True])
def test_webp_equals_pillow(mode: str, lossless: bool, modes: dict[str, Pillow.Image]) -> None:
    data = save(modes[mode], "WEBP", lossless=lossless)
    assert_equals_pillow(data, grey_levels=1 if lossless else 3)


def test_webp_kinds_that_are_refused(modes: dict[str, Pillow.Image]) -> None:
    frames = save(modes["RGB"], "WEBP", save_all=True, append_images=[modes["P"].convert("RGB")])
    assert "several frames" in refusal(frames)
    with_alpha = modes["RGB"].convert("RGBA")
    assert read_image(save(with_alpha, "WEBP", lossless=True)).shape == modes["L"].size[::-1]
    with_alpha.putpixel((3, 5), (10, 10, 10, 100))
    for lossless in (False, True):
        assert "flatten" in refusal(save(with_alpha, "WEBP", lossless=lossless))


@pytest.mark.parametrize("format_name", CONTAINERS)
def test_cut_anywhere_is_refused(format_name: str, modes: dict[str, Pillow.Image]) -> None:
    for options in ({"lossless": True}, {"lossless": False}) if format_name == "WEBP" else ({},):
        data = save(modes["RGB"], format_name, **options)
        for end in np.linspace(1, len(data) - 1, 200).astype(int):
            refusal(data[:end])


@pytest.mark.parametrize("format_name", ["TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(format_name: str, orientation: int, modes: dict[str, Pillow.Image]) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format_name == "WEBP" else {}
    data = save(modes["RGB"], format_name, exif=exif, **options)
    assert_equals_pillow(data)
    unturned = read_image(save(modes["RGB"], format_name, **options))
    image = read_image(data)
    assert (orientation == 1) == (image.shape == unturned.shape and (image == unturned).all())


def test_private_tags_are_no_noise(modes: dict[str, Pillow.Image], capfd) -> None:
    data = save(modes["L"], "TIFF", tiffinfo={65_000: "private", 65_001: 7})
    assert_equals_pillow(data)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("format_name", "named"),
    [("GIF", "a GIF"), ("JPEG2000", "JPEG 2000"), ("PPM", "PNM"), ("PDF", "PDF"), ("AVIF", "AVIF")],
)
def test_other_formats_are_named(
    format_name: str, named: str, modes: dict[str, Pillow.Image]
) -> None:
    message = refusal(save(modes["RGB"], format_name))
    assert named in message
    assert "supported are JPEG" in message


@pytest.mark.parametrize(
    "data", [b"hello, this is no picture", b"\x00" * 500, b"\xff", b"\xff\xd8", b"BM", b"II*\x00"]
)
def test_what_is_no_picture(data: bytes) -> None:
    refusal(data)


def test_the_suffix_does_not_matter(modes: dict[str, Pillow.Image], tmp_path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(save(modes["L"], "PNG"))
    assert (read_image(path) == np.asarray(modes["L"])).all()


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_bmp_palettes_that_lack_a_colour(bits: int, modes: dict[str, Pillow.Image]) -> None:
    """OpenCV would show such a pixel black, or in a colour that is made of the picture's rows."""
    colours = 1 << bits
    brightest = np.asarray(modes["L"]).copy()
    brightest[0, 0] = 255
    picture = Pillow.fromarray(brightest)
    if bits == 8:
        picture.putpalette(bytes(range(256)) * 3)
    data = save(picture.convert("1") if bits == 1 else picture, "BMP")
    start, at = struct.unpack_from("<I", data, 10)[0], 46
    if bits == 4:
        indices = brightest >> 4
        padded = np.zeros((indices.shape[0], 408), np.uint8)
        padded[:, : indices.shape[1]] = indices[::-1]
        rows = (padded[:, ::2] << 4 | padded[:, 1::2])[:, :204].tobytes()
        data = data[:28] + struct.pack("<H", 4) + data[30:46] + struct.pack("<I", 16) + data[50:]
        start = 54 + 64
        data = data[:10] + struct.pack("<I", start) + data[14:start] + rows
    assert read_image(data).shape == modes["L"].size[::-1]
    assert "its palette" in refusal(data[:at] + struct.pack("<I", colours - 1) + data[at + 4 :])
    overlapped = struct.pack("<I", start - 4)
    assert "its palette" in refusal(data[:10] + overlapped + data[14:])


def pack_tiff(tags: dict[int, list[int]], body: bytes) -> bytes:
    """A TIFF of LONG tags; offsets of parts count from the start of ``body``."""
    start = 8 + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for tag, numbers in sorted(tags.items()):
        moved = [number + start for number in numbers] if tag in (273, 324) else numbers
        packed = struct.pack(f"<{len(moved)}I", *moved)
        at = struct.pack("<I", start + len(body) + len(values))
        entries += struct.pack("<HHI", tag, 4, len(moved)) + (packed if len(moved) == 1 else at)
        values += packed if len(moved) > 1 else b""
    return b"II*\x00" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + body + values


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("compression", "predictor"), [(1, 1), (8, 1), (8, 2)])
def test_tiff_tiles(
    compression: int, predictor: int, channels: int, modes: dict[str, Pillow.Image]
) -> None:
    picture = np.asarray(modes["RGB"])[..., :channels]
    rows, columns = picture.shape[:2]
    tall, wide = -(-rows // 48), -(-columns // 64)
    padded = np.zeros((tall * 48, wide * 64, channels), np.uint8)
    padded[:rows, :columns] = picture
    tiles = [
        padded[y * 48 : (y + 1) * 48, x * 64 : (x + 1) * 64]
        for y in range(tall)
        for x in range(wide)
    ]
    if predictor == 2:
        tiles = [np.diff(tile, axis=1, prepend=np.uint8(0)) for tile in tiles]
    parts = [tile.tobytes() for tile in tiles]
    if compression == 8:
        parts = [zlib.compress(part) for part in parts]
    lengths = [len(part) for part in parts]
    offsets = [sum(lengths[:i]) for i in range(len(parts))]
    tags = {256: [columns], 257: [rows], 258: [8] * channels, 259: [compression]}
    tags |= {262: [1 if channels == 1 else 2], 277: [channels], 317: [predictor]}
    tags |= {322: [64], 323: [48], 324: offsets, 325: lengths}
    data = pack_tiff(tags, b"".join(parts))
    shown = read_image(data, channels=channels)
    assert (shown.reshape(picture.shape) == picture).all()
    assert_equals_pillow(data)
    shared = tags | {324: [offsets[0], *offsets[:-1]]}
    assert "share the bytes" in refusal(pack_tiff(shared, b"".join(parts)))
