"""Supported formats: recognized by content, and inspected before anything is decoded."""

from __future__ import annotations

import struct
from collections.abc import Callable

from cxr_edge.errors import ImageError
from cxr_edge.image import bmp, jpeg, png, tiff, webp
from cxr_edge.image.dicom.recognition import is_dicom
from cxr_edge.image.header import Header, ImageLimits

_SUPPORTED = "supported are JPEG, PNG, BMP, TIFF, WebP and DICOM"

_Inspector = Callable[[bytes, ImageLimits], Header]
_INSPECTORS: tuple[tuple[str, Callable[[bytes], bool], _Inspector], ...] = (
    ("JPEG", lambda data: data.startswith(jpeg.MAGIC), jpeg.inspect),
    ("PNG", lambda data: data.startswith(png.MAGIC), png.inspect),
    ("BMP", lambda data: data.startswith(bmp.MAGIC), bmp.inspect),
    ("TIFF", lambda data: data.startswith(tiff.MAGICS), tiff.inspect),
    ("WebP", lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", webp.inspect),
)
_UNSUPPORTED = (
    (b"GIF8", "a GIF"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"II+\x00", "a BigTIFF"),
    (b"MM\x00+", "a BigTIFF"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"qoif", "a QOI image"),
    (b"\x76\x2f\x31\x01", "an OpenEXR image"),
)


def recognizes(data: bytes) -> bool:
    """Whether a file that begins with ``data`` is of a supported format.

    Args:
        data: the first 132 bytes or more.
    """
    return is_dicom(data) or any(recognize(data) for _, recognize, _ in _INSPECTORS)


def inspect(data: bytes, limits: ImageLimits) -> Header:
    """Recognize the format by its first bytes and check its header.

    Raises:
        ImageError: the format is not supported, or its inspector refuses the file.
    """
    for format_name, recognize, inspect_format in _INSPECTORS:
        if recognize(data):
            try:
                return inspect_format(data, limits)
            except (struct.error, IndexError) as err:
                raise ImageError(
                    f"the {format_name} is damaged or was cut within its headers; "
                    "get the whole file"
                ) from err
    for magic, description in _UNSUPPORTED:
        if data.startswith(magic):
            raise ImageError(f"{description}; {_SUPPORTED}")
    if data[4:12] in (b"ftypavif", b"ftypheic", b"ftypmif1", b"ftypheix"):
        raise ImageError(f"an AVIF or HEIC image; {_SUPPORTED}")
    if data[:1] == b"P" and data[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6", b"7"):
        raise ImageError(f"a PNM image; {_SUPPORTED}")
    first_bytes = data[:8].hex(" ")
    raise ImageError(f"not an image of a known format (it begins with {first_bytes}); {_SUPPORTED}")
