"""Whether pictures lie where a network was calibrated."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cxr_edge.export.graph.graph import build_model
from cxr_edge.export.quantize.quantizer import CalibratedNetwork
from cxr_edge.preprocess import Pixels, normalize
from cxr_edge.spec import InputSpec

_CHUNK = 16


def outside_ranges(
    network: CalibratedNetwork, spec: InputSpec, pixels: Pixels
) -> npt.NDArray[np.float64]:
    """By how much pictures drive activations out of the calibrated ranges.

    Args:
        network: with the statistics of its calibration images.
        spec: how pixels become its input.
        pixels: (N, height, width, channels) uint8.

    Returns:
        (N,) the largest excess over all inputs of linear layers, as a share of the largest
        |activation| on the calibration images: 0.3 is 30 % beyond; at most 0: inside.
    """
    peaks = {tap: max(float(p.max()), 1e-12) for tap, p in network.statistics.peaks.items()}
    if not peaks:
        return np.full(len(pixels), -1.0)
    model, batch = build_model(network.graph, list(peaks)), normalize(pixels, spec)
    parts = []
    for start in range(0, len(batch), _CHUNK):
        _, *activations = model(batch[start : start + _CHUNK], training=False)
        shares = [
            np.abs(np.asarray(values, np.float64)).reshape(len(values), -1).max(axis=1) / peak
            for values, peak in zip(activations, peaks.values(), strict=True)
        ]
        parts.append(np.max(shares, axis=0))
    return np.asarray(np.concatenate(parts) - 1)
