"""What is accepted from the network: SOP classes, transfer syntaxes, and what an object must hold.

Whether an image is a frontal chest radiograph is not asked here: what is none is stored as a
failure that says so, as any file of the inbox is.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from cxr_edge.image.dicom.elements import read_elements
from cxr_edge.image.dicom.quiet import without_warnings

SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.1": "Computed Radiography Image Storage",
    "1.2.840.10008.5.1.4.1.1.1.1": "Digital X-Ray Image Storage - For Presentation",
    "1.2.840.10008.5.1.4.1.1.7": "Secondary Capture Image Storage",
}
"""Raw detector data (For Processing) is refused when an association is made: it is no picture."""

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH = 0xA900
"""The data set is not what the command says."""
CANNOT_UNDERSTAND = 0xC000
CLASS_NOT_SUPPORTED = 0x0122
PROCESSING_FAILURE = 0x0110

_HEAD_BYTES = 16 * 2**20
"""Elements in front of the pixels take less, or the reader refuses them."""

_one_at_a_time = threading.Lock()
"""Bounds the memory of checks, whatever the number of associations."""


def check_object(file: Path, sop_class: str, instance: str, pydicom: Any) -> int:
    """Look whether a received object holds what its command says, and pixels.

    Args:
        file: the whole object, with its file meta information.
        sop_class: UID that the command names.
        instance: UID that the command names.
        pydicom: the module.

    Returns:
        The DIMSE status; 0: it may be kept.
    """
    with _one_at_a_time, without_warnings(), file.open("rb") as opened:
        head = opened.read(_HEAD_BYTES)
        size = file.stat().st_size
        try:
            dataset, pixels = read_elements(head, pydicom, also=("SOPClassUID", "SOPInstanceUID"))
            is_same = dataset.get("SOPClassUID") == sop_class
            is_same = is_same and dataset.get("SOPInstanceUID") == instance
        except Exception:  # ours, or pydicom's, whose parser raises errors of many types
            return CANNOT_UNDERSTAND
    if not len(dataset) or pixels is None:
        return CANNOT_UNDERSTAND
    if not is_same:
        return DOES_NOT_MATCH
    is_cut = pixels.length is not None and pixels.start + pixels.length > size
    return CANNOT_UNDERSTAND if is_cut else SUCCESS
