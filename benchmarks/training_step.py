"""Seconds a training step takes with Keras's batch normalization and with the fused one.

bfloat16 only where the CPU multiplies it. ``TF_ENABLE_ONEDNN_OPTS=0`` in front shows what oneDNN
saves; TensorFlow's own default without VNNI is 0.

python benchmarks/training_step.py
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from cxr_edge.extras import require_keras
from cxr_edge.train.fitting.network import build_network
from cxr_edge.train.recipe import ROBUST

keras = require_keras("train")

BATCH = 32
STEPS = 12


def compiled(normalization: Any, precision: str) -> Any:
    """The reference network, ready to train."""
    network = build_network(ROBUST.spec, precision=precision, normalization=normalization)
    network.compile(optimizer=keras.optimizers.AdamW(), loss=keras.losses.BinaryCrossentropy())
    return network


def main() -> None:
    """Time the variants in turn and print the median of each."""
    from cxr_edge.train.fitting.fit import choose_precision
    from cxr_edge.train.fitting.normalization import FusedBatchNormalization

    kinds = {"Keras": keras.layers.BatchNormalization, "fused": FusedBatchNormalization}
    precisions = dict.fromkeys((choose_precision("bfloat16 where fast"), "float32"))
    networks = {
        (name, precision): compiled(kind, precision)
        for name, kind in kinds.items()
        for precision in precisions
    }
    random = np.random.default_rng(0)
    images = random.random((BATCH, *ROBUST.spec.input_shape), np.float32)
    targets = random.integers(0, 2, (BATCH, 1)).astype(np.float32)
    times: dict[tuple[str, str], list[float]] = {key: [] for key in networks}
    for step in range(2 + STEPS):
        for key, network in networks.items():
            start = time.perf_counter()
            network.train_on_batch(images, targets)
            if step >= 2:
                times[key].append(time.perf_counter() - start)
    for (name, precision), seconds in times.items():
        print(f"{name:6} {precision:15} {statistics.median(seconds):.3f} s")


if __name__ == "__main__":
    main()
