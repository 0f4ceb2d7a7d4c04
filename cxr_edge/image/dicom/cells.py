"""A pixel's cell: which of its bits are the value, and what the others may hold (PS3.5 8.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError
from cxr_edge.image.dicom.attributes import number, required

OVERLAY_TAGS = tuple(
    group << 16 | element for group in range(0x6000, 0x6020, 2) for element in (0x0100, 0x0102)
)
"""Overlay Bits Allocated and Overlay Bit Position of the 16 overlays."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cell:
    """How one pixel is stored."""

    allocated: int
    """Bits of the cell, 8 or 16."""
    stored: int
    """Bits of the value."""
    high: int
    """Place of the value's highest bit, from 0."""
    is_signed: bool
    """Whether the value is in two's complement."""
    overlay_bits: int = 0
    """Bits outside of the value that hold overlays, as a mask."""

    @property
    def lowest(self) -> int:
        """Least value that can be stored."""
        return -(1 << self.stored - 1) if self.is_signed else 0

    @property
    def highest(self) -> int:
        """Greatest value that can be stored."""
        return (1 << self.stored - self.is_signed) - 1

    @property
    def shift(self) -> int:
        """Bits below the value."""
        return self.high + 1 - self.stored

    def values(self, patterns: Integers) -> tuple[Integers, npt.NDArray[np.bool_]]:
        """Take the values out of whole cells.

        Args:
            patterns: cells as unsigned integers.

        Returns:
            The values, and which cells hold more than a value: their unused bits are neither 0
            nor, above a negative value, all 1. Bits of declared overlays do not count.
        """
        mask = (1 << self.stored) - 1
        values = self.sign(patterns >> self.shift & mask)
        all_bits = (1 << self.allocated) - 1
        unused = patterns & (all_bits & ~(mask << self.shift) & ~self.overlay_bits)
        above = all_bits & ~((1 << self.high + 1) - 1) & ~self.overlay_bits
        overfull = (unused != 0) & ~((values < 0) & (unused == above))
        return values, overfull

    def sign(self, bits: Integers) -> Integers:
        """The values that the low ``stored`` bits stand for."""
        return bits - (bits >> self.stored - 1 << self.stored) if self.is_signed else bits


def read_cell(dataset: Any) -> Cell:
    """Read how a pixel is stored.

    Raises:
        ImageError: an attribute is missing, not supported, or contradicts another.
    """
    allocated = required(dataset, "BitsAllocated")
    stored, high = required(dataset, "BitsStored"), required(dataset, "HighBit")
    representation = required(dataset, "PixelRepresentation")
    if allocated not in (8, 16):
        raise ImageError(f"the DICOM file has {allocated} bits a pixel, supported are 8, 16")
    if not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        raise ImageError(
            f"the DICOM file has {stored} bits stored, up to bit {high}, in {allocated} allocated;"
            " export it again"
        )
    if representation not in (0, 1):
        raise ImageError(
            f"the DICOM file's PixelRepresentation is {representation}, expected 0 or 1"
        )
    return Cell(allocated, stored, high, bool(representation), _overlay_bits(dataset, allocated))


def _overlay_bits(dataset: Any, allocated: int) -> int:
    """Bits that overlays without data of their own use (retired, PS3.3 C.9.2 of 2004).

    An overlay apart from the pixels has 1 bit allocated.
    """
    mask = 0
    for bits_tag, place_tag in zip(OVERLAY_TAGS[::2], OVERLAY_TAGS[1::2], strict=True):
        if number(dataset, bits_tag) == allocated:
            place = int(number(dataset, place_tag) or 0)
            mask |= 1 << place if 0 <= place < allocated else 0
    return mask
