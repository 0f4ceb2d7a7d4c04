"""The files that an export can write: how each is made, and how far it may differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cxr_edge.engines import Format
from cxr_edge.export.onnx_file import export_onnx
from cxr_edge.export.tflite_file import export_tflite
from cxr_edge.names import unknown_name
from cxr_edge.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class ArtifactKind:
    """One kind of exported file."""

    name: str
    """What options and results call it."""
    format: Format
    """The kind of file."""
    precision: str
    """Type of weights and arithmetic."""
    dynamic_batch: bool
    """Whether it takes any number of images a call."""
    tolerance: float
    """Largest |difference| of an output from the original model's, 0..1."""
    convert: Callable[[Any, ModelSpec], bytes]
    """From a Keras model to the file."""
    about: str
    """What it is for, one line."""


KINDS = {
    kind.name: kind
    for kind in (
        ArtifactKind(
            "onnx-fp32",
            "onnx",
            "fp32",
            False,
            1e-5,
            lambda model, spec: export_onnx(model, spec, dynamic_batch=False),
            "one image a call, float32",
        ),
        ArtifactKind(
            "onnx-fp32-batch",
            "onnx",
            "fp32",
            True,
            1e-5,
            lambda model, spec: export_onnx(model, spec, dynamic_batch=True),
            "any number of images a call, float32",
        ),
        ArtifactKind(
            "tflite-fp32",
            "tflite",
            "fp32",
            False,
            5e-5,
            export_tflite,
            "one image a call, float32, for LiteRT",
        ),
    )
}
"""Every kind by name, the preferred one first."""


def find_kinds(names: tuple[str, ...]) -> tuple[ArtifactKind, ...]:
    """The kinds of these names, in the order of preference, each once; no names: all.

    Raises:
        UsageError: a name is unknown; the message names the nearest one.
    """
    for name in names:
        if name not in KINDS:
            raise unknown_name("artifact", name, KINDS)
    return tuple(kind for kind in KINDS.values() if not names or kind.name in names)
