"""Streams that inflate to zeros."""

from __future__ import annotations

import zlib


def zeros(length: int) -> bytes:
    """A zlib stream of zeros; long ones repeat a block of 16 MiB."""
    block = 2**24
    packer = zlib.compressobj(9)
    start = packer.compress(bytes(min(length, block)))
    if length <= block:
        return start + packer.flush()
    first = start + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + again * (length // block - 1) + packer.flush()


def packed_picture(rows: int, row_bytes: int) -> bytes:
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(row_bytes * 100)) for _ in range(rows // 100)]
    return b"".join(parts) + packer.flush()


def flat(rows: int, row_bytes: int) -> bytes:
    """As :func:`packed_picture`, for rows of any length and number."""
    packer = zlib.compressobj(9)
    left, parts = rows * row_bytes, []
    while left:
        step = min(left, 2**20)
        parts.append(packer.compress(bytes(step)))
        left -= step
    return b"".join(parts) + packer.flush()
