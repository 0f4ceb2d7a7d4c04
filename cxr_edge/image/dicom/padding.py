"""Pixels that fill up the rectangle and belong to no picture (PS3.3 C.7.5.1.1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError
from cxr_edge.image.dicom.attributes import number
from cxr_edge.image.dicom.cells import Cell, Integers


@dataclass(frozen=True, slots=True)
class Padding:
    """A range of stored values that are padding."""

    low: int
    """Least value."""
    high: int
    """Greatest value, inclusive."""

    def covers(
        self, values: Integers, patterns: Integers, overfull: npt.NDArray[np.bool_], cell: Cell
    ) -> npt.NDArray[np.bool_]:
        """Which cells are padding.

        A cell that holds more than a value is compared as a whole: some machines pad with numbers
        that the bits stored cannot hold.

        Args:
            values: stored values.
            patterns: their cells, as unsigned integers.
            overfull: which of them hold more than a value.
            cell: how a pixel is stored.
        """
        whole = patterns - (patterns >> cell.allocated - 1 << cell.allocated) * cell.is_signed
        compared = np.where(overfull, whole, values)
        return (self.low <= compared) & (compared <= self.high)


def read_padding(dataset: Any, cell: Cell) -> Padding | None:
    """Read which stored values are padding; None: the file declares none.

    Raises:
        ImageError: a limit without a value, or what is no 16-bit integer.
    """
    value, limit = (
        _stored(dataset, keyword, cell)
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
    )
    if value is None and limit is not None:
        raise ImageError(
            "the DICOM file has PixelPaddingRangeLimit without PixelPaddingValue; export it again"
        )
    if value is None:
        return None
    ends = value, value if limit is None else limit
    return Padding(min(ends), max(ends))


def _stored(dataset: Any, keyword: str, cell: Cell) -> int | None:
    """A padding value as a stored one.

    Its VR shall follow the pixel representation, and often does not; so the 16 bits count, of which
    those above the bits stored are 0 or copies of the sign.
    """
    value = number(dataset, keyword)
    if value is None:
        return None
    if value != int(value) or not -0x8000 <= value <= 0xFFFF:
        raise ImageError(f"the DICOM file's {keyword} is not a 16-bit integer; correct it")
    bits = int(value) & 0xFFFF
    if not cell.is_signed:
        return bits
    low = bits & (1 << cell.stored) - 1
    signed = low - (low >> cell.stored - 1 << cell.stored)
    if bits in (low, signed & 0xFFFF):
        return signed
    return bits - (bits >> 15 << 16)
