"""The bombs in DICOM: written byte by byte, since no library writes them."""

from __future__ import annotations

import struct

import numpy as np
from bomb import Bomb
from codestreams import (
    encoded_2000,
    false_frame,
    frame_ls,
    grey_jpeg,
    jpeg_2000,
    jpeg_ls,
    marker,
    rle,
    runs,
)

LITTLE, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
JPEG, JPEG_LS, JPEG_2000 = (f"1.2.840.10008.1.2.4.{number}" for number in (50, 80, 90))
_LONG_FORM = (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF")
_UNDEFINED = 0xFFFFFFFF
_END_OF_SEQUENCE = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
_END_OF_ITEM = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    value += bytes(len(value) & 1) if vr in (b"UI", b"OB", b"OW") else b" " * (len(value) & 1)
    size = len(value) if length is None else length
    form = "<HH2s2xI" if vr in _LONG_FORM else "<HH2sH"
    return struct.pack(form, tag >> 16, tag & 0xFFFF, vr, size) + value


def item(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(value) if length is None else length) + value


def short(number: int) -> bytes:
    return struct.pack("<H", number)


def dicom(
    side: int,
    pixels: bytes,
    syntax: str = LITTLE,
    bits: int = 8,
    before: bytes = b"",
    window: bytes = b"",
    meta: bytes = b"",
    behind: bytes = b"",
) -> bytes:
    """A CR file; ``before``, ``window`` and ``behind`` are elements in their place."""
    head = element(0x00020010, b"UI", syntax.encode()) + meta
    length = element(0x00020000, b"UL", struct.pack("<I", len(head)))
    numbers = {0x00280010: side, 0x00280011: side, 0x00280100: bits, 0x00280101: bits}
    numbers |= {0x00280102: bits - 1, 0x00280103: 0}
    image = element(0x00280002, b"US", short(1)) + element(0x00280004, b"CS", b"MONOCHROME2")
    image += b"".join(element(tag, b"US", short(number)) for tag, number in numbers.items())
    return (
        bytes(128) + b"DICM" + length + head
        + element(0x00080060, b"CS", b"CR") + before + image + window + behind + pixels
    )  # fmt: skip


def plain(pixels: bytes, bits: int = 8) -> bytes:
    return element(0x7FE00010, b"OB" if bits == 8 else b"OW", pixels)


def encapsulated(*fragments: bytes, table: bytes = b"") -> bytes:
    padded = b"".join(item(fragment + bytes(len(fragment) & 1)) for fragment in fragments)
    return element(0x7FE00010, b"OB", item(table) + padded + _END_OF_SEQUENCE, _UNDEFINED)


def gradient(side: int = 64) -> bytes:
    return bytes(range(side)) * side


# --- sequences and elements


def deep(levels: int) -> bytes:
    start = element(0x00081111, b"SQ", b"", _UNDEFINED) + item(b"", _UNDEFINED)
    return start * levels + (_END_OF_ITEM + _END_OF_SEQUENCE) * levels


def wide(items: int) -> bytes:
    content = item(b"") * items + _END_OF_SEQUENCE
    return element(0x00081111, b"SQ", content, _UNDEFINED)


def unknown(items: int) -> bytes:
    return element(0x00091010, b"UN", item(b"") * items + _END_OF_SEQUENCE, _UNDEFINED)


def private(count: int, size: int = 0) -> bytes:
    return b"".join(
        element(0x00090000 + 0x1000 + i % 0xEFFF, b"OB" if size else b"SH", bytes(size))
        for i in range(count)
    )


def lut(items: int, data: bytes, vr: bytes = b"US") -> bytes:
    descriptor = element(0x00283002, b"US", short(len(data) // 2 & 0xFFFF) + short(0) + short(16))
    first = item(descriptor + element(0x00283006, vr, data))
    return element(0x00283010, b"SQ", first + item(b"") * items)


def unbounded(size: int) -> bytes:
    """A private element of undefined length."""
    return element(0x00091010, b"OB", item(bytes(size)) + _END_OF_SEQUENCE, _UNDEFINED)


def compressed(side: int, frame: bytes, syntax: str, bits: int = 8) -> bytes:
    return dicom(side, encapsulated(frame), syntax, bits)


def pictures() -> list[bytes]:
    """Sound files of every kind, to load the codecs."""
    flat = rle(runs(64 * 63) + b"\x3f" + bytes(range(64)))
    return [
        dicom(64, plain(gradient())),
        dicom(64, encapsulated(flat), RLE),
        compressed(64, encoded_2000(64), JPEG_2000),
        dicom(
            64,
            plain(gradient()),
            window=element(0x00281050, b"DS", b"30") + element(0x00281051, b"DS", b"60"),
        ),
    ]


SOUND = plain(gradient())
BOMBS = (
    Bomb(
        "dicom 100 components",
        lambda: compressed(64, jpeg_2000(7_000, 7_000, components=100), JPEG_2000),
    ),
    Bomb(
        "dicom 100 components, sides right",
        lambda: compressed(7_000, jpeg_2000(7_000, 7_000, components=100), JPEG_2000),
    ),
    Bomb("dicom empty JPEG 2000", lambda: compressed(7_000, jpeg_2000(7_000, 7_000), JPEG_2000)),
    Bomb("dicom tiles of 30x30", lambda: compressed(7_000, jpeg_2000(7_000, 30), JPEG_2000)),
    Bomb("dicom 900 tiles", lambda: compressed(3_000, jpeg_2000(3_000, 100), JPEG_2000)),
    Bomb(
        "dicom 65,535 layers",
        lambda: compressed(2_000, jpeg_2000(2_000, 2_000, layers=65_535), JPEG_2000),
    ),
    Bomb(
        "dicom precincts of 1x1",
        lambda: compressed(4_000, jpeg_2000(4_000, 4_000, precincts=bytes(6)), JPEG_2000),
    ),
    Bomb(
        "dicom blocks of 4x4",
        lambda: compressed(6_000, jpeg_2000(6_000, 6_000, block=0), JPEG_2000),
    ),
    Bomb(
        "dicom blocks of 4x4 in COC",
        lambda: compressed(
            6_000,
            jpeg_2000(6_000, 6_000, extra=marker(0xFF53, bytes([0, 0, 5, 0, 0, 0, 1]))),
            JPEG_2000,
        ),
    ),
    Bomb(
        "dicom blocks of 4x4 in a tile",
        lambda: compressed(
            6_000,
            jpeg_2000(
                6_000,
                6_000,
                tile_extra=marker(0xFF52, struct.pack(">BBHBBBBBB", 0, 0, 1, 0, 5, 0, 0, 0, 1)),
            ),
            JPEG_2000,
        ),
    ),
    Bomb("dicom small tile far away", lambda: compressed(64, jpeg_2000(2**31 - 1, 64), JPEG_2000)),
    Bomb("dicom false frame in a comment", lambda: compressed(64, false_frame(7_000), JPEG_LS)),
    Bomb("dicom two frame headers", lambda: compressed(64, jpeg_ls(4_000, frame_ls(64)), JPEG_LS)),
    Bomb(
        "dicom 255 components",
        lambda: compressed(4_000, b"\xff\xd8" + frame_ls(4_000, 255) + jpeg_ls(8)[2:], JPEG_LS),
    ),
    Bomb(
        "dicom oversize",
        lambda: compressed(
            64,
            jpeg_ls(64, marker(0xFFF8, bytes([4, 4]) + struct.pack(">II", 7_000, 7_000))),
            JPEG_LS,
        ),
    ),
    Bomb("dicom jpeg of another size", lambda: compressed(64, grey_jpeg(7_000), JPEG)),
    Bomb(
        "dicom rle shared segments",
        lambda: dicom(4_000, encapsulated(rle(runs(900_000), offsets=(64, 64))), RLE, 16),
    ),
    Bomb("dicom rle 15 segments", lambda: dicom(64, encapsulated(rle(*[runs(64 * 64)] * 15)), RLE)),
    Bomb("dicom rle too long", lambda: dicom(64, encapsulated(rle(b"\x81\x07" * 450_000)), RLE)),
    Bomb(
        "dicom rle of no-operations", lambda: dicom(64, encapsulated(rle(b"\x80" * 900_000)), RLE)
    ),
    Bomb("dicom 100,000 fragments", lambda: dicom(64, encapsulated(*[b""] * 100_000), RLE)),
    Bomb("dicom deep sequences", lambda: dicom(64, SOUND, before=deep(20_000))),
    Bomb("dicom 110,000 items", lambda: dicom(64, SOUND, before=wide(110_000))),
    Bomb("dicom 110,000 items in UN", lambda: dicom(64, SOUND, before=unknown(110_000))),
    Bomb("dicom 110,000 private elements", lambda: dicom(64, SOUND, before=private(110_000))),
    Bomb("dicom private elements of 900 kB", lambda: dicom(64, SOUND, before=private(10, 90_000))),
    Bomb(
        "dicom private elements of 80 MB",
        lambda: dicom(64, SOUND, before=unbounded(80_000_000)),
        is_long=True,
    ),
    Bomb(
        "dicom huge meta", lambda: dicom(64, SOUND, meta=element(0x00020102, b"OB", bytes(900_000)))
    ),
    Bomb(
        "dicom 100,000 windows",
        lambda: dicom(64, SOUND, window=element(0x00281050, b"UT", b"1\\" * 400_000)),
    ),
    Bomb("dicom 100,000 tables", lambda: dicom(64, SOUND, behind=lut(100_000, bytes(512)))),
    Bomb("dicom table of 1 MB", lambda: dicom(64, SOUND, behind=lut(1, bytes(60_000)))),
    Bomb("dicom table of text", lambda: dicom(64, SOUND, behind=lut(0, b"1\\" * 30_000, b"DS"))),
    Bomb(
        "dicom 65,536 entries",
        lambda: dicom(64, SOUND, behind=lut(0, bytes(range(256)) * 512, b"OW")),
    ),
    Bomb(
        "dicom flat pixels, 49 Mpx",
        lambda: dicom(
            7_000,
            plain(np.arange(49_000_000, dtype=np.uint8).tobytes()),
            window=element(0x00280034, b"IS", b"50\\51"),
        ),
        is_long=True,
    ),
    Bomb(
        "dicom pixels of no height",
        lambda: dicom(64, SOUND, window=element(0x00280034, b"IS", b"1\\2147483647")),
    ),
    Bomb(
        "dicom 110,000 items, no preamble",
        lambda: dicom(64, SOUND, before=wide(110_000))[132:],
    ),
    Bomb(
        "dicom pixels behind the end",
        lambda: dicom(7_000, element(0x7FE00010, b"OW", b"", 98_000_000), bits=16),
    ),
    Bomb(
        "dicom rle, 49 Mpx",
        lambda: dicom(7_000, encapsulated(rle(*[runs(7_000 * 7_000)] * 2)), RLE, 16),
        is_long=True,
        channels=2,
    ),
    Bomb(
        "dicom plain, 49 Mpx",
        lambda: dicom(7_000, plain(np.arange(49_000_000, dtype=np.uint16).tobytes(), 16), bits=16),
        is_long=True,
        channels=2,
    ),
    Bomb("dicom JPEG-LS, 16 Mpx", lambda: compressed(4_000, jpeg_ls(4_000), JPEG_LS), is_long=True),
)
