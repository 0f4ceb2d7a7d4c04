"""Questions to a decoded JPEG that its markers cannot answer.

libjpeg decodes rows that it has no data for as exactly 128, and ignores data that is left over.
Both can be legitimate, so a suspect file is decoded once more, changed so that the answers differ.
"""

from __future__ import annotations

from collections.abc import Callable

from cxr_edge.errors import ImageError
from cxr_edge.image.jpeg import JpegHeader
from cxr_edge.preprocess import Image

_MISSING = 128
# No 0xFF, which would be a marker; 0 first, because the data may have been cut behind an 0xFF.
_NOISE = bytes(range(255)) * 16
_MAX_HEIGHT = 65_500
_MADE_UP = 128


def is_questionable(image: Image, header: JpegHeader) -> bool:
    """Whether a decoded JPEG may hide damage, so that :func:`check_damage` must tell.

    Args:
        image: the decoded picture as stored, at full size or reduced: what libjpeg makes up is
            flat either way.
        header: what its markers say.
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
        header: what its markers say.
        decode: decodes like ``image`` was decoded.

    Raises:
        ImageError: rows are missing, or are made of zeros that were no picture.
    """
    if (image[-1] == _MISSING).all() and (decode(_with_noise(data, header)) != image).any():
        raise ImageError(
            "the JPEG is damaged or was cut: rows at the bottom are missing; get the whole file"
        )
    if header.is_suspect and _has_leftover(data, header, decode):
        raise ImageError("the JPEG is damaged: picture data was overwritten with zeros")


def _with_noise(data: bytes, header: JpegHeader) -> bytes:
    """Complete data ignores what follows it; data that ended early takes it for the picture."""
    end = header.first_scan_end
    return data[:end] + _NOISE + data[end:]


def _has_leftover(data: bytes, header: JpegHeader, decode: Callable[[bytes], Image]) -> bool:
    """Whether the data holds more rows than the header says.

    In tables that code a flat block as zero bits, a hole becomes many more flat blocks than it
    overwrote, so the picture is full before its data ends. Announced taller, it then shows more
    rows; if those are flat at just 128, they still keep noise behind the data from showing.
    """
    start = -(-header.height // header.unit_rows) * header.unit_rows
    height = start + header.unit_rows
    if height > _MAX_HEIGHT:
        return True
    at = header.frame_at + 1
    taller = data[:at] + height.to_bytes(2, "big") + data[at + 2 :]
    extra = decode(taller)[start:]
    # The last byte's spare bits make up to 8 blocks behind the end of the data: at most 128 pixels.
    if (extra[:, min(_MADE_UP, header.width - 1) :] != _MISSING).any():
        return True
    return bool((decode(_with_noise(taller, header))[start:] == extra).all())
