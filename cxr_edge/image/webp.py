"""WebP: walks the RIFF chunks, accepts a single frame, and leaves metadata out.

What cannot be seen is data that was overwritten with zeros: any bits of a VP8 frame decode to some
picture.
"""

from __future__ import annotations

import struct

from cxr_edge.errors import ImageError
from cxr_edge.image.header import Header, ImageLimits, check_extra, check_size
from cxr_edge.image.ifd import EXIF_BYTES, read_orientation

_ALPHA, _ANIMATION = 0x10, 0x02
# The chunks that the decoder gets.
_ESSENTIAL = (b"VP8X", b"ALPH", b"VP8 ", b"VP8L")
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
    offset, orientation, has_alpha, is_lossy, chunks = 12, 1, False, True, 0
    frame: tuple[int, int] | None = None
    canvas: tuple[int, int] | None = None
    essential: list[bytes | memoryview] = []
    view = memoryview(data)
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
            canvas = _canvas(data[body : body + 10])
            check_size(*canvas, limits)
        elif chunk_type in (b"VP8 ", b"VP8L"):
            if frame is not None:
                raise ImageError(
                    "the WebP has several pictures, expected one; save the one to read"
                )
            is_lossy = chunk_type == b"VP8 "
            frame = _lossy_size(data, body) if is_lossy else _lossless_size(data, body)
            check_size(*frame, limits)
            has_alpha |= not is_lossy and bool(data[body + 4] & 0x10)
        elif chunk_type == b"ALPH":
            has_alpha = True
        elif chunk_type == b"EXIF":
            orientation = read_orientation(data[body : body + min(length, EXIF_BYTES)])
        following = min(body + length + (length & 1), end)
        if chunk_type == b"VP8X":
            flags = bytes([data[body] & _ALPHA])  # no metadata announced
            essential += (view[offset:body], flags, view[body + 1 : following])
        elif chunk_type in _ESSENTIAL:
            essential.append(view[offset:following])
        chunks += 1
        if chunks > _MAX_CHUNKS:
            raise ImageError(f"the WebP has more than {_MAX_CHUNKS:,} chunks; save it again")
        offset = following
    if frame is None:
        raise ImageError("the WebP is damaged: it has no picture; get the file again")
    if canvas not in (None, frame):
        raise ImageError(
            f"the WebP is damaged: its frame is {frame}, its canvas {canvas}; get the file again"
        )
    check_extra(*frame, 4 if is_lossy and not has_alpha else 5, "a WebP")
    size = 4 + sum(map(len, essential))
    payload = b"".join([b"RIFF", struct.pack("<I", size), b"WEBP", *essential])
    return Header(*frame, orientation, has_alpha, hides_colour=True, payload=payload)


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
