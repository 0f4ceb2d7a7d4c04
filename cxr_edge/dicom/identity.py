"""UIDs derived from what they name, so that a file made again replaces the one made before."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Literal

from cxr_edge.dicom.algorithm import Algorithm

Kind = Literal["report", "heat map", "tracking", "device"]
"""What a UID is for."""


def derived_uid(
    kind: Kind,
    source_uid: str,
    algorithm: Algorithm,
    level: Literal["instance", "series"] = "instance",
) -> str:
    """The UID of what ``algorithm`` made of an image, at most 44 characters.

    Args:
        kind: what the UID is for.
        source_uid: of the image, or for a series, of the image's series.
        algorithm: another version, bundle, artifact or engine has other UIDs, since its scores may
            differ.
        level: whether it names one object or their series.

    Returns:
        ``2.25.`` and a UUID in decimal digits (DICOM PS3.5 B.2).
    """
    parts = [
        *("cxr-edge", kind, level, source_uid),
        *(algorithm.version, algorithm.bundle, algorithm.artifact, algorithm.engine),
    ]
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"
