"""Look-up tables: the modality's (PS3.3 C.11.1) and that of the values of interest (C.11.2).

Of several items the first is used; the others are alternatives, as further windows are.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError

_KINDS: dict[str, tuple[str, Container[int], str]] = {
    "ModalityLUTSequence": ("modality", (8, 16), "8 or 16"),
    "VOILUTSequence": ("VOI", range(8, 17), "8 to 16"),
}
"""Name, and the bits that the entries may have."""
_WORD_VRS = frozenset({"US", "SS", "OW", "OB", "UN", None})


@dataclass(frozen=True, slots=True)
class LookUpTable:
    """A table of integers for consecutive integers."""

    first: int
    """The value that is mapped to the first entry, as all below it are."""
    entries: npt.NDArray[np.uint16]
    """What the values are mapped to; all above the last are mapped to the last entry."""
    bits: int
    """Of an entry: the range of the output is 0..2^bits - 1, whatever the entries are."""

    def apply(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Map values, each rounded to the nearest integer."""
        places = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return np.asarray(self.entries[places.astype(np.int64)], np.float64)


def read_table(dataset: Any, keyword: str, is_signed: bool) -> LookUpTable | None:
    """Read the first table of a sequence.

    Args:
        dataset: of pydicom.
        keyword: of the sequence.
        is_signed: whether the values to be mapped can be negative, for where the file does not say
            it of the first value mapped.

    Returns:
        The table; None: there is none.

    Raises:
        ImageError: the table is damaged.
    """
    if keyword not in dataset:
        return None
    name, allowed, expected = _KINDS[keyword]
    damaged = ImageError(f"the DICOM file's {name} look-up table is damaged; export it again")
    items = dataset[keyword].value
    if not items and items is not None and not isinstance(items, bytes):
        return None
    if items is None or isinstance(items, bytes | str):
        raise damaged
    descriptor, data = (items[0].get_item(key) for key in ("LUTDescriptor", "LUTData"))
    for element in (descriptor, data):
        if not getattr(element, "is_raw", False) or element.VR not in _WORD_VRS:
            raise damaged
    if len(descriptor.value or b"") != 6:
        raise damaged
    count, first, bits = (int(word) for word in _words(descriptor))
    if bits not in allowed or count == 1:
        raise ImageError(
            f"the DICOM file's {name} look-up table has {count} entries of {bits} bits,"
            f" expected at least 2 of {expected} bits; export it again"
        )
    entries = _entries(data, count or 65_536, bits)
    if entries is None:
        raise damaged
    if int(entries.max()) >> bits:
        raise ImageError(
            f"the DICOM file's {name} look-up table has entries up to {entries.max()}, more than"
            f" its {bits} bits hold; export it again"
        )
    if first >= 0x8000 and (descriptor.VR == "SS" or is_signed):
        first -= 0x10000
    return LookUpTable(first, entries, bits)


def _words(element: Any) -> npt.NDArray[np.uint16]:
    form = "<u2" if element.is_little_endian else ">u2"
    return np.frombuffer(bytes(element.value), form).astype(np.uint16)


def _entries(element: Any, count: int, bits: int) -> npt.NDArray[np.uint16] | None:
    """The entries, one or, of 8 bits, two a word, the lower byte first; None: damaged."""
    data = bytes(element.value or b"")
    if len(data) == 2 * count:
        return _words(element)
    if bits == 8 and len(data) == count + count % 2:
        if element.VR == "OB":
            return np.frombuffer(data, np.uint8)[:count].astype(np.uint16)
        return _words(element).astype("<u2").view(np.uint8)[:count].astype(np.uint16)
    return None
