"""Which arithmetic a training uses on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cxr_edge.extras import require_keras

keras = require_keras("train")

_CPU = Path("/proc/cpuinfo")
_FLAGS = ("avx512_bf16", "amx_bf16")


def choose_precision(wanted: Literal["float32", "bfloat16 where fast"]) -> str:
    """Keras's name for the arithmetic: ``float32`` or ``mixed_bfloat16``.

    16-bit numbers are taken only where TensorFlow's CPU kernels multiply them in hardware; there an
    epoch takes a fifth less. Elsewhere they are slower than float32, or not supported.
    """
    if wanted == "float32" or keras.backend.backend() != "tensorflow":
        return "float32"
    try:
        flags = _CPU.read_text().split()
    except OSError:  # no Linux: then no way to know
        return "float32"
    return "mixed_bfloat16" if any(flag in flags for flag in _FLAGS) else "float32"
