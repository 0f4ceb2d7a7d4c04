"""TIFF, and the tags of EXIF: parts and values that share bytes or inflate."""

from __future__ import annotations

import struct
import zlib

from bomb import Bomb
from deflate import packed_picture, zeros


def overlapping_tags(order: str, count: int, values: int) -> bytes:
    """A TIFF structure of ``count`` LONG tags of ``values`` values each, in the same bytes."""
    head = (b"II*\x00" if order == "<" else b"MM\x00*") + struct.pack(order + "IH", 8, count)
    entries = [struct.pack(order + "HHII", 300 + i, 4, values, 0) for i in range(count)]
    orientation = struct.pack(order + "HHIHH", 274, 3, 1, 6, 0)
    return (head + orientation + b"".join(entries[1:]) + bytes(4)).ljust(4 * values + 8, b"\x01")


def tiff(
    tags: dict[int, list[int]],
    body: bytes = b"",
    shared: dict[int, tuple[int, int]] | None = None,
    following: int = 0,
) -> bytes:
    """A little-endian TIFF of LONG tags; ``shared`` tags are given as count and offset."""
    shared = shared or {}
    count = len(tags) + len(shared)
    end = 8 + 2 + 12 * count + 4
    entries, values = {}, b""
    for tag, numbers in tags.items():
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        if len(numbers) == 1:
            entries[tag] = struct.pack("<HHI", tag, 4, 1) + packed
        else:
            entries[tag] = struct.pack("<HHII", tag, 4, len(numbers), end + len(body) + len(values))
            values += packed
    for tag, (number, offset) in shared.items():
        entries[tag] = struct.pack("<HHII", tag, 4, number, offset)
    directory = b"".join(entries[tag] for tag in sorted(entries))
    head = b"II*\x00" + struct.pack("<IH", 8, count) + directory + struct.pack("<I", following)
    return head + body + values


def grey(width: int, height: int, compression: int, **other: list[int]) -> dict[int, list[int]]:
    tags = {256: [width], 257: [height], 258: [8], 259: [compression], 262: [1], 277: [1]}
    return tags | {int(name[1:]): value for name, value in other.items()}


def strip(width: int, height: int, packed: bytes) -> bytes:
    tags = grey(width, height, 8, _278=[height], _279=[len(packed)])
    start = 8 + 2 + 12 * (len(tags) + 1) + 4
    return tiff(tags | {273: [start]}, packed)


def coloured(photometric: int, samples: int) -> bytes:
    packed = packed_picture(7_000, 7_000 * samples)
    tags = grey(7_000, 7_000, 8, _278=[7_000], _279=[len(packed)])
    tags |= {262: [photometric], 277: [samples], 320: [255 << 8] * 768}
    start = 8 + 2 + 12 * (len(tags) + 1) + 4
    return tiff(tags | {273: [start]}, packed)


def shared_tiles(count: int) -> bytes:
    packed = zlib.compress(bytes(256 * 256), 9)
    tags = grey(256 * count, 256, 8, _322=[256], _323=[256], _325=[len(packed)] * count)
    start = 8 + 2 + 12 * (len(tags) + 1) + 4
    return tiff(tags | {324: [start] * count}, packed)


def many_parts(width: int, height: int, **tags: list[int]) -> bytes:
    return tiff(grey(width, height, 1, **tags))


BOMBS = (
    Bomb(
        "tiff 50 million tiles",
        lambda: many_parts(7_000, 7_000, _322=[1], _323=[1], _324=[8], _325=[1]),
    ),
    Bomb("tiff 50 million strips", lambda: many_parts(1, 49_000_000, _278=[1], _273=[8], _279=[1])),
    Bomb("tiff tiles on one stream", lambda: shared_tiles(700)),
    Bomb(
        "tiff tiles on one stream, 8 MB",
        lambda: shared_tiles(1_000) + bytes(8_000_000),
        is_long=True,
    ),
    Bomb(
        "tiff tags overlap",
        lambda: tiff(
            grey(8, 8, 1, _278=[8]),
            bytes(900_000),
            {tag: (200_000, 300) for tag in (258, 273, 279, 317, 320, 338, 339, *range(400, 900))},
        ),
    ),
    Bomb("tiff strip inflates to 900 MB", lambda: strip(8, 8, zeros(900 * 2**20))),
    Bomb(
        "tiff 7000x7000 tile for one pixel",
        lambda: tiff(
            grey(1, 1, 8, _322=[7_000], _323=[7_000], _324=[134], _325=[50_000]),
            packed_picture(7_000, 7_000),
        ),
    ),
    Bomb(
        "tiff 65,000 tags", lambda: tiff(grey(8, 8, 1) | {tag: [1] for tag in range(500, 65_500)})
    ),
    Bomb(
        "tiff followed by itself",
        lambda: tiff(grey(8, 8, 1, _273=[8], _278=[8], _279=[64]), bytes(64), following=8),
    ),
    Bomb("tiff 16 Mpx", lambda: strip(4_000, 4_000, packed_picture(4_000, 4_000))),
    Bomb("tiff 49 Mpx", lambda: strip(7_000, 7_000, packed_picture(7_000, 7_000)), is_long=True),
    *(
        Bomb(
            f"tiff 49 Mpx {kind}, {asked} asked",
            lambda photometric=photometric, samples=samples: coloured(photometric, samples),
            channels=samples,
            asked=asked,
            is_long=True,
        )
        for kind, photometric, samples in (("rgb", 2, 3), ("palette", 3, 1))
        for asked in (1, 3)
    ),
)
