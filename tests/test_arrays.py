"""An .npz that unpacks to more than one of ours can is refused before it is unpacked."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from cxr_edge.arrays import read_arrays
from cxr_edge.bundle.golden import parse_golden
from cxr_edge.bundle.reader import Bundle
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
        read_arrays(bomb)
    with pytest.raises(BundleError, match=r"^domain\.npz: not readable as a domain: its arrays"):
        parse_domain(bomb, "domain.npz", BundleError)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_images_of_a_large_file_may_take_more() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, pixels=np.ones(2**24 + 1, np.uint8))
    assert read_arrays(buffer.getvalue())["pixels"].sum() == 2**24 + 1
    with pytest.raises(ValueError, match="at most 100 are expected"):
        read_arrays(buffer.getvalue(), 100)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_unpacks_to_more_than_it_claims_is_refused(method: int) -> None:
    """Only Deflate and plain members are cut to their size while they are unpacked."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("pixels.npy", packed_alone(np.zeros(3)))
    with pytest.raises(ValueError, match="another method than Deflate"):
        read_arrays(buffer.getvalue())


def test_a_member_that_is_no_array_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("pixels.npy", packed_alone(np.zeros(3)))
        archive.writestr("scores.npy", b"hello")
    with pytest.raises(ValueError, match=r"^scores is no array$"):
        read_arrays(buffer.getvalue())
    golden = Bundle.open().golden()
    for changed in ({"near_scores": np.float32(1)}, {"near_pixels": np.uint8(1)}):
        arrays = {
            "pixels": golden.pixels,
            "scores": golden.scores,
            "near_pixels": golden.pixels,
            "near_scores": golden.scores,
        } | changed
        with pytest.raises(BundleError, match="golden near_"):
            parse_golden(packed(**arrays), Bundle.open().manifest)


def packed_alone(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
