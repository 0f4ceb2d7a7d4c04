"""The stored pixels of a single-frame DICOM file, uncompressed or decoded by a codec."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError, MissingExtraError
from cxr_edge.image import jpeg
from cxr_edge.image.codestream import check_codestream
from cxr_edge.image.decode import decode
from cxr_edge.image.dicom.elements import PixelData, join_fragments
from cxr_edge.image.formats import inspect
from cxr_edge.image.header import ImageLimits

_BIG_ENDIAN, _RLE = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5"
_PLAIN = {
    "1.2.840.10008.1.2": "implicit little endian",
    "1.2.840.10008.1.2.1": "explicit little endian",
    _BIG_ENDIAN: "explicit big endian",
}
_JPEG = {"1.2.840.10008.1.2.4.50": "baseline JPEG", "1.2.840.10008.1.2.4.51": "extended JPEG"}
_LOSSLESS_JPEG = "lossless JPEG"
_COMPRESSED = {
    "1.2.840.10008.1.2.4.57": _LOSSLESS_JPEG,
    "1.2.840.10008.1.2.4.70": _LOSSLESS_JPEG,
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.81": "JPEG-LS",
    "1.2.840.10008.1.2.4.90": "JPEG 2000",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.201": "JPEG 2000",  # and below: high throughput
    "1.2.840.10008.1.2.4.202": "JPEG 2000",
    "1.2.840.10008.1.2.4.203": "JPEG 2000",
}
_RLE_HEADER, _RLE_BLOCK = 64, 2**20


def readable_syntaxes(pydicom: Any) -> list[str]:
    """UIDs of the transfer syntaxes that can be read here: those whose codec is installed.

    Args:
        pydicom: the module, with ``pydicom.pixels`` imported.
    """
    decoded = [uid for uid in _COMPRESSED if pydicom.pixels.get_decoder(uid).is_available]
    return [*_PLAIN, _RLE, *_JPEG, *decoded]


@dataclass(frozen=True, slots=True)
class Frame:
    """The one frame of a file, as it is stored."""

    pixels: npt.NDArray[Any]
    """(H, W) integers of 8 or 16 bits; uncompressed ones in the memory of the file."""
    unused_bits: int = 0
    """High bits of a pixel that may hold anything."""


def read_frame(
    data: bytes, dataset: Any, place: PixelData, pydicom: Any, limits: ImageLimits
) -> Frame:
    """Decode the one frame of a checked dataset.

    Args:
        data: the file.
        dataset: its elements, without the pixels.
        place: where the pixels are.
        pydicom: the module, with ``pydicom.pixels`` imported.
        limits: the largest picture accepted.

    Raises:
        ImageError: the pixels are damaged, cut, or compressed in a way that is not supported.
        MissingExtraError: the codec is not installed.
    """
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    shape = (int(dataset.Rows), int(dataset.Columns))
    bits = int(dataset.BitsAllocated)
    unused = bits - int(dataset.BitsStored)
    if not 0 <= unused < bits:
        raise ImageError(
            f"the DICOM file has {dataset.BitsStored} bits stored in {bits} allocated; export it"
            " again"
        )
    if syntax in _PLAIN:
        is_big = syntax == _BIG_ENDIAN
        pixels = _view(data, place, shape, bits, is_big).view(_stored_type(dataset, is_big))
        return Frame(pixels, unused)
    if syntax == _RLE:
        pixels = _decode_rle(join_fragments(data, place), shape, bits // 8)
        return Frame(pixels.view(_stored_type(dataset)), unused)
    if syntax in _JPEG:
        return Frame(_decode_jpeg(join_fragments(data, place), shape, limits))
    if syntax in _COMPRESSED:
        kind = _COMPRESSED[syntax]
        _check_codec(syntax, pydicom)
        frame = join_fragments(data, place)
        check_codestream(frame, kind, shape, bits)
        dataset.PixelData = pydicom.encaps.encapsulate([frame])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        del frame
        pixels = dataset.pixel_array  # with its unused bits corrected
        del dataset.PixelData
        if pixels.shape != shape:
            raise ImageError(
                f"the DICOM file decodes to {pixels.shape}, its header says {shape}; "
                "get the file again"
            )
        return Frame(pixels)
    known = ", ".join(sorted({*_PLAIN.values(), *_JPEG.values(), *_COMPRESSED.values(), "RLE"}))
    raise ImageError(f"the DICOM transfer syntax {syntax} is not supported; supported are {known}")


def _stored_type(dataset: Any, is_big: bool = False) -> np.dtype[Any]:
    """The integer type of a stored pixel."""
    sign = "i" if int(dataset.PixelRepresentation) else "u"
    return np.dtype(f"{'>' if is_big else '<'}{sign}{int(dataset.BitsAllocated) // 8}")


def _view(
    data: bytes, place: PixelData, shape: tuple[int, int], bits: int, is_big: bool
) -> npt.NDArray[Any]:
    """Uncompressed pixels, (H, W) unsigned, without a copy where their order allows it."""
    count = shape[0] * shape[1]
    size = count * bits // 8
    length = place.length
    if length is None or length < size or place.start + length > len(data):
        raise ImageError(
            f"the DICOM file is damaged or was cut: its pixels have {length} bytes, expected"
            f" {size:,}; get the whole file"
        )
    if length >= 2 * size and size > 1:
        raise ImageError(
            f"the DICOM file has {length // size:,} frames, expected one; save the frame to read"
        )
    if bits == 8 and is_big and place.vr == "OW":  # pairs of pixels, each pair swapped
        words = np.frombuffer(data, np.uint16, (size + 1) // 2, place.start)
        return words.byteswap().view(np.uint8)[:size].reshape(shape)
    return np.frombuffer(data, f"{'>' if is_big else '<'}u{bits // 8}", count, place.start).reshape(
        shape
    )


def _decode_rle(frame: bytes, shape: tuple[int, int], segments: int) -> npt.NDArray[Any]:
    """Decode RLE (DICOM PS3.5 G): a segment for each byte of a pixel, the highest first."""
    count, *offsets = struct.unpack_from("<16I", frame)
    bounds = [*offsets[:segments], len(frame)]
    if count != segments or bounds[0] < _RLE_HEADER or bounds != sorted(set(bounds)):
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
    """Fill ``place`` from a segment, a block at a time; what the segment holds beyond is padding.

    Raises:
        ImageError: the segment holds less.
    """
    filled = 0
    while filled < len(place) and start < end:
        block = bytearray()
        while len(block) < _RLE_BLOCK and start < end:
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
    if filled < len(place):
        raise ImageError(
            f"the DICOM file's pixels are damaged: an RLE segment holds {filled:,} bytes,"
            f" expected {len(place):,}; get the file again"
        )


def _decode_jpeg(
    frame: bytes, shape: tuple[int, int], limits: ImageLimits
) -> npt.NDArray[np.uint8]:
    """Decode by our own JPEG reader: the same checks for damage, and no further codec."""
    if not frame.startswith(jpeg.MAGIC):
        raise ImageError("the DICOM file is damaged: its pixels are not a JPEG; get the file again")
    header = inspect(frame, limits)
    if (header.height, header.width) != shape:
        raise ImageError(
            f"the DICOM file's pixels are {(header.height, header.width)}, its header says {shape};"
            " get the file again"
        )
    return decode(frame, header, 1)


def _check_codec(syntax: str, pydicom: Any) -> None:
    if pydicom.pixels.get_decoder(syntax).is_available:
        return
    if _COMPRESSED[syntax] == _LOSSLESS_JPEG:
        raise MissingExtraError(
            "lossless JPEG in DICOM needs a codec that is not installed;"
            " install it with pip install python-gdcm"
        )
    raise MissingExtraError(
        f"{_COMPRESSED[syntax]} in DICOM needs a codec that is not installed;"
        " install it with pip install 'cxr-edge[dicom]'"
    )
