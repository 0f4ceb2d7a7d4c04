"""The compressed pixels of DICOM."""

from __future__ import annotations

import struct

import numpy as np


def marker(number: int, body: bytes) -> bytes:
    return struct.pack(">HH", number, len(body) + 2) + body


def jpeg_2000(
    side: int,
    tile: int,
    components: int = 1,
    layers: int = 1,
    levels: int = 5,
    block: int = 4,
    precincts: bytes = b"",
    extra: bytes = b"",
    tile_extra: bytes = b"",
) -> bytes:
    """An empty picture: the tiles' data is absent."""
    size = struct.pack(">H8IH", 0, side, side, 0, 0, tile, tile, 0, 0, components)
    size += bytes([7, 1, 1]) * components
    coding = struct.pack(">BBHBBBBBB", bool(precincts), 0, layers, 0, levels, block, block, 0, 1)
    quantization = bytes([0x40]) + bytes([0x48]) * (3 * levels + 1)
    head = b"\xff\x4f" + marker(0xFF51, size) + marker(0xFF52, coding + precincts)
    head += marker(0xFF5C, quantization) + extra
    inner = tile_extra + b"\xff\x93" + bytes(40)
    tiles = struct.pack(">HHHIBB", 0xFF90, 10, 0, 12 + len(inner), 0, 1) + inner
    return head + tiles + b"\xff\xd9"


def encoded_2000(side: int) -> bytes:
    from openjpeg.utils import encode_array

    return bytes(
        encode_array(np.arange(side * side, dtype=np.uint32).astype(np.uint8).reshape(side, side))
    )


def jpeg_ls(side: int, before: bytes = b"") -> bytes:
    """A flat picture: its rows are runs."""
    import jpeg_ls as codec

    data = bytes(codec.encode_array(np.full((side, side), 90, np.uint8)))
    return data[:2] + before + data[2:]


def frame_ls(side: int, components: int = 1) -> bytes:
    parts = bytes([1, 0x11, 0]) * components
    return marker(0xFFF7, struct.pack(">BHHB", 8, side, side, components) + parts)


def false_frame(side: int) -> bytes:
    """A codestream of another size, behind a comment that holds the header expected."""
    comment = marker(0xFFFE, frame_ls(64))
    return jpeg_ls(side, comment)


def rle(*segments: bytes, offsets: tuple[int, ...] = ()) -> bytes:
    if not offsets:
        sizes = [0, *(len(segment) for segment in segments[:-1])]
        offsets = tuple(64 + sum(sizes[: i + 1]) for i in range(len(segments)))
    return (
        struct.pack("<I", len(offsets))
        + struct.pack(f"<{len(offsets)}I", *offsets).ljust(60, b"\x00")
        + b"".join(segments)
    )


def runs(length: int) -> bytes:
    return b"\x81\x07" * (length // 128) + b"\x00\x08" * (length % 128)


def grey_jpeg(side: int) -> bytes:
    import cv2

    return cv2.imencode(".jpg", np.full((side, side), 90, np.uint8))[1].tobytes()
