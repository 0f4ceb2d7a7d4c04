"""Reads .npz files without unpacking what no file of theirs holds."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt

_MOST_TIMES = 100
"""Deflate makes zeros a thousand times smaller, images and weights hardly twenty times."""
_ALWAYS = 2**24  # bytes
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What numpy writes. Others are unpacked whole before they are cut to the size that they claim."""


def read_arrays(data: bytes, most_bytes: int | None = None) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of an .npz by name.

    Args:
        data: the file.
        most_bytes: what the arrays may take; None: 16 MiB, or 100 times the file if that is more.

    Raises:
        ValueError: they take more, or it is no .npz of numpy's; other exceptions of zipfile and
            numpy.
    """
    if most_bytes is None:
        most_bytes = max(_MOST_TIMES * len(data), _ALWAYS)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
    unpacked = sum(member.file_size for member in members)
    if unpacked > most_bytes:
        raise ValueError(f"its arrays take {unpacked:,} bytes, at most {most_bytes:,} are expected")
    if any(member.compress_type not in _METHODS for member in members):
        raise ValueError("an array is packed by another method than Deflate")
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy passes on the bytes of other members
            raise ValueError(f"{name} is no array")
    return arrays
