"""Which artifact and engine a machine runs where nothing was measured: the one rule.

The order is the manifest's, except that

- a file with a heat map comes last, since it costs time that was not asked for;
- on arm64, integer files on LiteRT come first. Published times of a Raspberry Pi 5 are about 200
  billion multiply-adds a second for XNNPACK's 8-bit kernels and 50 for onnxruntime's, and on a
  Raspberry Pi 4 8-bit kernels of XNNPACK are 2.7 times as fast as its float32 ones.

``cxr-edge tune`` measures, and its profile overrules this.
"""

from __future__ import annotations

from collections.abc import Iterable

from cxr_edge.bundle.manifest import ArtifactRecord
from cxr_edge.device.machine import is_arm64

Pair = tuple[ArtifactRecord, str]
"""An artifact and the name of an engine that it was proven on."""


def in_order_of_preference(artifacts: Iterable[ArtifactRecord]) -> list[Pair]:
    """Every artifact with each engine that it was proven on, installed or not, the best first."""
    pairs = [(artifact, record.engine) for artifact in artifacts for record in artifact.engines]
    arm64 = is_arm64()

    def rank(pair: Pair) -> tuple[bool, bool]:
        artifact, engine = pair
        is_fastest_kind = engine == "litert" and artifact.precision.startswith("int8")
        return artifact.has_heatmap, not (arm64 and is_fastest_kind)

    return sorted(pairs, key=rank)
