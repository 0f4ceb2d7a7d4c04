"""Reads .npz files without unpacking what no file of theirs holds."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from numpy.lib.npyio import NpzFile

_MOST_TIMES = 100
"""Deflate makes zeros a thousand times smaller, images and weights hardly twenty times."""
_ALWAYS = 2**24  # bytes


def open_arrays(data: bytes, most_bytes: int | None = None) -> NpzFile:
    """Open the bytes of an .npz; close it, or use it in ``with``.

    Args:
        data: the file.
        most_bytes: what its arrays may take; None: 16 MiB, or 100 times the file if that is more.

    Raises:
        ValueError: its arrays take more, or it is no .npz; other exceptions of zipfile and numpy,
            also while it is read.
    """
    if most_bytes is None:
        most_bytes = max(_MOST_TIMES * len(data), _ALWAYS)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > most_bytes:
        raise ValueError(f"its arrays take {unpacked:,} bytes, at most {most_bytes:,} are expected")
    arrays: NpzFile = np.load(io.BytesIO(data), allow_pickle=False)
    return arrays
