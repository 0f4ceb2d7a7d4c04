"""JPEG: segments, tables, restart markers and scans."""

from __future__ import annotations

import struct

import cv2
import numpy as np
from bomb import Bomb
from tiff import overlapping_tags


def jpeg(side: int = 64) -> bytes:
    return cv2.imencode(".jpg", np.full((side, side), 90, np.uint8))[1].tobytes()


def segment(marker: int, body: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def behind_soi(inserted: bytes, data: bytes = b"") -> bytes:
    data = data or jpeg()
    return data[:2] + inserted + data[2:]


def claim(data: bytes, height: int, width: int, marker: int = 0xC0) -> bytes:
    at = data.index(b"\xff\xc0")
    sides = struct.pack(">HH", height, width)
    return data[: at + 1] + bytes([marker]) + data[at + 2 : at + 5] + sides + data[at + 9 :]


def restarts(count: int, height: int, width: int) -> bytes:
    """Intervals of one block, all empty."""
    data = claim(jpeg(8), height, width)
    scan = data.index(b"\xff\xda")
    start = scan + 2 + struct.unpack_from(">H", data, scan + 2)[0]
    markers = b"".join(bytes([0xFF, 0xD0 + i % 8]) for i in range(8)) * (count // 8 + 1)
    intervals = markers[: 2 * count]
    return data[:scan] + segment(0xDD, b"\x00\x01") + data[scan:start] + intervals + b"\xff\xd9"


def scans(count: int, side: int) -> bytes:
    data = claim(jpeg(8), side, side, 0xC2)
    scan = data.index(b"\xff\xda")
    first = segment(0xDA, b"\x01\x01\x00\x00\x00\x00") + bytes(20)
    other = segment(0xDA, b"\x01\x01\x00\x01\x3f\x00") + bytes(20)
    return data[:scan] + first + other * count + b"\xff\xd9"


BOMBS = (
    Bomb(
        "jpeg exif overlapping",
        lambda: behind_soi(
            segment(0xE1, b"Exif\0\0" + overlapping_tags("<", 5_000, 15_000)[:65_000])
        ),
    ),
    Bomb("jpeg 100,000 comments", lambda: behind_soi(segment(0xFE) * 100_000)),
    Bomb("jpeg 4,900 comments of 60 kB", lambda: behind_soi(segment(0xFE, bytes(60_000)) * 160)),
    Bomb("jpeg empty huffman segments", lambda: behind_soi(segment(0xC4) * 200_000)),
    Bomb("jpeg empty huffman tables", lambda: behind_soi(segment(0xC4, bytes(17 * 3_800)) * 15)),
    Bomb(
        "jpeg empty huffman tables, 8 MB",
        lambda: behind_soi(segment(0xC4, bytes(17 * 3_800)) * 124),
        is_long=True,
    ),
    Bomb(
        "jpeg quantization tables",
        lambda: behind_soi(segment(0xDB, bytes([0]) + bytes(range(1, 65))) * 4_900),
    ),
    Bomb("jpeg restart storm, 8x8", lambda: restarts(450_000, 8, 8)),
    Bomb("jpeg restart storm, 10 MB", lambda: restarts(5_000_000, 8, 8), is_long=True),
    Bomb("jpeg empty intervals, 5600x5600", lambda: restarts(489_999, 5_600, 5_600)),
    Bomb("jpeg 10,000 scans", lambda: scans(10_000, 4_000)),
    Bomb("jpeg scans at the limit", lambda: scans(9, 7_000)),
    Bomb("jpeg 65500x65500", lambda: claim(jpeg(), 65_500, 65_500)),
    Bomb("jpeg fill bytes", lambda: behind_soi(b"\xff" * 900_000)),
)
