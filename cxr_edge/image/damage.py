"""Zeros in a JPEG's tables and picture data, which strict decoding can miss.

A zeroed stretch may by chance decode to as many blocks as it overwrote. Of 5,620 sound radiographs,
one has four or more zero bytes in a row in its entropy-coded data (8 of them); of 43 camera files,
three do (39 at most). So a run of 64 is damage, unless zero bits are how the file codes flat areas:
there a zeroed stretch decodes to many more blocks than it overwrote, which strict decoding notices.
"""

from __future__ import annotations

from collections.abc import Mapping

from cxr_edge.errors import ImageError

_ZERO_RUN = bytes(64)


def check_quantization(table: bytes, length: int) -> None:
    """Refuse a quantization table that is cut or was overwritten with zeros.

    Args:
        table: one of a DQT segment: precision and number, then 64 elements of 8 or 16 bits.
        length: that it should have, bytes.

    Raises:
        ImageError: it is shorter, or an element is 0, which is forbidden (ITU-T T.81, B.2.4.1).
    """
    _check_length(table, length)
    elements = table[1:]
    if length == 129:  # 16 bits
        elements = bytes(a | b for a, b in zip(elements[::2], elements[1::2], strict=True))
    if 0 in elements:
        raise ImageError(
            "the JPEG is damaged: a quantization table holds a zero; get the file again"
        )


def check_huffman(table: bytes, length: int) -> None:
    """Refuse a Huffman table that is cut or was overwritten with zeros.

    Args:
        table: one of a DHT segment: class and number, 16 counts of codes, and their symbols.
        length: that it should have, bytes.

    Raises:
        ImageError: it is shorter, or several codes mean symbol 0.
    """
    _check_length(table, length)
    if table.count(0, 17) > 1:
        raise ImageError(
            "the JPEG is damaged: a Huffman table repeats symbol 0; get the file again"
        )


def _check_length(table: bytes, length: int) -> None:
    if len(table) < length:
        raise ImageError("the JPEG is damaged: a table is cut; get the file again")


def check_zeros(
    data: bytes,
    start: int,
    end: int,
    header: bytes,
    first_symbols: Mapping[int, int],
    is_progressive: bool,
) -> None:
    """Refuse a scan that was overwritten with zeros.

    Args:
        data: the file.
        start: of the scan's entropy-coded data.
        end: of that data.
        header: the scan's, without marker and length.
        first_symbols: Huffman table (class << 4 | number) to the symbol of its all-zero code.
        is_progressive: whether the scan sends only some coefficients or bits.

    Raises:
        ImageError: there is a long run of zeros that no encoder writes.
    """
    if data.find(_ZERO_RUN, start, end) < 0:
        return
    if is_progressive and header[-3] == 0 and header[-1] >> 4 != 0:
        return  # one raw bit a block refines DC
    if not _codes_flat_as_zeros(header, first_symbols, is_progressive):
        raise ImageError(
            "the JPEG is damaged: picture data was overwritten with zeros; get the file again"
        )


def _codes_flat_as_zeros(
    header: bytes, first_symbols: Mapping[int, int], is_progressive: bool
) -> bool:
    """Whether zero bits mean 'same DC, end of block' in the Huffman tables of a scan."""
    if is_progressive and header[-3] > 0:
        return False  # in an AC scan one code ends thousands of flat blocks
    for tables in header[2 : 2 + 2 * header[0] : 2]:
        needed = (tables >> 4,) if is_progressive else (tables >> 4, 0x10 | tables & 15)
        if any(first_symbols.get(table) != 0 for table in needed):
            return False
    return True
