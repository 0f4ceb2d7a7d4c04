"""JPEG: checks all markers before libjpeg decodes, because libjpeg hides damage.

libjpeg fills missing data with plausible pixels and only prints a warning, so a cut or zeroed
radiograph decodes without an error. The limit on zero runs is measured. Of 5,620 sound radiographs,
one has four or more zero bytes in a row in its entropy-coded data (8 of them); of 43 camera files,
three do (39 at most). So a run of 64 is damage, unless the file's Huffman tables code a flat block
as zero bits. Then only decoding can tell (:mod:`cxr_edge.image.damage`).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

from cxr_edge.errors import ImageError
from cxr_edge.image.header import Header, ImageLimits, check_size
from cxr_edge.image.ifd import read_orientation

MAGIC = b"\xff\xd8\xff"

_MAX_SEGMENTS = 5_000
_MAX_SCANS = 100
# Even a scan of 31 bytes makes libjpeg pass over the whole picture: about 2 ns a pixel and scan.
_MAX_SCANNED_PIXELS = 800_000_000
_ZERO_RUN = bytes(64)
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_HUFFMAN, _NO_FRAME = 0xC4, (0xC8, 0xCC)
_EOI, _SOS, _DRI, _APP1 = 0xD9, 0xDA, 0xDD, 0xE1
_MARKER = re.compile(rb"\xff[\x01-\xfe]")
_MARKER_BUT_RESTART = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")


@dataclass(frozen=True, slots=True)
class JpegHeader(Header):
    """A header with what :mod:`cxr_edge.image.damage` needs to check the decoded picture."""

    frame_at: int = 0
    """Offset of the frame header's precision byte; height and width follow it."""
    unit_rows: int = 8
    """Height of an MCU, pixels."""
    first_scan_end: int = 0
    """Offset of the marker that ends the first scan."""
    is_suspect: bool = False
    """Whether long zero runs are either flat areas or damage, which only decoding can tell."""


@dataclass(slots=True)
class _State:
    """State of the walk over the markers."""

    frame: int = 0
    """The SOF marker, 0 before it."""
    frame_at: int = 0
    first_scan_end: int = 0
    width: int = 0
    height: int = 0
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Component id to its horizontal and vertical sampling factor."""
    accuracy: dict[int, list[int]] = field(default_factory=dict)
    """Component id to the missing low bits of its 64 coefficients; -1: coefficient not sent yet."""
    first_symbols: dict[int, int] = field(default_factory=dict)
    """Huffman table (class << 4 | id) to the symbol of its all-zero code."""
    restart_interval: int = 0
    orientation: int = 1
    has_exif: bool = False
    scans: int = 0
    is_suspect: bool = False


def inspect(data: bytes, limits: ImageLimits) -> JpegHeader:
    """Walk all markers from SOI to EOI.

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
        orientation=state.orientation,
        frame_at=state.frame_at,
        unit_rows=8 * max(v for _, v in state.sampling.values()),
        first_scan_end=state.first_scan_end,
        is_suspect=state.is_suspect,
    )


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
            raise ImageError(
                "the JPEG is damaged or was cut within its headers; get the whole file"
            )
        if marker == _SOS:
            _read_scan_header(body, state, limits)
            offset = _read_scan(data, offset + length, body, state)
            state.first_scan_end = state.first_scan_end or offset
            continue
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            _read_frame_or_table(marker, body, state, limits)
            if marker == state.frame:
                state.frame_at = offset + 2
        elif marker == _DRI:
            (state.restart_interval,) = struct.unpack(">H", body)
        elif marker == _APP1 and body.startswith(b"Exif\x00\x00") and not state.has_exif:
            state.has_exif = True
            state.orientation = read_orientation(body)
        offset += length
    raise ImageError(f"the JPEG has more than {_MAX_SEGMENTS:,} segments; save it again")


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


def _read_frame_or_table(marker: int, body: bytes, state: _State, limits: ImageLimits) -> None:
    if marker == _HUFFMAN:
        while body:
            symbols = sum(body[1:17])
            if symbols:
                state.first_symbols[body[0]] = body[17]
            body = body[17 + symbols :]
        return
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
    for identity, factors, _ in struct.iter_unpack("BBB", body[6 : 6 + 3 * components]):
        horizontal, vertical = factors >> 4, factors & 15
        if not (1 <= horizontal <= 4 and 1 <= vertical <= 4):
            raise ImageError(
                f"the JPEG is damaged: sampling factors {horizontal}x{vertical}, expected 1 to 4; "
                "get the file again"
            )
        state.sampling[identity] = (horizontal, vertical)
        state.accuracy[identity] = [-1] * 64
    if len(state.sampling) != components:
        raise ImageError("the JPEG is damaged: two components have the same id; get the file again")
    state.frame = marker


def _process(marker: int) -> str:
    """Name of a frame marker's unsupported coding process."""
    if marker >= 0xC9:
        return "arithmetic-coded"
    return "lossless" if marker == 0xC3 else "hierarchical"


def _read_scan_header(body: bytes, state: _State, limits: ImageLimits) -> None:
    """Record the coefficients that a scan sends, and refuse scan bombs before decoding."""
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
        low, high, approximation = 0, 63, 0
    if high > 63 or low > high:
        raise ImageError(
            f"the JPEG is damaged: a scan of coefficients {low} to {high}, expected a range within "
            "0 to 63; get the file again"
        )
    for identity in body[1 : 1 + 2 * count : 2]:
        if identity not in state.accuracy:
            raise ImageError(
                f"the JPEG is damaged: a scan of component {identity}, which does not exist; "
                "get the file again"
            )
        state.accuracy[identity][low : high + 1] = [approximation & 15] * (high + 1 - low)


def _read_scan(data: bytes, start: int, header: bytes, state: _State) -> int:
    """Check one scan's entropy-coded data; return the offset of the next marker."""
    pattern = _MARKER_BUT_RESTART if state.restart_interval else _MARKER
    match = pattern.search(data, start)
    if match is None:
        raise ImageError("the JPEG has no end marker: it was cut; get the whole file")
    end = match.start()
    if state.restart_interval:
        markers = b"".join(_RESTART.findall(data, start, end))
        expected = -(-_count_units(header, state) // state.restart_interval) - 1
        if markers != bytes(0xD0 + i % 8 for i in range(expected)):
            raise ImageError(
                f"the JPEG is damaged: {len(markers)} restart markers, expected {expected} in "
                "order; get the file again"
            )
    if data.find(_ZERO_RUN, start, end) >= 0 and not _is_refined_dc(header, state):
        if not _codes_flat_as_zeros(header, state):
            raise ImageError(
                "the JPEG is damaged: picture data was overwritten with zeros; get the file again"
            )
        state.is_suspect = True
    return end


def _count_units(header: bytes, state: _State) -> int:
    """Number of MCUs in a scan: single blocks if it has one component, else interleaved ones."""
    widest = max(h for h, _ in state.sampling.values())
    tallest = max(v for _, v in state.sampling.values())
    horizontal, vertical = state.sampling[header[1]] if header[0] == 1 else (1, 1)
    columns = -(-state.width * horizontal // (8 * widest))
    rows = -(-state.height * vertical // (8 * tallest))
    return columns * rows


def _is_refined_dc(header: bytes, state: _State) -> bool:
    """Whether a scan refines DC by one raw bit a block: zero runs are normal and harmless there."""
    return state.frame == _PROGRESSIVE and header[-3] == 0 and header[-1] >> 4 != 0


def _codes_flat_as_zeros(header: bytes, state: _State) -> bool:
    """Whether zero bits mean 'same DC, end of block' in the Huffman tables of a scan."""
    is_progressive = state.frame == _PROGRESSIVE
    if is_progressive and header[-3] > 0:
        return False  # in an AC scan one code ends thousands of flat blocks
    for tables in header[2 : 2 + 2 * header[0] : 2]:
        needed = (tables >> 4,) if is_progressive else (tables >> 4, 0x10 | tables & 15)
        if any(state.first_symbols.get(table) != 0 for table in needed):
            return False
    return True
