"""BMP: sides and palettes."""

from __future__ import annotations

import struct

from bomb import Bomb


def bmp(width: int, height: int, bits: int, colours: int, rows: bytes, start: int = 1_078) -> bytes:
    head = struct.pack("<2sIHHI", b"BM", 0, 0, 0, start)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, 0, 0, 0, colours, 0)
    return (head + info).ljust(start, b"\x80") + rows


BOMBS = (
    Bomb("bmp 65000x65000", lambda: bmp(65_000, 65_000, 24, 0, bytes(100))),
    Bomb("bmp 7000x7000, no rows", lambda: bmp(7_000, 7_000, 24, 0, bytes(100))),
    Bomb("bmp 4 billion colours", lambda: bmp(8, 8, 8, 2**32 - 1, bytes(64))),
    Bomb("bmp 1 bit, 7 Mpx", lambda: bmp(2_656, 2_656, 1, 1, bytes(332 * 2_656))),
    Bomb(
        "bmp 8 bits, 49 Mpx, 255 colours",
        lambda: bmp(7_000, 7_000, 8, 255, bytes(7_000 * 7_000)),
        is_long=True,
    ),
    Bomb(
        "bmp 1 bit, 49 Mpx, in colours",
        lambda: bmp(7_000, 7_000, 1, 0, bytes(876 * 7_000)),
        is_long=True,
        asked=3,
    ),
    Bomb(
        "bmp 24 bits, 49 Mpx, in colours",
        lambda: bmp(7_000, 7_000, 24, 0, bytes(21_000 * 7_000)),
        is_long=True,
        channels=3,
        asked=3,
    ),
)
