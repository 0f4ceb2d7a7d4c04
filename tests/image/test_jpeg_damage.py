"""JPEG damage of every kind is refused; metadata and tables reach the decoder only where needed."""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image as Pillow

from cxr_edge.errors import ImageError
from cxr_edge.image import ImageLimits, jpeg, read_image
from cxr_edge.preprocess import Image

Encode = Callable[..., bytes]
END = b"\xff\xd9"
PROGRESSIVE = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
RESTART = [cv2.IMWRITE_JPEG_RST_INTERVAL, 5]
SAMPLINGS = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}


def draw(xray: Image, sampling: str, options: list[int], side: int = 224) -> bytes:
    """A JPEG of ``xray``, grey or in colours."""
    picture = cv2.resize(xray, (side, side), interpolation=cv2.INTER_AREA)
    if sampling != "grey":
        picture = np.stack([picture, picture[::-1], picture[:, ::-1]], axis=2)
        options = [*options, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLINGS[sampling]]
    return cv2.imencode(".jpg", picture, options)[1].tobytes()


def is_refused(data: bytes) -> bool:
    try:
        read_image(data)
    except ImageError as err:
        assert len(str(err)) < 300 and "\n" not in str(err)
        return True
    return False


def intervals(data: bytes) -> tuple[bytes, list[bytes]]:
    """What comes before the entropy-coded data, and its restart intervals."""
    at = data.index(b"\xff\xda")
    start = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
    cuts = [m.start() for m in re.finditer(rb"\xff[\xd0-\xd7]", data[:-2]) if m.start() >= start]
    cuts = [start, *cuts, len(data) - 2]
    return data[:start], [data[a:b] for a, b in itertools.pairwise(cuts)]


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body


def behind_start(data: bytes, inserted: bytes) -> bytes:
    """``data`` with segments inserted behind its start marker."""
    return data[:2] + inserted + data[2:]


each_sampling = pytest.mark.parametrize("sampling", ["grey", "4:4:4", "4:2:0"])


@each_sampling
@pytest.mark.parametrize("options", [[], PROGRESSIVE, RESTART], ids=["base", "progr", "restart"])
def test_cuts_with_an_end_marker_in_small_pictures(
    sampling: str, options: list[int], xray: Image
) -> None:
    data = draw(xray, sampling, options)
    start = data.index(b"\xff\xda") + 20
    for at in np.linspace(start, len(data) - 40, 60).astype(int):
        assert is_refused(data[:at] + END), at


@each_sampling
def test_emptied_dropped_and_repeated_restart_intervals(sampling: str, xray: Image) -> None:
    head, parts = intervals(draw(xray, sampling, RESTART))
    assert len(parts) > 20
    random = np.random.default_rng(1)
    for share in (0.02, 0.1, 0.5, 0.9):
        emptied = [part[:2] if random.random() < share else part for part in parts[2:-1]]
        emptied[3] = emptied[3][:2]
        assert is_refused(head + b"".join([*parts[:2], *emptied, parts[-1], END]))
    for first in (1, 4, 9):
        dropped, repeated = parts[:first] + parts[first + 8 :], parts[: first + 8] + parts[first:]
        assert is_refused(head + b"".join(dropped) + END)
        assert is_refused(head + b"".join(repeated) + END)
    assert not is_refused(head + b"".join(parts) + END)


@each_sampling
def test_a_progressive_jpeg_without_one_or_two_of_its_scans(sampling: str, xray: Image) -> None:
    data = draw(xray, sampling, PROGRESSIVE)
    first_table = data.index(b"\xff\xc4")
    ends = [m.end() for m in re.finditer(rb"\xff\xda(?:[^\xff]|\xff\x00)+", data)]
    scans = [data[a:b] for a, b in itertools.pairwise([first_table, *ends])]
    assert b"".join([data[:first_table], *scans]) + END == data
    for count in (1, 2):
        for dropped in itertools.combinations(range(len(scans)), count):
            kept = [scan for number, scan in enumerate(scans) if number not in dropped]
            assert is_refused(data[:first_table] + b"".join(kept) + END), dropped


@each_sampling
@pytest.mark.parametrize("options", [[], PROGRESSIVE, RESTART], ids=["base", "progr", "restart"])
@pytest.mark.parametrize("offset", [5, 7], ids=["height", "width"])
def test_a_side_changed_by_a_block_or_more(
    sampling: str, options: list[int], offset: int, xray: Image
) -> None:
    data = draw(xray, sampling, options)
    at = re.search(rb"\xff[\xc0-\xc2]\x00", data).start() + offset  # type: ignore[union-attr]
    for side in (112, 208, 241, 448):
        assert is_refused(data[:at] + struct.pack(">H", side) + data[at + 2 :]), side


@pytest.mark.parametrize("options", [[], PROGRESSIVE, RESTART], ids=["base", "progr", "restart"])
def test_zeroed_holes_and_tails(options: list[int], xray: Image) -> None:
    data = draw(xray, "4:2:0", options, side=400)
    start = data.index(b"\xff\xda") + 20
    for at in np.linspace(start, len(data) - 4100, 30).astype(int):
        assert is_refused(data[:at] + bytes(4096) + data[at + 4096 :]), at
        assert is_refused(data[:at] + bytes(len(data) - at) + END), at


def table_start(data: bytes, marker: bytes) -> int:
    """Offset of the first element, or count, of the first table of that kind."""
    return data.index(b"\xff" + marker) + 5


@pytest.mark.parametrize("length", [1, 16, 64])
def test_zeroed_quantization_tables(length: int, xray: Image) -> None:
    """libjpeg reads the coefficients as 0: a flat picture."""
    for sampling in ("grey", "4:2:0"):
        data = draw(xray, sampling, [])
        at = table_start(data, b"\xdb")
        with pytest.raises(ImageError, match="a quantization table holds a zero"):
            read_image(data[:at] + bytes(length) + data[at + length :])


def test_quantization_tables_of_16_bits(xray: Image) -> None:
    data = draw(xray, "grey", [])
    at = table_start(data, b"\xdb")
    elements = data[at : at + 64]
    assert data[at - 3 : at] == b"\x00\x43\x00"
    for zeroed in (False, True):
        wide = b"".join(bytes([0, element]) for element in elements)
        wide = bytes(2) + wide[2:] if zeroed else wide
        changed = data[: at - 3] + b"\x00\x83\x10" + wide + data[at + 64 :]
        assert is_refused(changed) == zeroed


def test_holes_in_the_headers(xray: Image) -> None:
    """A hole of 16 bytes there is refused, or lies in what does not matter."""
    for sampling in ("grey", "4:4:4"):
        for options in ([], RESTART):
            data = draw(xray, sampling, options)
            sound = read_image(data, channels=3)
            for start in range(20, data.index(b"\xff\xda") - 6, 5):
                holed = data[:start] + bytes(16) + data[start + 16 :]
                assert is_refused(holed) or np.array_equal(read_image(holed, channels=3), sound)


def test_metadata_and_unused_tables_do_not_reach_the_decoder(xray: Image) -> None:
    data = draw(xray, "4:2:0", [])
    comment = segment(0xFE, b"comment") + segment(0xE5, bytes(60_000)) + segment(0xE2, b"ICC")
    tables = b"".join(
        data[m.start() : m.start() + 2 + struct.unpack_from(">H", data, m.start() + 2)[0]]
        for m in re.finditer(rb"\xff[\xc4\xdb]\x00", data)
    )
    unused = segment(0xC4, b"\x03\x01" + bytes(15) + b"\x00") + segment(
        0xDB, b"\x03" + b"\x01" * 64
    )
    swollen = behind_start(data, comment + tables * 50 + unused)
    plain, rebuilt = (jpeg.inspect(each, ImageLimits()).payload for each in (data, swollen))
    assert rebuilt == plain
    assert len(rebuilt) <= len(data) + 16
    assert (read_image(swollen) == read_image(data)).all()


def test_tables_are_redefined_between_scans(xray: Image) -> None:
    """An optimized progressive file sends a Huffman table of the same number before every scan."""
    data = draw(xray, "4:4:4", [*PROGRESSIVE, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert (read_image(data, channels=3) == expected).all()


@pytest.mark.parametrize(
    "inserted",
    [segment(0xC4, bytes(17 * 3_850)) * 20, segment(0xDB, (b"\x00" + b"\x01" * 64) * 1_000) * 20],
    ids=["DHT", "DQT"],
)
def test_too_many_tables(inserted: bytes, xray: Image) -> None:
    with pytest.raises(ImageError, match="1,048,576 bytes of tables"):
        read_image(behind_start(draw(xray, "grey", []), inserted))


def test_a_storm_of_restart_markers(xray: Image) -> None:
    data = draw(xray, "grey", RESTART, side=16)
    with pytest.raises(ImageError, match="bytes of data for 16x16 pixels"):
        read_image(data[:-2] + b"\xff\xd0" * 100_000 + END)


@pytest.mark.parametrize("transform", [0, 1, 2], ids=["RGB", "YCbCr", "undefined"])
@pytest.mark.parametrize("ids", [b"\x01\x02\x03", b"RGB", b"\x07\x08\x09"], ids=str)
@pytest.mark.parametrize("has_jfif", [True, False])
@pytest.mark.parametrize("has_adobe", [True, False])
def test_colours_are_decided_as_for_the_whole_file(
    transform: int, ids: bytes, has_jfif: bool, has_adobe: bool, xray: Image
) -> None:
    """By JFIF, else by Adobe's transform, else by the components' ids: as OpenCV shows it."""
    data = draw(xray, "4:4:4", [], side=64)
    jfif, body = data[2:20], data[20:]
    assert jfif.startswith(b"\xff\xe0\x00\x10JFIF")
    for old, new in zip(b"\x01\x02\x03", ids, strict=True):
        frame, scan = body.index(b"\xff\xc0"), body.index(b"\xff\xda")
        changed = bytearray(body)
        changed[frame + 10 + 3 * (old - 1)] = changed[scan + 5 + 2 * (old - 1)] = new
        body = bytes(changed)
    adobe = segment(0xEE, b"Adobe\x00\x64\x00\x00\x00\x00" + bytes([transform]))
    data = data[:2] + jfif * has_jfif + adobe * has_adobe + body
    buffer = np.frombuffer(data, np.uint8)
    assert (read_image(data, channels=3) == cv2.imdecode(buffer, cv2.IMREAD_COLOR_RGB)).all()
    assert (read_image(data) == cv2.imdecode(buffer, cv2.IMREAD_GRAYSCALE)).all()


@pytest.mark.parametrize("is_attribute", [True, False])
@pytest.mark.parametrize(("exif_says", "shape"), [(None, (401, 300)), (0, (401, 300)), (3, None)])
def test_xmp_orientation_where_exif_has_none(
    is_attribute: bool, exif_says: int | None, shape: tuple[int, int] | None, xray: Image,
    encode: Encode,
) -> None:  # fmt: skip
    """XMP says 6, a quarter turn; EXIF counts first if it says 1..8."""
    value = b'tiff:Orientation="6"' if is_attribute else b"<tiff:Orientation>6</tiff:Orientation>"
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\x00<x " + value)
    exif = b""
    if exif_says is not None:
        tags = Pillow.Exif()
        tags[0x0112] = exif_says
        exif = segment(0xE1, tags.tobytes())
    image = read_image(behind_start(encode(xray, "JPEG"), xmp + exif))
    assert image.shape == (shape or xray.shape)


def test_a_baseline_scan_header_may_hold_anything_for_the_coefficients(xray: Image) -> None:
    data = draw(xray, "grey", [])
    at = data.index(b"\xff\xda\x00\x08") + 7
    assert data[at : at + 3] == b"\x00\x3f\x00"
    odd = data[:at] + b"\x00\x00\x00" + data[at + 3 :]
    assert (read_image(odd) == read_image(data)).all()


def test_rare_sampling_factors_are_named(xray: Image) -> None:
    data = draw(xray, "4:2:0", [])
    at = data.index(b"\xff\xc0") + 11
    assert data[at] == 0x22
    with pytest.raises(ImageError, match="rare sampling factors, supported are"):
        read_image(data[:at] + b"\x42" + data[at + 1 :])


@pytest.mark.parametrize(
    "failure", [MemoryError(), ValueError("Insufficient memory (case 4)")], ids=["numpy", "libjpeg"]
)
def test_too_little_memory(
    failure: Exception, monkeypatch: pytest.MonkeyPatch, xray: Image
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(simplejpeg, "decode_jpeg", fail)
    with pytest.raises(ImageError, match="x: decoding 224x224 pixels needs more memory than there"):
        read_image(draw(xray, "grey", []), name="x")


def test_a_progressive_jpeg_whose_coefficients_take_much_memory() -> None:
    """33.5 megapixels in grey; baseline files need no coefficients."""
    black = np.zeros((5_000, 6_800), np.uint8)
    with pytest.raises(ImageError, match="68,000,000 bytes, the limit is 62,914,560; save it as b"):
        read_image(cv2.imencode(".jpg", black, PROGRESSIVE)[1].tobytes())
    assert read_image(cv2.imencode(".jpg", black)[1].tobytes()).shape == black.shape
