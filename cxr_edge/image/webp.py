"""WebP: RIFF chunks that must lie in the file, one frame, nothing transparent."""

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
            f"the WebP is cut: {len(data):,} of {end:,} bytes are there; get the whole file"
        )
    at, orientation, has_alpha, chunks = 12, 1, False, 0
    frame: tuple[int, int] | None = None
    while at < end:
        kind, length = struct.unpack_from("<4sI", data, at)
        body = at + 8
        if body + length > end:
            raise ImageError("the WebP is damaged: a chunk ends outside the file")
        if kind == b"VP8X":
            if data[body] & _ANIMATION:
                raise ImageError("an animated WebP has several frames, expected one")
            has_alpha |= bool(data[body] & _ALPHA)
            check_size(*_canvas(data[body : body + 10]), limits)
        elif kind in (b"VP8 ", b"VP8L"):
            if frame is not None:
                raise ImageError("the WebP holds several pictures, expected one")
            frame = _lossy_size(data, body) if kind == b"VP8 " else _lossless_size(data, body)
            check_size(*frame, limits)
            has_alpha |= kind == b"VP8L"
        elif kind == b"ALPH":
            has_alpha = True
        elif kind == b"EXIF":
            orientation = read_orientation(data[body : body + length])
        chunks += 1
        if chunks > _MAX_CHUNKS:
            raise ImageError(f"the WebP has more than {_MAX_CHUNKS:,} chunks; save it again")
        at = body + length + (length & 1)
    if frame is None:
        raise ImageError("the WebP is damaged: no picture in it")
    return Header(*frame, orientation, has_alpha)


def _canvas(body: bytes) -> tuple[int, int]:
    return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")


def _lossy_size(data: bytes, body: int) -> tuple[int, int]:
    start, width, height = struct.unpack_from("<3sHH", data, body + 3)
    if start != b"\x9d\x01\x2a":
        raise ImageError("the WebP is damaged: no start code")
    return width & 0x3FFF, height & 0x3FFF


def _lossless_size(data: bytes, body: int) -> tuple[int, int]:
    signature, bits = struct.unpack_from("<BI", data, body)
    if signature != 0x2F:
        raise ImageError("the WebP is damaged: no signature")
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
