"""Run-length encoding (DICOM PS3.5 G): a segment for each byte of a pixel, the highest first."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError

_HEADER, _BLOCK = 64, 2**20


def decode_rle(frame: bytes, shape: tuple[int, int], segments: int) -> npt.NDArray[Any]:
    """Decode a frame.

    Args:
        frame: its only fragment.
        shape: rows and columns.
        segments: bytes of a pixel, 1 or 2.

    Returns:
        (H, W) unsigned integers.

    Raises:
        ImageError: the segments are others, or one is cut.
    """
    count, *offsets = struct.unpack_from("<16I", frame)
    bounds = [*offsets[:segments], len(frame)]
    if count != segments or bounds[0] < _HEADER or bounds != sorted(set(bounds)):
        raise ImageError(
            f"the DICOM file's pixels are damaged: {count} RLE segments at {bounds[:-1]}, expected"
            f" {segments} one after another; get the file again"
        )
    size = shape[0] * shape[1]
    pixels = np.empty((size, segments), np.uint8)
    for place in range(segments):
        _decode_segment(frame, bounds[place], bounds[place + 1], pixels[:, segments - 1 - place])
    return pixels.view(f"<u{segments}").reshape(shape)


def _decode_segment(frame: bytes, start: int, end: int, place: npt.NDArray[np.uint8]) -> None:
    """Fill ``place`` from a segment, a block at a time.

    Raises:
        ImageError: the segment holds less, or more than zeros beyond.
    """
    filled, beyond = 0, b""
    while filled < len(place) and start < end:
        block = bytearray()
        while len(block) < _BLOCK and start < end:
            code = frame[start]
            if code < 128:
                block += frame[start + 1 : min(start + code + 2, end)]
                start += code + 2
            else:
                if code > 128:
                    block += frame[start + 1 : min(start + 2, end)] * (257 - code)
                    start += 1
                start += 1
        part = place[filled : filled + len(block)]
        part[:] = np.frombuffer(block, np.uint8, len(part))
        filled += len(part)
        beyond = bytes(block[len(part) :])
    if filled < len(place):
        raise ImageError(
            f"the DICOM file's pixels are damaged: an RLE segment holds {filled:,} bytes,"
            f" expected {len(place):,}; get the file again"
        )
    if (beyond + frame[start:end]).strip(b"\0\x80"):  # 0x80 stands for nothing
        raise ImageError(
            f"the DICOM file's pixels have more in an RLE segment than the {len(place):,} bytes of"
            " rows and columns; get the file again"
        )
