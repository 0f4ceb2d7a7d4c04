"""The stored pixels of a single-frame DICOM file, uncompressed or decoded by a codec."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError, MissingExtraError
from cxr_edge.image import jpeg
from cxr_edge.image.codestream import check_codestream
from cxr_edge.image.decode import decode
from cxr_edge.image.dicom.attributes import required
from cxr_edge.image.dicom.cells import Cell
from cxr_edge.image.dicom.elements import PixelData, join_fragments
from cxr_edge.image.dicom.rle import decode_rle
from cxr_edge.image.formats import inspect
from cxr_edge.image.header import ImageLimits

_BIG_ENDIAN, _RLE = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5"
_IMPLICIT, _EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
_PLAIN = {
    _IMPLICIT: "implicit little endian",
    _EXPLICIT: "explicit little endian",
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
_START_OF_DATA = b"\xff\x93"
"""In JPEG 2000; comments before it may hold zeros."""
_HOLE = 4_000
"""Zero bytes in a row that no encoder writes, and that a copy which was not finished leaves."""
_FIRST, _PIXEL_DATA = (0x0008, 0x0000), (0x7FE0, 0x0010)


def readable_syntaxes(pydicom: Any) -> list[str]:
    """UIDs of the transfer syntaxes that can be read here: those whose codec is installed.

    Args:
        pydicom: the module, with ``pydicom.pixels`` imported.
    """
    decoded = [uid for uid in _COMPRESSED if pydicom.pixels.get_decoder(uid).is_available]
    return [*_PLAIN, _RLE, *_JPEG, *decoded]


def read_frame(
    data: bytes, dataset: Any, place: PixelData, cell: Cell, pydicom: Any, limits: ImageLimits
) -> npt.NDArray[Any]:
    """Decode the one frame of a checked dataset.

    Args:
        data: the file.
        dataset: its elements, without the pixels.
        place: where the pixels are.
        cell: how a pixel is stored.
        pydicom: the module, with ``pydicom.pixels`` imported.
        limits: the largest picture accepted.

    Returns:
        (H, W) unsigned integers of 8 or 16 bits, a pixel's cell each; uncompressed ones in the
        memory of the file.

    Raises:
        ImageError: the pixels are damaged, cut, or compressed in a way that is not supported.
        MissingExtraError: the codec is not installed.
    """
    syntax = _read_syntax(dataset, place)
    shape = (required(dataset, "Rows"), required(dataset, "Columns"))
    if syntax in _PLAIN:
        return _view(data, place, shape, cell.allocated, syntax == _BIG_ENDIAN)
    if syntax == _RLE:
        return decode_rle(join_fragments(data, place), shape, cell.allocated // 8)
    if syntax in _JPEG:
        return _decode_jpeg(join_fragments(data, place), shape, cell, limits)
    if syntax in _COMPRESSED:
        return _decode_compressed(data, dataset, place, syntax, shape, cell, pydicom)
    known = ", ".join(sorted({*_PLAIN.values(), *_JPEG.values(), *_COMPRESSED.values(), "RLE"}))
    named = syntax if syntax.replace(".", "").isdigit() else "(no UID)"
    raise ImageError(f"the DICOM transfer syntax {named} is not supported; supported are {known}")


def _read_syntax(dataset: Any, place: PixelData) -> str:
    """The transfer syntax UID, or where the file has none that of its elements."""
    syntax = str(dataset.file_meta.get("TransferSyntaxUID") or "")
    if syntax:
        return syntax
    if place.length is None:
        raise ImageError(
            "the DICOM file has compressed pixels and no Transfer Syntax UID; export it again"
        )
    is_implicit, is_little_endian = dataset.original_encoding
    return _BIG_ENDIAN if not is_little_endian else _IMPLICIT if is_implicit else _EXPLICIT


def _decode_compressed(
    data: bytes,
    dataset: Any,
    place: PixelData,
    syntax: str,
    shape: tuple[int, int],
    cell: Cell,
    pydicom: Any,
) -> npt.NDArray[Any]:
    """Decode by a codec, with the cells as the codestream has them."""
    kind = _COMPRESSED[syntax]
    _check_codec(syntax, pydicom)
    frame = join_fragments(data, place)
    depth, is_signed = check_codestream(frame, kind, shape, cell.allocated)
    _check_precision(depth, is_signed if kind == "JPEG 2000" else None, cell)
    if frame.find(bytes(_HOLE), max(frame.find(_START_OF_DATA), 0)) >= 0:
        raise ImageError(
            "the DICOM file's pixels are damaged: picture data was overwritten with zeros; get the"
            " file again"
        )
    dataset.PixelData = pydicom.encaps.encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    del frame
    pixels, _ = pydicom.pixels.get_decoder(syntax).as_array(
        dataset,
        raw=True,
        correct_unused_bits=False,
        apply_j2k_sign_correction=False,
        apply_jls_sign_correction=False,
    )
    del dataset.PixelData
    if pixels.shape != shape:
        raise ImageError(
            f"the DICOM file decodes to {pixels.shape}, its header says {shape}; get the file again"
        )
    unsigned: npt.NDArray[Any] = pixels.view(f"u{pixels.itemsize}")
    return unsigned


def _check_precision(depth: int, is_signed: bool | None, cell: Cell) -> None:
    """Refuse a codestream whose bits are not those that the data set stores (PS3.5 8.2).

    Bits beyond those stored are found later, in the pixels.

    Args:
        depth: bits of a value in the codestream.
        is_signed: whether the codestream's values are; None: its kind cannot say it, and holds the
            bits of two's complement.
        cell: what the data set says.
    """
    if is_signed is None:
        fits = not cell.is_signed or depth >= cell.stored
    else:
        fits = is_signed == cell.is_signed
    if not fits or (cell.shift and depth != cell.allocated):
        sign = "" if is_signed is None else "signed " if is_signed else "unsigned "
        raise ImageError(
            f"the DICOM file's pixels are compressed with {depth} {sign}bits, its header says"
            f" {cell.stored} {'signed' if cell.is_signed else 'unsigned'} bits up to bit"
            f" {cell.high}; export it again"
        )


def _view(
    data: bytes, place: PixelData, shape: tuple[int, int], bits: int, is_big: bool
) -> npt.NDArray[Any]:
    """Uncompressed pixels, (H, W) unsigned, without a copy where their order allows it."""
    count = shape[0] * shape[1]
    size = count * bits // 8
    _check_extent(data, place, shape, size, is_big)
    if bits == 8 and is_big and place.vr == "OW":  # pairs of pixels, each pair swapped
        words = np.frombuffer(data, np.uint16, (size + 1) // 2, place.start)
        return words.byteswap().view(np.uint8)[:size].reshape(shape)
    return np.frombuffer(data, f"{'>' if is_big else '<'}u{bits // 8}", count, place.start).reshape(
        shape
    )


def _check_extent(
    data: bytes, place: PixelData, shape: tuple[int, int], size: int, is_big: bool
) -> None:
    """Refuse uncompressed pixels that are not all there, and what stands behind them unread.

    Args:
        data: the file.
        place: where the pixels are.
        shape: rows and columns.
        size: bytes that these need.
        is_big: whether the file is big endian.
    """
    length = place.length
    if length is None:
        raise ImageError(
            "the DICOM file's pixels are compressed, its transfer syntax says they are not; export"
            " it again"
        )
    end = place.start + length
    present = min(length, len(data) - place.start)
    if present < max(size, length):
        raise ImageError(
            f"the DICOM file is damaged or was cut: its pixels have {present:,} bytes, expected"
            f" {max(size, length):,}; get the whole file"
        )
    if data[place.start + size + size % 2 : end].strip(b"\0"):  # zeros may fill a file up
        raise ImageError(
            f"the DICOM file's pixels have {length:,} bytes, {shape[0]} rows of {shape[1]} have"
            f" {size:,}; save the one frame to read, or export the file again"
        )
    following = struct.unpack_from(">HH" if is_big else "<HH", data[end : end + 4] + bytes(4))
    if _FIRST <= following <= _PIXEL_DATA:  # what they say of the picture was not read
        raise ImageError(
            "the DICOM file has elements behind its pixels that belong before them; export it again"
        )


def _decode_jpeg(
    frame: bytes, shape: tuple[int, int], cell: Cell, limits: ImageLimits
) -> npt.NDArray[np.uint8]:
    """Decode by our own JPEG reader: the same checks for damage, and no further codec.

    How the picture lies is the data set's to say: an orientation in the JPEG's EXIF or XMP is that
    of the file that it was made from, and viewers of DICOM do not look at it.
    """
    if not frame.startswith(jpeg.MAGIC):
        raise ImageError("the DICOM file is damaged: its pixels are not a JPEG; get the file again")
    header = inspect(frame, limits)
    if (header.height, header.width) != shape:
        raise ImageError(
            f"the DICOM file's pixels are {(header.height, header.width)}, its header says {shape};"
            " get the file again"
        )
    if cell.is_signed or (cell.stored, cell.high) != (8, 7):
        raise ImageError(
            f"the DICOM file's pixels are a JPEG of 8 unsigned bits, its header says"
            f" {cell.stored} {'signed' if cell.is_signed else 'unsigned'} bits up to bit"
            f" {cell.high}; export it again"
        )
    if isinstance(header, jpeg.JpegHeader) and header.components != 1:
        raise ImageError(
            "the DICOM file's pixels are a JPEG in colour, its header says grey; export it again"
        )
    return decode(frame, dataclasses.replace(header, orientation=1), 1)


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
