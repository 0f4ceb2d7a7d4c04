"""The golden set: inputs with the original model's scores, replayed on a device to prove parity."""

from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass

import numpy as np

from cxr_edge.arrays import read_arrays
from cxr_edge.bundle.manifest import Manifest
from cxr_edge.bundle.parity import are_pairs
from cxr_edge.decision import Scores
from cxr_edge.errors import BundleError, EngineError
from cxr_edge.preprocess import Pixels
from cxr_edge.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """Inputs with the original model's scores."""

    pixels: Pixels
    """(N, height, width, channels) uint8, resized to the network's input."""
    scores: Scores
    """(N, spec.outputs) float32, the output of the original Keras model."""
    near: GoldenSet | None = None
    """Further inputs near a change of decision. Rows 2k and 2k + 1 are a pair: two blends of the
    same pictures, one on either side of the decision. None: the bundle has none."""


def dump_golden(golden: GoldenSet) -> bytes:
    """Write a golden set as a compressed .npz, the same bytes every time."""
    buffer = io.BytesIO()
    if near := golden.near:
        np.savez_compressed(
            buffer,
            pixels=golden.pixels,
            scores=golden.scores,
            near_pixels=near.pixels,
            near_scores=near.scores,
        )
    else:
        np.savez_compressed(buffer, pixels=golden.pixels, scores=golden.scores)
    return buffer.getvalue()


def parse_golden(data: bytes, manifest: Manifest) -> GoldenSet:
    """Read a golden set.

    Raises:
        BundleError: the file is malformed or does not fit the manifest.
    """
    name, count, spec = manifest.golden.file.file, manifest.golden.inputs, manifest.spec
    try:
        arrays = read_arrays(data)
        golden = GoldenSet(arrays["pixels"], arrays["scores"])
        near = None
        if "near_pixels" in arrays or "near_scores" in arrays:
            near = GoldenSet(arrays["near_pixels"], arrays["near_scores"])
    except Exception as err:  # zipfile, zlib and numpy each raise their own
        raise BundleError(f"{name}: not readable as golden inputs: {err}") from err
    _check("pixels", golden.pixels, np.uint8, (count, *spec.input_shape), name)
    _check("scores", golden.scores, np.float32, (count, spec.outputs), name)
    if near:
        _check_near(near, spec, name)
    return dataclasses.replace(golden, near=near)


def _check_near(near: GoldenSet, spec: ModelSpec, name: str) -> None:
    count = len(near.scores) if near.scores.ndim else 0
    _check("near_pixels", near.pixels, np.uint8, (count, *spec.input_shape), name)
    _check("near_scores", near.scores, np.float32, (count, spec.outputs), name)
    try:
        pairs = count > 0 and count % 2 == 0 and are_pairs(near.scores, spec)
    except EngineError as err:
        raise BundleError(f"{name}: golden near_scores: {err}") from err
    if not pairs:
        raise BundleError(
            f"{name}: golden near_scores are no pairs on either side of a decision; export the "
            "model again"
        )


def _check(
    key: str, array: Pixels | Scores, dtype: type[np.generic], shape: tuple[int, ...], name: str
) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise BundleError(
            f"{name}: golden {key} are {array.dtype} {array.shape}, expected "
            f"{np.dtype(dtype)} {shape}; export the model again"
        )
