"""The golden set: inputs with the original model's scores, replayed on a device to prove parity."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from cxr_edge.bundle.manifest import Manifest
from cxr_edge.decision import Scores
from cxr_edge.errors import BundleError
from cxr_edge.preprocess import Pixels


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """Inputs with the original model's scores."""

    pixels: Pixels
    """(N, height, width, channels) uint8, resized to the network's input."""
    scores: Scores
    """(N, spec.outputs) float32, the output of the original Keras model."""


def dump_golden(golden: GoldenSet) -> bytes:
    """Write a golden set as a compressed .npz, the same bytes every time."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, pixels=golden.pixels, scores=golden.scores)
    return buffer.getvalue()


def parse_golden(data: bytes, manifest: Manifest) -> GoldenSet:
    """Read a golden set.

    Raises:
        BundleError: the file is malformed or does not fit the manifest.
    """
    name, count, spec = manifest.golden.file.file, manifest.golden.inputs, manifest.spec
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            golden = GoldenSet(arrays["pixels"], arrays["scores"])
    except Exception as err:  # zipfile, zlib and numpy each raise their own
        raise BundleError(f"{name}: not readable as golden inputs: {err}") from err
    _check("pixels", golden.pixels, np.uint8, (count, *spec.input_shape), name)
    _check("scores", golden.scores, np.float32, (count, spec.outputs), name)
    return golden


def _check(
    key: str, array: Pixels | Scores, dtype: type[np.generic], shape: tuple[int, ...], name: str
) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise BundleError(
            f"{name}: golden {key} are {array.dtype} {array.shape}, expected "
            f"{np.dtype(dtype)} {shape}; export the model again"
        )
