"""The SOP Instance UID of a file, which names one image in every archive."""

from __future__ import annotations

import os
import re

from cxr_edge.extras import require
from cxr_edge.image.dicom.elements import read_identity
from cxr_edge.image.dicom.quiet import without_warnings
from cxr_edge.image.dicom.recognition import is_dicom
from cxr_edge.image.listing import first_bytes

_ENOUGH_BYTES = 2**16  # the UID stands near the beginning
_UID = re.compile(r"[0-9][0-9.]{0,63}")


def sop_instance_uid(source: str | os.PathLike[str] | bytes) -> str | None:
    """Read the UID from a file's first bytes.

    Args:
        source: a path, or the bytes of a file.

    Returns:
        The UID; None: the file is no DICOM, cannot be read, or has none of the form of a UID.

    Raises:
        MissingExtraError: the file is DICOM, and pydicom is not installed.
    """
    data = source if isinstance(source, bytes) else first_bytes(source, _ENOUGH_BYTES)
    if not is_dicom(data):
        return None
    pydicom = require("pydicom", "dicom")
    with without_warnings():
        try:
            uid = str(read_identity(data[:_ENOUGH_BYTES], pydicom).get("SOPInstanceUID", ""))
        except Exception:
            # pydicom raises errors of many types on a damaged file. The UID is only added to the
            # result of reading the same file as an image, and that says what is wrong with it.
            return None
    return uid if _UID.fullmatch(uid) else None
