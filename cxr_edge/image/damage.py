"""JPEG damage that the markers do not show.

libjpeg fills rows that have no data with exactly 128 and ignores surplus data. Sound files can do
both, so a suspect file is decoded again with a change that only affects damaged ones.
"""

from __future__ import annotations

from collections.abc import Callable

from cxr_edge.errors import ImageError
from cxr_edge.image.jpeg import JpegHeader
from cxr_edge.preprocess import Image

_MISSING = 128
"""Grey level of rows that libjpeg has no data for."""
# No 0xFF, which would start a marker; 0 first, in case the data was cut after an 0xFF.
_NOISE = bytes(range(255)) * 16
_MAX_HEIGHT = 65_500
_MAX_SPURIOUS_PIXELS = 128


def is_questionable(image: Image, header: JpegHeader) -> bool:
    """Whether a decoded JPEG might be damaged, so that :func:`check_damage` must decide.

    Args:
        image: the decoded picture as stored, at full or reduced size: rows that libjpeg fills in
            are flat either way.
        header: from the JPEG inspector.
    """
    return header.is_suspect or bool((image[-1] == _MISSING).all())


def check_damage(
    image: Image, data: bytes, header: JpegHeader, decode: Callable[[bytes], Image]
) -> None:
    """Refuse a picture whose data ended early or was overwritten with zeros.

    Args:
        image: the decoded picture at full size, (H, W) or (H, W, 3), as stored (no orientation
            applied).
        data: the file.
        header: from the JPEG inspector.
        decode: decodes with the same settings as ``image``.

    Raises:
        ImageError: rows are missing, or picture data was overwritten with zeros.
    """
    if (image[-1] == _MISSING).all() and (decode(_with_noise(data, header)) != image).any():
        raise ImageError(
            "the JPEG is damaged or was cut: rows at the bottom are missing; get the whole file"
        )
    if header.is_suspect and _has_leftover(data, header, decode):
        raise ImageError(
            "the JPEG is damaged: picture data was overwritten with zeros; get the file again"
        )


def _with_noise(data: bytes, header: JpegHeader) -> bytes:
    """Append noise to the first scan; the picture changes only if the scan's data ended early."""
    end = header.first_scan_end
    return data[:end] + _NOISE + data[end:]


def _has_leftover(data: bytes, header: JpegHeader, decode: Callable[[bytes], Image]) -> bool:
    """Whether the data holds more rows than the header says.

    Where the Huffman tables code a flat block as zero bits, a run of zeros decodes to many more
    flat blocks than it overwrote, so the picture is full before its data ends. With a larger height
    in the header, the surplus rows show up. If they are flat at exactly 128, they still take the
    place of noise that is appended to the data.
    """
    start = -(-header.height // header.unit_rows) * header.unit_rows
    height = start + header.unit_rows
    if height > _MAX_HEIGHT:
        return True
    offset = header.frame_at + 1
    taller = data[:offset] + height.to_bytes(2, "big") + data[offset + 2 :]
    extra = decode(taller)[start:]
    # Spare bits of the last byte can decode to up to 8 blocks past the end: at most 128 pixels.
    if (extra[:, min(_MAX_SPURIOUS_PIXELS, header.width - 1) :] != _MISSING).any():
        return True
    return bool((decode(_with_noise(taller, header))[start:] == extra).all())
