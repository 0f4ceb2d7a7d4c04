"""What every operation of an ONNX file takes: ``python benchmarks/operations.py FILE.onnx``.

onnxruntime's own profiler, one thread, 300 inferences of a grey image, in the order of their time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from arguments import paths

from cxr_edge.benchmark.layers import slowest_operations
from cxr_edge.bundle.embedded import read_embedded
from cxr_edge.preprocess import normalize


def main(file: Path) -> None:
    """Print a table."""
    data = file.read_bytes()
    spec = read_embedded(data, "onnx").spec.input
    pixels = np.random.default_rng(0).integers(0, 256, (1, spec.height, spec.width, spec.channels))
    batch = normalize(pixels.astype(np.uint8), spec)
    operations = slowest_operations(data, batch, runs=300, most=10_000)
    for operation in operations:
        print(f"{operation.ms * 1e3:8.1f} us {operation.share:6.1%}  {operation.name}")
    print(f"{sum(operation.ms for operation in operations) * 1e3:8.1f} us in all")


if __name__ == "__main__":
    main(*paths(__doc__, "FILE.onnx"))
