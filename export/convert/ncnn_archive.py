"""A .ncnn file put together: its layers as text, its weights as ncnn reads them, its members."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cxr_edge.engines.ncnn_file import FLOAT16, FLOAT32, MEMBERS
from cxr_edge.engines.ncnn_params import Params
from cxr_edge.errors import ExportError
from cxr_edge.export.graph.graph import Weights

_LARGEST_FLOAT16 = 65504.0


@dataclass(frozen=True, slots=True)
class NcnnLayer:
    """A line of the list of layers, and its weights."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    output: str
    params: Params
    weights: tuple[Weights, ...] = ()
    flagged: bool = False
    """Whether the first array says how it is stored."""

    def line(self, outputs: tuple[str, ...] = ()) -> str:
        """The layer as ncnn reads it; ``outputs``: its blobs, where they are several."""
        names = outputs or (self.output,)
        words = [_word(number, value) for number, value in self.params.items()]
        counts = len(self.inputs), len(names)
        return " ".join([self.kind, self.name, *map(str, counts), *self.inputs, *names, *words])


def pack_ncnn(members: Mapping[str, bytes | memoryview]) -> bytes:
    """Make a ``.ncnn`` file of its members; the same ones give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in MEMBERS:
            archive.writestr(zipfile.ZipInfo(name), bytes(members[name]))
    return buffer.getvalue()


def _word(number: int, value: float | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return ",".join([f"{-23300 - number}={len(value)}", *(f"{each:.8e}" for each in value)])
    return f"{number}={value:.8e}" if isinstance(value, float) else f"{number}={value}"


def stored_weights(layer: NcnnLayer, precision: str) -> bytes:
    """The weights of a layer as ncnn reads them."""
    parts = []
    for number, weights in enumerate(layer.weights):
        if not (layer.flagged and number == 0):
            parts.append(weights.astype("<f4").tobytes())
        elif precision == "fp32":
            parts += [FLOAT32.to_bytes(4, "little"), weights.astype("<f4").tobytes()]
        else:
            if not np.abs(weights).max() <= _LARGEST_FLOAT16:
                raise ExportError(f"weights of the layer {layer.name} are too large for 16 bits")
            data = weights.astype("<f2").tobytes()
            parts += [FLOAT16.to_bytes(4, "little"), data, b"\0" * (-len(data) % 4)]
    return b"".join(parts)
