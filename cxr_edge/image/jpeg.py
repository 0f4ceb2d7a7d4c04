"""JPEG: checks all markers, and rebuilds the file from what libjpeg needs to decode it.

Damage to the picture data is left to strict decoding (:mod:`cxr_edge.image.libjpeg`). Checked here
is what that does not bound or notice: size, number of scans and segments, bytes of tables and data,
missing scans, unsupported kinds. Comments, metadata and unused tables do not reach it.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

from cxr_edge.errors import ImageError
from cxr_edge.image.damage import check_huffman, check_quantization, check_zeros
from cxr_edge.image.header import Header, ImageLimits, check_size
from cxr_edge.image.ifd import read_orientation

MAGIC = b"\xff\xd8\xff"

_MAX_SEGMENTS = 5_000
_MAX_SCANS = 100
# Even a scan of 31 bytes makes libjpeg pass over the whole picture: about 2 ns a pixel and scan.
_MAX_SCANNED_PIXELS = 800_000_000
_MAX_TABLE_BYTES = 2**20
# A coefficient takes 27 bits at most, which byte stuffing can double.
_MAX_BYTES_A_SAMPLE = 8
_SEQUENTIAL, _PROGRESSIVE, _HUFFMAN, _NO_FRAME = (0xC0, 0xC1), 0xC2, 0xC4, (0xC8, 0xCC)
_EOI, _SOS, _QUANTIZATION, _DRI = 0xD9, 0xDA, 0xDB, 0xDD
_APP0, _APP1, _APP14 = 0xE0, 0xE1, 0xEE
_MARKER = re.compile(rb"\xff[\x01-\xfe]")
_MARKER_BUT_RESTART = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=[\"']|>)([1-8])[\"'<]")
_JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
_ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"


@dataclass(frozen=True, slots=True)
class JpegHeader(Header):
    """The header of a JPEG; ``payload`` is the file rebuilt for :mod:`cxr_edge.image.libjpeg`."""

    components: int = 3
    has_scans: bool = False
    """Whether there are several, so that libjpeg keeps all coefficients."""


@dataclass(slots=True)
class _State:
    """State of the walk over the markers."""

    frame: int = 0
    """The SOF marker, 0 before it."""
    width: int = 0
    height: int = 0
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Component id to its horizontal and vertical sampling factor."""
    quantization: dict[int, int] = field(default_factory=dict)
    """Component id to the number of its quantization table."""
    accuracy: dict[int, list[int]] = field(default_factory=dict)
    """Component id to the missing low bits of its 64 coefficients; -1: coefficient not sent yet."""
    tables: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """Marker and number of each table that was defined since it was last used, to its bytes."""
    first_symbols: dict[int, int] = field(default_factory=dict)
    """Huffman table (class << 4 | number) to the symbol of its all-zero code."""
    table_bytes: int = 0
    """Length of all tables so far, unused ones as well."""
    restart_interval: int = 0
    is_jfif: bool = False
    adobe_transform: int | None = None
    """Declared by an Adobe segment: 0 for RGB."""
    exif_orientation: int | None = None
    """0 where the first EXIF block has none; None where there is no block."""
    xmp_orientation: int = 0
    scans: int = 0
    parts: list[bytes | memoryview] = field(default_factory=list)
    """Segments and picture data of the rebuilt file."""


def inspect(data: bytes, limits: ImageLimits) -> JpegHeader:
    """Walk all markers from SOI to EOI.

    The orientation is EXIF's, or else XMP's.

    Raises:
        ImageError: the file is damaged, cut, too large, or of a kind that is not supported.
        struct.error, IndexError: a segment ends early.
    """
    state = _walk(data, limits)
    if not state.scans:
        raise ImageError("the JPEG has no picture data; get the whole file")
    if any(any(bits) for bits in state.accuracy.values()):
        raise ImageError("the JPEG lacks scans: it is damaged or was cut; get the whole file")
    return JpegHeader(
        width=state.width,
        height=state.height,
        orientation=state.exif_orientation or state.xmp_orientation or 1,
        components=len(state.sampling),
        has_scans=state.scans > 1,
        payload=b"".join([b"\xff\xd8", _colour_marker(state), *state.parts, b"\xff\xd9"]),
    )


def _colour_marker(state: _State) -> bytes:
    """The segment by which libjpeg decides between RGB and YCbCr as it would for the whole file.

    Without one, it decides by the components' ids.
    """
    if state.is_jfif or state.adobe_transform:
        return _JFIF
    return b"" if state.adobe_transform is None else _ADOBE_RGB


def _walk(data: bytes, limits: ImageLimits) -> _State:
    state = _State()
    offset = 2
    for _ in range(_MAX_SEGMENTS):
        marker, offset = _next_marker(data, offset)
        if marker == _EOI:
            return state
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            raise ImageError(
                f"the JPEG is damaged: unexpected marker {marker:#04x} at byte {offset - 2}; "
                "get the file again"
            )
        (length,) = struct.unpack_from(">H", data, offset)
        body = data[offset + 2 : offset + length]
        if length < 2 or len(body) != length - 2:
            raise ImageError("the JPEG is damaged or was cut in its headers; get the whole file")
        offset += length
        if marker == _SOS:
            header = _read_scan_header(body, state)
            offset = _read_scan(data, offset, header, state)
        elif marker in (_HUFFMAN, _QUANTIZATION):
            _read_tables(marker, body, state)
        elif 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            _read_frame(marker, body, state, limits)
        elif marker == _DRI:
            (state.restart_interval,) = struct.unpack(">H", body)
            state.parts.append(_segment(_DRI, body))
        else:
            _read_metadata(marker, body, state)
    raise ImageError(f"the JPEG has more than {_MAX_SEGMENTS:,} segments; save it again")


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body


def _next_marker(data: bytes, offset: int) -> tuple[int, int]:
    """The marker at ``offset``, after fill bytes, and the offset of its segment."""
    if offset >= len(data):
        raise ImageError("the JPEG has no end marker: it was cut; get the whole file")
    if data[offset] != 0xFF:
        raise ImageError(
            f"the JPEG is damaged: no marker at byte {offset}, expected one; get the file again"
        )
    match = _MARKER.search(data, offset)
    if match is None or data.count(b"\xff", offset, match.start()) != match.start() - offset:
        raise ImageError(
            f"the JPEG is damaged or was cut: no marker at byte {offset}; get the whole file"
        )
    return data[match.end() - 1], match.end()


def _read_metadata(marker: int, body: bytes, state: _State) -> None:
    """Read what APPn segments say about orientation and, before the first scan, colours."""
    if marker == _APP1 and body.startswith(b"Exif\x00\x00"):
        if state.exif_orientation is None:
            state.exif_orientation = read_orientation(body, absent=0)
    elif marker == _APP1 and body.startswith(b"http://ns.adobe.com/xap/1.0/\x00"):
        match = _XMP_ORIENTATION.search(body)
        if match and not state.xmp_orientation:
            state.xmp_orientation = int(match[1])
    elif marker == _APP0 and body.startswith(b"JFIF\x00") and len(body) >= 14 and not state.scans:
        state.is_jfif = True
    elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12 and not state.scans:
        state.adobe_transform = body[11]


def _read_tables(marker: int, body: bytes, state: _State) -> None:
    """Keep the newest definition of each table in a DHT or DQT segment."""
    state.table_bytes += len(body)
    if state.table_bytes > _MAX_TABLE_BYTES:
        raise ImageError(f"the JPEG has over {_MAX_TABLE_BYTES:,} bytes of tables; save it again")
    offset = 0
    while offset < len(body):
        number = body[offset]
        if marker == _HUFFMAN:
            length = 17 + sum(body[offset + 1 : offset + 17])
            state.first_symbols[number] = body[offset + 17] if length > 17 else -1
        else:
            length = 129 if number >> 4 else 65
            number &= 15
        state.tables[marker, number] = table = body[offset : offset + length]
        (check_huffman if marker == _HUFFMAN else check_quantization)(table, length)
        offset += length


def _read_frame(marker: int, body: bytes, state: _State, limits: ImageLimits) -> None:
    if marker not in (*_SEQUENTIAL, _PROGRESSIVE):
        raise ImageError(
            f"the JPEG is {_process(marker)}, supported are baseline and progressive; save it again"
        )
    if state.frame:
        raise ImageError("the JPEG has two frame headers, expected one; save it again")
    precision, state.height, state.width, components = struct.unpack_from(">BHHB", body)
    check_size(state.width, state.height, limits)
    if precision != 8:
        raise ImageError(
            f"the JPEG has {precision} bits a sample, supported are 8; convert it to 8 bits first"
        )
    if components not in (1, 3):
        colour_space = " (CMYK)" if components == 4 else ""
        raise ImageError(
            f"the JPEG has {components} components{colour_space}, supported are 1 (grey) and 3"
            " (colour); save it as grey or RGB"
        )
    for identity, factors, table in struct.iter_unpack("BBB", body[6 : 6 + 3 * components]):
        horizontal, vertical = factors >> 4, factors & 15
        if not (1 <= horizontal <= 4 and 1 <= vertical <= 4):
            raise ImageError(
                f"the JPEG is damaged: sampling factors {horizontal}x{vertical}, expected 1 to 4; "
                "get the file again"
            )
        state.sampling[identity] = (horizontal, vertical)
        state.quantization[identity] = table
        state.accuracy[identity] = [-1] * 64
    if len(state.sampling) != components:
        raise ImageError("the JPEG is damaged: two components have the same id; get the file again")
    state.frame = marker
    state.parts.append(_segment(marker, body))


def _process(marker: int) -> str:
    """Name of a frame marker's unsupported coding process."""
    return "arithmetic-coded" if marker > 0xC8 else "lossless" if marker == 0xC3 else "hierarchical"


def _read_scan_header(body: bytes, state: _State) -> bytes:
    """Record the coefficients that a scan sends; return its header, as it is passed on."""
    if not state.frame:
        raise ImageError(
            "the JPEG is damaged: picture data before the frame header; get the file again"
        )
    state.scans += 1
    allowed = min(_MAX_SCANS, max(10, _MAX_SCANNED_PIXELS // (state.width * state.height)))
    if state.scans > allowed:
        raise ImageError(
            f"the JPEG has more than {allowed} scans, the limit for its size; save it as baseline"
        )
    count = body[0]
    if not 1 <= count <= len(state.sampling) or len(body) != 4 + 2 * count:
        raise ImageError(
            "the JPEG is damaged: a scan header has the wrong length; get the file again"
        )
    low, high, approximation = body[1 + 2 * count : 4 + 2 * count]
    if state.frame != _PROGRESSIVE:
        low, high, approximation = 0, 63, 0  # many encoders write something else
    if high > 63 or low > high:
        raise ImageError(
            f"the JPEG is damaged: a scan of coefficients {low} to {high}, expected a range within "
            "0 to 63; get the file again"
        )
    components = body[1 : 1 + 2 * count]
    for identity, coding in zip(components[::2], components[1::2], strict=True):
        if identity not in state.accuracy:
            raise ImageError(
                f"the JPEG is damaged: a scan of component {identity}, which does not exist; "
                "get the file again"
            )
        state.accuracy[identity][low : high + 1] = [approximation & 15] * (high + 1 - low)
        for key in (
            (_QUANTIZATION, state.quantization[identity]),
            (_HUFFMAN, coding >> 4),
            (_HUFFMAN, 0x10 | coding & 15),
        ):
            if table := state.tables.pop(key, None):
                state.parts.append(_segment(key[0], table))
    header = bytes([count, *components, low, high, approximation])
    state.parts.append(_segment(_SOS, header))
    return header


def _read_scan(data: bytes, start: int, header: bytes, state: _State) -> int:
    """Check and pass on one scan's data; return the offset of the next marker."""
    pattern = _MARKER_BUT_RESTART if state.restart_interval else _MARKER
    match = pattern.search(data, start)
    if match is None:
        raise ImageError("the JPEG has no end marker: it was cut; get the whole file")
    end = match.start()
    samples = (state.width + 32) * (state.height + 32) * len(state.sampling)
    if end - start > _MAX_BYTES_A_SAMPLE * samples:
        raise ImageError(
            f"the JPEG is damaged: {end - start:,} bytes of data for {state.width}x{state.height} "
            "pixels; get the file again"
        )
    check_zeros(data, start, end, header, state.first_symbols, state.frame == _PROGRESSIVE)
    state.parts.append(memoryview(data)[start:end])
    return end
