"""Results as DICOM: a structured report and a heat map beside the image they belong to.

::

    algorithm   what classified the image, as both files name it
    source      what the image says of patient and study, checked
    identity    UIDs that are the same each time
    codes       coded concepts and labels
    report      a prediction as a Comprehensive SR (TID 1500)
    heatmap     an explanation as a Secondary Capture
    writing     what both have in common, and the bytes of a file
    output      the files of several predictions, in a folder

Both need the extra ``dicom``, which is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from cxr_edge.dicom.algorithm import Algorithm

if TYPE_CHECKING:
    from cxr_edge.dicom.heatmap import heatmap_image
    from cxr_edge.dicom.report import structured_report
    from cxr_edge.image.dicom.identity import sop_instance_uid

_MODULES = {"heatmap_image": "heatmap", "structured_report": "report"}

__all__ = ["Algorithm", "heatmap_image", "sop_instance_uid", "structured_report"]


def __getattr__(name: str) -> object:
    if name == "sop_instance_uid":
        from cxr_edge.image.dicom.identity import sop_instance_uid

        return sop_instance_uid
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cxr_edge.extras import require

    require("pydicom", "dicom")
    require("highdicom", "dicom")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
