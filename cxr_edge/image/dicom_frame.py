"""The stored pixels of a single-frame DICOM file, uncompressed or decoded by a codec."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError, MissingExtraError
from cxr_edge.image import jpeg
from cxr_edge.image.decode import decode
from cxr_edge.image.formats import inspect
from cxr_edge.image.header import ImageLimits

_PLAIN = {
    "1.2.840.10008.1.2": "implicit little endian",
    "1.2.840.10008.1.2.1": "explicit little endian",
    "1.2.840.10008.1.2.2": "explicit big endian",
    "1.2.840.10008.1.2.5": "RLE",
}
_JPEG = {"1.2.840.10008.1.2.4.50": "baseline JPEG", "1.2.840.10008.1.2.4.51": "extended JPEG"}
_LOSSLESS_JPEG = {
    "1.2.840.10008.1.2.4.57": "lossless JPEG",
    "1.2.840.10008.1.2.4.70": "lossless JPEG",
}
_JPEG_LS = {"1.2.840.10008.1.2.4.80": "JPEG-LS", "1.2.840.10008.1.2.4.81": "JPEG-LS"}
_JPEG_2000 = {
    "1.2.840.10008.1.2.4.90": "JPEG 2000",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.201": "HTJ2K",
    "1.2.840.10008.1.2.4.202": "HTJ2K",
    "1.2.840.10008.1.2.4.203": "HTJ2K",
}
_COMPRESSED = _LOSSLESS_JPEG | _JPEG_LS | _JPEG_2000
_END_OF_CODESTREAM = b"\xff\xd9"


def read_frame(dataset: Any, pydicom: Any, limits: ImageLimits) -> npt.NDArray[Any]:
    """Decode the one frame of a checked dataset.

    Args:
        dataset: from ``pydicom.dcmread``.
        pydicom: the module, with ``pydicom.pixels`` imported.
        limits: the largest picture accepted.

    Returns:
        (H, W) of the stored integer type.

    Raises:
        ImageError: the pixels are damaged, cut, or compressed in a way that is not supported.
        MissingExtraError: the codec is not installed.
    """
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    shape = (int(dataset.Rows), int(dataset.Columns))
    if syntax in _JPEG:
        pixels: npt.NDArray[Any] = _decode_jpeg(_one_frame(dataset, pydicom), limits)
    elif syntax in _PLAIN:
        pixels = dataset.pixel_array
    elif syntax in _COMPRESSED:
        _check_codec(syntax, pydicom)
        if syntax not in _LOSSLESS_JPEG:
            _check_codestream(_one_frame(dataset, pydicom), shape)
        pixels = dataset.pixel_array
    else:
        known = sorted({*_PLAIN.values(), *_JPEG.values(), *_COMPRESSED.values()})
        raise ImageError(
            f"the DICOM transfer syntax {syntax} is not supported; supported are {', '.join(known)}"
        )
    if pixels.shape != shape:
        raise ImageError(
            f"the DICOM file decodes to {pixels.shape}, its header says {shape}; get the file again"
        )
    return pixels


def _one_frame(dataset: Any, pydicom: Any) -> bytes:
    """The compressed bytes of the only frame."""
    frames = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)
    return bytes(next(iter(frames)))


def _decode_jpeg(frame: bytes, limits: ImageLimits) -> npt.NDArray[np.uint8]:
    """Decode by our own JPEG reader: the same checks for damage, and no further codec."""
    if not frame.startswith(jpeg.MAGIC):
        raise ImageError("the DICOM file is damaged: its pixels are not a JPEG; get the file again")
    return decode(frame, inspect(frame, limits), 1)


def _check_codec(syntax: str, pydicom: Any) -> None:
    if pydicom.pixels.get_decoder(syntax).is_available:
        return
    if syntax in _LOSSLESS_JPEG:
        raise MissingExtraError(
            "lossless JPEG in DICOM needs a codec that is not installed;"
            " install it with pip install python-gdcm"
        )
    raise MissingExtraError(
        f"{_COMPRESSED[syntax]} in DICOM needs a codec that is not installed;"
        " install it with pip install 'cxr-edge[dicom]'"
    )


def _check_codestream(frame: bytes, shape: tuple[int, int]) -> None:
    """Check size and end: the codecs trust the codestream's size and decode a cut one in part."""
    if frame[:4] == b"\xff\x4f\xff\x51":
        right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
        size = (bottom - top, right - left)
    elif frame[:2] == b"\xff\xd8" and (offset := frame.find(b"\xff\xf7")) > 0:
        size = struct.unpack_from(">HH", frame, offset + 5)
    else:
        raise ImageError(
            "the DICOM file is damaged: its pixels are not a JPEG 2000 or JPEG-LS codestream;"
            " get the file again"
        )
    if size != shape:
        raise ImageError(
            f"the DICOM file's pixels are {size}, its header says {shape}; get the file again"
        )
    if not frame.rstrip(b"\x00").endswith(_END_OF_CODESTREAM):
        raise ImageError("the DICOM file's pixels are cut; get the whole file")
