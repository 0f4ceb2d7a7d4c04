"""What the runtime's fast decoding of JPEGs changes, and so whether it is a bundle's default."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cxr_edge.bundle.parity import compare
from cxr_edge.bundle.proofs import DecodingRecord, Parity
from cxr_edge.decision import Scores
from cxr_edge.engines import open_engine
from cxr_edge.export.decisions import auc_drop
from cxr_edge.export.drafts import BuiltArtifact
from cxr_edge.export.gate import ParityImages
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.preprocess import Pixels, normalize
from cxr_edge.spec import ModelSpec


@dataclass(frozen=True, slots=True, eq=False)
class FastReading:
    """The images of ``--data`` as the runtime's fast decoding reads them."""

    images: ParityImages
    """The images read exactly, with the original model's scores."""
    pixels: Pixels
    """The same images read by fast decoding."""
    scores: Scores
    """(N, spec.outputs) float32, the original's for ``pixels``."""

    @property
    def changed(self) -> int:
        """How many images differ in a pixel."""
        differs = self.pixels != self.images.samples.pixels
        return int(differs.any(axis=(1, 2, 3)).sum())


FastParity = dict[tuple[str, str], Parity]
"""Parity of what runs by default, an artifact on an engine with fast decoding, to the original
model with exact decoding; by the names of both."""


def prove_decoding(
    reading: FastReading, artifacts: Sequence[BuiltArtifact], budget: Budget, spec: ModelSpec
) -> tuple[DecodingRecord, FastParity]:
    """Measure fast decoding on every engine, and choose the bundle's default by the budget.

    Decoding and quantization together must keep the budget, since they run together.

    Args:
        reading: the images, read both ways.
        artifacts: files that passed the gate.
        budget: how much scores and decisions may change; for float32 files as well.
        spec: the contract.
    """
    images = reading.images
    parities: FastParity = {}
    excesses = []
    if reading.changed:
        for name, engine, scores in _scores(reading, artifacts, spec):
            parity = compare(images.scores, scores, spec)
            parities[name, engine] = parity
            drop = auc_drop(images.scores, scores, images.samples.labels, spec)
            if excess := budget.excess(parity, drop):
                excesses.append(f"{name} on {engine}: {excess}")
    record = DecodingRecord(
        default="exact" if excesses else "fast",
        images=len(reading.pixels),
        changed=reading.changed,
        original=compare(images.scores, reading.scores, spec),
        reason=excesses[0] if excesses else "",
    )
    return record, parities


def _scores(
    reading: FastReading, artifacts: Sequence[BuiltArtifact], spec: ModelSpec
) -> Iterator[tuple[str, str, Scores]]:
    """Each artifact's name and engine with its scores for the images read by fast decoding."""
    batch = normalize(reading.pixels, spec.input)
    for artifact in artifacts:
        kind = artifact.kind
        for proof in (proof for proof in artifact.proofs if not proof.emulated):
            engine = open_engine(proof.engine, artifact.data, spec, outputs=kind.outputs)
            yield kind.name, proof.engine, engine.run(batch)
