"""WebP: walks the RIFF chunks and accepts a single frame."""

from __future__ import annotations

import struct

from cxr_edge.errors import ImageError
from cxr_edge.image.header import Header, ImageLimits, check_size
from cxr_edge.image.ifd import read_orientation

_ALPHA, _ANIMATION = 0x10, 0x02
_MAX_CHUNKS = 1_000


def inspect(data: bytes, limits: ImageLimits) -> Header:
    """Walk all chunks of the RIFF container.

    Raises:
        ImageError: the file is damaged, cut, too large, or of a kind that is not supported.
        struct.error: a chunk ends early.
    """
    (size,) = struct.unpack_from("<I", data, 4)
    end = 8 + size
    if end > len(data):
        raise ImageError(
            f"the WebP is cut: {len(data):,} bytes, expected {end:,}; get the whole file"
        )
    offset, orientation, has_alpha, chunks = 12, 1, False, 0
    frame: tuple[int, int] | None = None
    while offset < end:
        chunk_type, length = struct.unpack_from("<4sI", data, offset)
        body = offset + 8
        if body + length > end:
            raise ImageError(
                "the WebP is damaged: a chunk ends outside the file; get the file again"
            )
        if chunk_type == b"VP8X":
            if data[body] & _ANIMATION:
                raise ImageError(
                    "an animated WebP has several frames, expected one; save the one to read"
                )
            has_alpha |= bool(data[body] & _ALPHA)
            check_size(*_canvas(data[body : body + 10]), limits)
        elif chunk_type in (b"VP8 ", b"VP8L"):
            if frame is not None:
                raise ImageError(
                    "the WebP has several pictures, expected one; save the one to read"
                )
            is_lossy = chunk_type == b"VP8 "
            frame = _lossy_size(data, body) if is_lossy else _lossless_size(data, body)
            check_size(*frame, limits)
            has_alpha |= not is_lossy
        elif chunk_type == b"ALPH":
            has_alpha = True
        elif chunk_type == b"EXIF":
            orientation = read_orientation(data[body : body + length])
        chunks += 1
        if chunks > _MAX_CHUNKS:
            raise ImageError(f"the WebP has more than {_MAX_CHUNKS:,} chunks; save it again")
        offset = body + length + (length & 1)
    if frame is None:
        raise ImageError("the WebP is damaged: it has no picture; get the file again")
    return Header(*frame, orientation, has_alpha)


def _canvas(body: bytes) -> tuple[int, int]:
    return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")


def _lossy_size(data: bytes, body: int) -> tuple[int, int]:
    start, width, height = struct.unpack_from("<3sHH", data, body + 3)
    if start != b"\x9d\x01\x2a":
        raise ImageError("the WebP is damaged: no VP8 start code; get the file again")
    return width & 0x3FFF, height & 0x3FFF


def _lossless_size(data: bytes, body: int) -> tuple[int, int]:
    signature, bits = struct.unpack_from("<BI", data, body)
    if signature != 0x2F:
        raise ImageError("the WebP is damaged: no VP8L signature; get the file again")
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
