"""PNG: rows and texts that inflate, and chunks."""

from __future__ import annotations

import struct
import zlib

from bomb import Bomb
from deflate import flat, packed_picture, zeros
from tiff import overlapping_tags


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int,
    height: int,
    idat: bytes,
    extra: bytes = b"",
    colour: int = 0,
    interlace: int = 0,
    parts: int = 1,
) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, interlace)
    size = -(-len(idat) // parts)
    rows = b"".join(chunk(b"IDAT", idat[at : at + size]) for at in range(0, len(idat), size))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + rows + chunk(b"IEND")


def palette(side: int, extra: bytes = b"") -> bytes:
    rows = packed_picture(side, side + 1)
    return png(side, side, rows, chunk(b"PLTE", bytes(768)) + extra, colour=3)


def interlaced(side: int, colour: int) -> bytes:
    samples = 3 if colour == 2 else 1
    passes = ((8, 8), (8, 8), (4, 8), (4, 4), (2, 4), (2, 2), (1, 2))
    rows = sum(side // down * (1 + side // across * samples) for across, down in passes)
    return png(side, side, zlib.compress(bytes(rows), 9), colour=colour, interlace=1)


def inflating(kind: bytes, head: bytes) -> bytes:
    return chunk(kind, head + zeros(2**28)) * 3


ON_ITS_SIDE = struct.pack("<4sIHHHIHHI", b"II*\0", 8, 1, 274, 3, 1, 6, 0, 0)
SMALL = zlib.compress(bytes(8 * 9))
BOMBS = (
    Bomb(
        "png exif 1.3 MB",
        lambda: png(8, 8, SMALL, chunk(b"eXIf", overlapping_tags(">", 60_000, 325_000))),
    ),
    Bomb("png idat inflates to 900 MB", lambda: png(8, 8, zeros(900 * 2**20))),
    Bomb("png idat inflates to 8 GB", lambda: png(8, 8, zeros(2**33)), is_long=True),
    Bomb(
        "png rows and then 900 MB", lambda: png(8, 8, zlib.compress(bytes(72)) + zeros(900 * 2**20))
    ),
    Bomb("png iCCP inflates", lambda: png(8, 8, SMALL, inflating(b"iCCP", b"a\0\0"))),
    Bomb("png zTXt inflates", lambda: png(8, 8, SMALL, inflating(b"zTXt", b"a\0\0"))),
    Bomb("png iTXt inflates", lambda: png(8, 8, SMALL, inflating(b"iTXt", b"a\0\1\0\0\0"))),
    Bomb("png 80,000 empty texts", lambda: png(8, 8, SMALL, chunk(b"tEXt") * 80_000)),
    Bomb("png 80,000 empty idat", lambda: png(8, 8, SMALL, chunk(b"IDAT") * 80_000)),
    Bomb("png 65000x65000", lambda: png(65_000, 65_000, SMALL)),
    Bomb("png 16 Mpx grey", lambda: png(4_000, 4_000, packed_picture(4_000, 4_001))),
    Bomb(
        "png 16 Mpx rgb",
        lambda: png(4_000, 4_000, packed_picture(4_000, 12_001), colour=2),
    ),
    Bomb(
        "png 50 Mpx grey", lambda: png(10_000, 5_000, packed_picture(5_000, 10_001)), is_long=True
    ),
    Bomb(
        "png 16 Mpx rgba",
        lambda: png(4_000, 4_000, packed_picture(4_000, 16_001), colour=6),
    ),
    Bomb(
        "png 16 Mpx, transparent colour",
        lambda: png(4_000, 4_000, packed_picture(4_000, 4_001), chunk(b"tRNS", b"\0\1")),
    ),
    Bomb(
        "png 50 Mpx rgb",
        lambda: png(10_000, 5_000, packed_picture(5_000, 30_001), colour=2),
        is_long=True,
    ),
    Bomb(
        "png 50 Mpx grey and alpha",
        lambda: png(10_000, 5_000, packed_picture(5_000, 20_001), colour=4),
        is_long=True,
    ),
    Bomb("png 1,000,000x50 rgba", lambda: png(10**6, 50, flat(50, 4_000_001), colour=6)),
    Bomb("png 16,000,000x3 rgb", lambda: png(16_000_000, 3, flat(3, 48_000_001), colour=2)),
    Bomb("png 1x50,000,000", lambda: png(1, 50_000_000, flat(50_000_000, 2))),
    Bomb(
        "png 65,535x760 rgb",
        lambda: png(65_535, 760, flat(760, 196_606), colour=2),
        channels=3,
        asked=3,
    ),
    Bomb(
        "png 760x65,535 rgb",
        lambda: png(760, 65_535, flat(65_535, 2_281), colour=2),
        channels=3,
    ),
    Bomb("png 1x65,535", lambda: png(1, 65_535, flat(65_535, 2)), asked=3),
    Bomb(
        "png 50 Mpx rgb on its side",
        lambda: png(
            10_000, 5_000, packed_picture(5_000, 30_001), chunk(b"eXIf", ON_ITS_SIDE), colour=2
        ),
        is_long=True,
        channels=3,
        asked=3,
    ),
    Bomb("png 6 Mpx interlaced rgb", lambda: interlaced(2_560, 2), channels=3),
    Bomb("png 16 Mpx interlaced grey", lambda: interlaced(4_080, 0)),
    Bomb("png 9 Mpx palette", lambda: palette(3_000), channels=3),
    Bomb(
        "png 7 Mpx palette with alpha", lambda: palette(2_700, chunk(b"tRNS", b"\xff")), channels=3
    ),
    Bomb(
        "png 50 Mpx interlaced, short",
        lambda: png(10_000, 5_000, packed_picture(5_000, 10_001), interlace=1),
    ),
)
