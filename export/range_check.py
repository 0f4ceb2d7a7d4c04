"""Whether pictures lie where a network was calibrated."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.export.graph.graph import build_model
from cxr_edge.export.quantize.quantizer import CalibratedNetwork
from cxr_edge.preprocess import Pixels, normalize
from cxr_edge.spec import InputSpec

_CHUNK = 16
_LEAST_SHARE = 0.1


def outside_ranges(
    network: CalibratedNetwork, spec: InputSpec, pixels: Pixels
) -> npt.NDArray[np.float64]:
    """By how much pictures drive activations out of the calibrated ranges.

    Args:
        network: with the statistics of its calibration images.
        spec: how pixels become its input.
        pixels: (N, height, width, channels) uint8.

    Returns:
        (N,) the largest excess over all channels that linear layers read, as a share of the
        channel's largest |value| on the calibration images: 0.3 is 30 % beyond; at most 0: inside.
    """
    # By channel, because equalization gives all channels the same range. Of one that is nearly
    # always 0, a tenth of the layer's range is still nothing.
    peaks = {
        tap: np.maximum(peak, max(_LEAST_SHARE * float(peak.max()), 1e-12))
        for tap, peak in network.statistics.peaks.items()
    }
    if not peaks:
        return np.full(len(pixels), -1.0)
    model, batch = build_model(network.graph, list(peaks)), normalize(pixels, spec)
    parts = []
    for start in range(0, len(batch), _CHUNK):
        _, *activations = model(batch[start : start + _CHUNK], training=False)
        shares = [
            (np.abs(_flat(values)).max(axis=1) / peak).max(axis=1)
            for values, peak in zip(activations, peaks.values(), strict=True)
        ]
        parts.append(np.max(shares, axis=0))
    return np.asarray(np.concatenate(parts) - 1)


def _flat(values: Any) -> npt.NDArray[np.float64]:
    """(N, places, channels)."""
    array = np.asarray(values, np.float64)
    return array.reshape(len(array), -1, array.shape[-1])
