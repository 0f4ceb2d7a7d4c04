"""What a network's layers see of calibration images, and the record of those images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cxr_edge.bundle.manifest import Calibration
from cxr_edge.data.samples import Samples
from cxr_edge.errors import DataError
from cxr_edge.export.graph.graph import Graph, Linear, Weights, build_model
from cxr_edge.files import sha256
from cxr_edge.preprocess import Batch
from cxr_edge.spec import ModelSpec

_CHUNK = 16


@dataclass(frozen=True, slots=True)
class Statistics:
    """The inputs of every linear layer over the calibration images."""

    peaks: Mapping[int, Weights]
    """By the position of the node that feeds the layer: the largest |value| of each channel."""
    means: Mapping[int, Weights]
    """Likewise the mean of each channel."""


def measure(graph: Graph, batch: Batch) -> Statistics:
    """Run calibration images and note what each linear layer sees.

    Args:
        graph: a lowered graph.
        batch: (N, height, width, channels) float32.
    """
    if not any(isinstance(node.operation, Linear) for node in graph.nodes):
        return Statistics({}, {})
    taps = sorted({n.inputs[0] for n in graph.nodes if isinstance(n.operation, Linear)})
    model = build_model(graph, taps)
    peaks = {tap: np.zeros(graph.nodes[tap].channels) for tap in taps}
    means = {tap: np.zeros(graph.nodes[tap].channels) for tap in taps}
    for start in range(0, len(batch), _CHUNK):
        _, *values = model(batch[start : start + _CHUNK], training=False)
        for tap, value in zip(taps, values, strict=True):
            seen = np.asarray(value, np.float64)
            share = len(seen) / len(batch)
            axes = tuple(range(seen.ndim - 1))
            peaks[tap] = np.maximum(peaks[tap], np.abs(seen).max(axis=axes))
            means[tap] = means[tap] + seen.mean(axis=axes) * share
    return Statistics(peaks, means)


def describe(samples: Samples, source: str, spec: ModelSpec) -> Calibration:
    """The record of calibration images for the manifest."""
    labels = None
    if samples.labels is not None:
        names = spec.labels
        labels = {n: int(np.count_nonzero(samples.labels == i)) for i, n in enumerate(names)}
    digest = sha256("\n".join(sorted(samples.hashes())).encode())
    return Calibration(source, len(samples.pixels), digest, labels)


def refuse_overlap(calibration: Samples, scored: Samples, what: str) -> None:
    """Refuse to calibrate on images that are also scored: the figures would flatter.

    Raises:
        DataError: an image occurs on both sides, pixel by pixel.
    """
    known = set(calibration.hashes())
    both = [i for i, digest in enumerate(scored.hashes()) if digest in known]
    if both:
        name = f" ({scored.names[both[0]]})" if scored.names else ""
        raise DataError(
            f"{len(both)} calibration images are also among {what}{name}; ranges fitted to an "
            "image flatter its figures, take them out on one side"
        )
