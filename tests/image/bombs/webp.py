"""WebP: metadata, and pictures that need no bytes."""

from __future__ import annotations

import struct

import cv2
import numpy as np
from bomb import Bomb
from tiff import overlapping_tags


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(k + struct.pack("<I", len(b)) + b + bytes(len(b) & 1) for k, b in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def webp(side: int, lossless: bool) -> tuple[bytes, bytes]:
    quality = 101 if lossless else 50
    picture = np.full((side, side, 3), 128, np.uint8)
    data = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()
    assert data[12:16] in (b"VP8 ", b"VP8L")
    return data[12:16], data[20 : 20 + struct.unpack_from("<I", data, 16)[0]]


def extended(side: int, *chunks: tuple[bytes, bytes], flags: int = 0x2C) -> bytes:
    sides = struct.pack("<I", side - 1)[:3] * 2
    return riff((b"VP8X", bytes([flags, 0, 0, 0]) + sides), *chunks)


def lossless_header(width: int, height: int) -> bytes:
    """A VP8L picture of that size in which every code has one symbol: no bit for a pixel."""
    bits = struct.pack("<BI", 0x2F, (width - 1) | (height - 1) << 14)
    stream = "000" + "1000" * 5  # no transform, cache or meta codes; five codes of symbol 0
    packed = [int(stream[at : at + 8][::-1], 2) for at in range(0, len(stream), 8)]
    return bits + bytes(packed) + bytes(16)


BOMBS = (
    Bomb(
        "webp exif overlapping",
        lambda: extended(64, webp(64, False), (b"EXIF", overlapping_tags("<", 30_000, 90_000))),
    ),
    Bomb(
        "webp xmp and profile",
        lambda: extended(64, (b"ICCP", bytes(400_000)), webp(64, False), (b"XMP ", bytes(400_000))),
    ),
    Bomb("webp 900 unknown chunks", lambda: extended(64, webp(64, True), *[(b"junk", b"")] * 900)),
    Bomb("webp canvas 16383x3000", lambda: extended(16_383, webp(64, True))),
    Bomb(
        "webp lossless 16383x3000",
        lambda: riff((b"VP8L", lossless_header(16_383, 3_000))),
        channels=3,
    ),
    Bomb(
        "webp lossless 3600x3600",
        lambda: riff((b"VP8L", lossless_header(3_600, 3_600))),
        channels=3,
        asked=3,
    ),
    Bomb("webp lossy 4000x4000", lambda: riff(webp(4_000, False)), channels=3),
    Bomb(
        "webp lossy 4096x4096, in colours",
        lambda: riff(webp(4_096, False)),
        is_long=True,
        channels=3,
        asked=3,
    ),
)
