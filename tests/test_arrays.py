"""An .npz that unpacks to more than one of ours can is refused before it is unpacked."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest

from cxr_edge.arrays import open_arrays
from cxr_edge.domain import parse_domain
from cxr_edge.errors import BundleError


def packed(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def test_zeros_are_not_unpacked_beyond_what_images_could_be() -> None:
    bomb = packed(pixels=np.zeros(2**26, np.uint8))
    assert len(bomb) < 2**17
    tracemalloc.start()
    with pytest.raises(ValueError, match="its arrays take 67,108,992 bytes, at most 16,777,216"):
        open_arrays(bomb)
    with pytest.raises(BundleError, match=r"^domain\.npz: not readable as a domain: its arrays"):
        parse_domain(bomb, "domain.npz", BundleError)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_images_of_a_large_file_may_take_more() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, pixels=np.ones(2**24 + 1, np.uint8))
    with open_arrays(buffer.getvalue()) as arrays:
        assert arrays["pixels"].sum() == 2**24 + 1
    with pytest.raises(ValueError, match="at most 100 are expected"):
        open_arrays(buffer.getvalue(), 100)
