r"""Patient Orientation: how the picture lies, as the file states it (DICOM PS3.3 C.7.6.1.1.1).

The element names the patient's direction along a row and down a column. A frontal radiograph is
shown with the patient's left on the viewer's right and the feet at the bottom: ``L\F``. The seven
other arrangements of left or right with head or foot are turned or mirrored into it, as an EXIF
orientation is applied. Only the first letter of a direction counts (``LF`` is ``L``); a value that
is none of the standard's is ignored.
"""

from __future__ import annotations

from typing import Any

from cxr_edge.image.decode import turn_upright
from cxr_edge.preprocess import Image

_EXIF = {
    ("L", "F"): 1,
    ("R", "F"): 2,
    ("R", "H"): 3,
    ("L", "H"): 4,
    ("F", "L"): 5,
    ("F", "R"): 6,
    ("H", "R"): 7,
    ("H", "L"): 8,
}
"""Directions to the EXIF orientation with the same arrangement."""
_AXES = {"L": "LR", "R": "LR", "A": "AP", "P": "AP", "H": "HF", "F": "HF"}


def directions(dataset: Any) -> tuple[str, str] | None:
    """The patient's direction along a row and down a column.

    Returns:
        Two of ``L R A P H F`` on different axes; None: the file does not state them.
    """
    value = dataset.get("PatientOrientation")
    if isinstance(value, str) or value is None or len(value) != 2:
        return None
    row, column = (str(direction).strip().upper()[:1] for direction in value)
    if row not in _AXES or column not in _AXES or _AXES[row] == _AXES[column]:
        return None
    return row, column


def is_turned(dataset: Any) -> bool:
    """Whether a picture is shown otherwise than it is stored, as :func:`turn_to_frontal` does."""
    return _orientation(dataset) != 1


def turn_to_frontal(image: Image, dataset: Any) -> Image:
    r"""Turn or mirror a picture to ``L\F``; one that is not in that plane stays as it is.

    Args:
        image: (H, W) uint8, as stored.
        dataset: the file's elements.
    """
    orientation = _orientation(dataset)
    return image if orientation == 1 else turn_upright(image, orientation)


def _orientation(dataset: Any) -> int:
    stated = directions(dataset)
    return 1 if stated is None else _EXIF.get(stated, 1)
