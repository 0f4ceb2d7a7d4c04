"""Grad-CAM by automatic differentiation: the reference for the heat maps of exported models."""

from __future__ import annotations

from typing import Any

import numpy as np

from cxr_edge.decision import Scores
from cxr_edge.engines import Heatmaps
from cxr_edge.export.graph.graph import build_model
from cxr_edge.export.graph.heatmap import find_tail, log_odds
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.extras import require_tensorflow
from cxr_edge.preprocess import Pixels, normalize
from cxr_edge.spec import ModelSpec

_CHUNK = 32


def differentiate(model: Any, pixels: Pixels, spec: ModelSpec) -> tuple[Scores, Heatmaps]:
    """Compute scores and Grad-CAM of the network as it was trained: not lowered, no closed form.

    Args:
        model: the original ``keras.Model``.
        pixels: (N, height, width, channels) uint8.
        spec: the range of the input, and the positive label.

    Returns:
        (N, spec.outputs) scores, so that the caller can check them against the model's own, and
        (N, rows, columns) maps.

    Raises:
        ExportError: Grad-CAM of this network has no closed form.
    """
    _, tensorflow = require_tensorflow("export")
    graph = read_graph(model)
    tail = find_tail(graph, spec)
    network = build_model(graph, [tail.features, tail.logits])
    signs = log_odds(spec).astype(np.float32)
    chunks = []
    for start in range(0, len(pixels), _CHUNK):
        batch = tensorflow.constant(normalize(pixels[start : start + _CHUNK], spec.input))
        with tensorflow.GradientTape() as tape:
            tape.watch(batch)
            scores, features, logits = network(batch, training=False)
            evidence = tensorflow.reduce_sum(tensorflow.cast(logits, signs.dtype) * signs, axis=-1)
        alpha = np.asarray(tape.gradient(evidence, features), np.float64).mean(axis=(1, 2))
        maps = np.einsum("nyxc,nc->nyx", np.asarray(features, np.float64), alpha)
        chunks.append((np.asarray(scores, np.float32), maps.clip(min=0).astype(np.float32)))
    all_scores, all_maps = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    return all_scores, all_maps
