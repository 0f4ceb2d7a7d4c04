"""Stored pixels to 0..255, as a viewer shows them.

The steps follow the standard: padding is set apart, then modality LUT or rescale, then the first
VOI LUT or else the first window, then the inversion of MONOCHROME1. What is shown is mapped from
its range to 0..255; padding is black in the end, whatever the photometric interpretation.

Without a VOI LUT or window, values of 8 bits are mapped from the whole range that can be stored,
rescaled as they are, and all others from their own minimum..maximum.

A pixel has at most 65,536 values, so the steps work on those that occur, and a table maps the
pixels: they are never held in a wider type.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError
from cxr_edge.image.dicom.attributes import number, quotable, required_text
from cxr_edge.image.dicom.cells import Cell, Integers
from cxr_edge.image.dicom.padding import read_padding
from cxr_edge.image.dicom.tables import LookUpTable, read_table
from cxr_edge.image.dicom.window import Window, read_window
from cxr_edge.preprocess import Image

_Values = npt.NDArray[np.float64]
_BLOCK = 2**20  # pixels mapped at a time: numpy makes 8 bytes of each


@dataclass(frozen=True, slots=True)
class Modality:
    """From stored values to those that windows and VOI LUTs are meant for."""

    slope: float = 1.0
    intercept: float = 0.0
    table: LookUpTable | None = None
    """In place of slope and intercept."""

    def apply(self, stored: npt.NDArray[Any]) -> _Values:
        """Map stored values.

        Raises:
            ImageError: a result is infinite.
        """
        if self.table:
            return self.table.apply(stored.astype(np.float64))
        with np.errstate(over="ignore", invalid="ignore"):
            values = stored * self.slope + self.intercept
        if not np.isfinite(values).all():
            raise ImageError(
                "the DICOM file's rescale slope or intercept gives NaN or infinity; correct it"
            )
        return np.asarray(values, np.float64)


@dataclass(frozen=True, slots=True)
class Greyscale:
    """How a file's stored values are shown, all of it read and checked."""

    cell: Cell
    modality: Modality
    shown: LookUpTable | Window | None
    """None: by their range."""
    is_inverted: bool
    """Whether the least value is white."""

    def to_grey(self, stored: Integers) -> npt.NDArray[np.uint8]:
        """Map the stored values that occur to 0..255.

        Raises:
            ImageError: all become one grey level.
        """
        values = self.modality.apply(stored)
        if isinstance(self.shown, LookUpTable):
            shares = self.shown.apply(values) / ((1 << self.shown.bits) - 1)
        elif self.shown:
            shares = self.shown.apply(values)
        else:
            low, high = self._range(values)
            if not high > low:
                raise _one_level()
            shares = (values - low) / (high - low)
        grey = np.rint(shares * 255).astype(np.uint8)
        if len(stored) > 1 and grey.min() == grey.max():
            raise _one_level()
        return 255 - grey if self.is_inverted else grey

    def _range(self, values: _Values) -> tuple[float, float]:
        ends = values
        if self.cell.stored == 8 and not self.modality.table:
            ends = self.modality.apply(np.array([self.cell.lowest, self.cell.highest]))
        return float(ends.min()), float(ends.max())


def _one_level() -> ImageError:
    return ImageError("the DICOM file shows a single grey level; check its window or look-up table")


def read_greyscale(dataset: Any, cell: Cell) -> Greyscale:
    """Read how the file wants to be shown.

    Raises:
        ImageError: an attribute is damaged, not supported, or contradicts another.
    """
    is_inverted = _read_polarity(dataset)
    modality = _read_modality(dataset, cell)
    ends = modality.apply(np.array([cell.lowest, cell.highest]))
    is_signed = modality.table is None and float(ends.min()) < 0
    shown = read_table(dataset, "VOILUTSequence", is_signed) or read_window(dataset)
    return Greyscale(cell, modality, shown, is_inverted)


def show(pixels: npt.NDArray[Any], dataset: Any, greyscale: Greyscale) -> Image:
    """Map the pixels to 0..255 by a table of the cells that occur.

    Args:
        pixels: (H, W) unsigned integers, a cell each.
        dataset: of pydicom.
        greyscale: how to show them.

    Raises:
        ImageError: pixels hold more than the bits stored, or there is only padding, or one level.
    """
    occurs = np.zeros(256**pixels.itemsize, np.bool_)
    for _, cells in _blocks(pixels):
        counts = cv2.calcHist([cells], [0], None, [occurs.size], [0, occurs.size])
        occurs |= counts.reshape(-1) > 0
    table = np.zeros(occurs.size, np.uint8)
    patterns = _set_padding_apart(np.flatnonzero(occurs), dataset, greyscale.cell)
    table[patterns] = greyscale.to_grey(greyscale.cell.values(patterns)[0])
    image = np.empty(pixels.shape, np.uint8)
    flat = image.reshape(1, -1)
    for place, cells in _blocks(pixels):
        if cells.itemsize == 1:
            cv2.LUT(cells, table, flat[:, place])
        else:  # for which OpenCV 4 has no look-up
            np.take(table, cells, out=flat[:, place], mode="clip")
    return image  # type: ignore[return-value]


def _blocks(pixels: npt.NDArray[Any]) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
    """Pieces of all pixels, (1, N) in this machine's byte order, each with its place.

    What is done with them releases Python's lock, unlike indexing with them.
    """
    cells = pixels.reshape(1, -1)
    native = pixels.dtype.newbyteorder("=")
    for start in range(0, cells.size, _BLOCK):
        place = slice(start, start + _BLOCK)
        yield place, cells[:, place].astype(native, copy=False)


def _set_padding_apart(patterns: Integers, dataset: Any, cell: Cell) -> Integers:
    """The cells that are part of the picture, and have a value alone."""
    values, overfull = cell.values(patterns)
    padding = read_padding(dataset, cell)
    if padding:
        pictured = ~padding.covers(values, patterns, overfull, cell)
        patterns, overfull = patterns[pictured], overfull[pictured]
    if not len(patterns):
        raise ImageError("the DICOM file has only padding, expected a picture; get the file again")
    if overfull.any():
        raise ImageError(
            f"the DICOM file has pixels with more than the {cell.stored} bits stored up to bit"
            f" {cell.high}, and no overlay in the other bits; export it again"
        )
    return patterns


def _read_polarity(dataset: Any) -> bool:
    """Whether to invert, which is done once (PS3.3 C.8.11.1: a shape goes with one polarity)."""
    if dataset.get("PresentationLUTSequence"):
        raise ImageError(
            "the DICOM file has a Presentation LUT Sequence, which belongs to a presentation state"
            " and is not supported; export it without"
        )
    photometric = required_text(dataset, "PhotometricInterpretation")
    shape = str(dataset.get("PresentationLUTShape") or "").strip()
    expected = "INVERSE" if photometric == "MONOCHROME1" else "IDENTITY"
    if shape not in ("", "IDENTITY", "INVERSE"):
        raise ImageError(
            f"the DICOM file's PresentationLUTShape is {quotable(shape)}, expected {expected}"
        )
    if shape not in ("", expected):
        raise ImageError(
            f"the DICOM file contradicts itself: {photometric} with PresentationLUTShape {shape},"
            f" expected {expected}; export it again"
        )
    return photometric == "MONOCHROME1"


def _read_modality(dataset: Any, cell: Cell) -> Modality:
    """The modality LUT, or else rescale slope and intercept."""
    table = read_table(dataset, "ModalityLUTSequence", cell.is_signed)
    if table:
        return Modality(table=table)
    slope, intercept = (number(dataset, key) for key in ("RescaleSlope", "RescaleIntercept"))
    if slope is None and intercept is None:
        return Modality()
    if slope is None or intercept is None:
        present, absent = ("RescaleSlope", "RescaleIntercept")[:: 1 if intercept is None else -1]
        raise ImageError(f"the DICOM file has {present} without {absent}; export it again")
    if slope == 0:
        raise ImageError("the DICOM file's RescaleSlope is 0, which leaves nothing; correct it")
    return Modality(slope, intercept)
