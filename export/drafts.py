"""A file on its way into a bundle: built, then proven."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_edge.bundle.manifest import Quantization
from cxr_edge.export.artifacts import ArtifactKind
from cxr_edge.export.gate import EngineProof
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.quantize.trials import Trial
from cxr_edge.export.report import ArtifactReport, Speed


@dataclass(frozen=True, slots=True)
class Draft:
    """A file before it is proven."""

    kind: ArtifactKind
    data: bytes
    budget: Budget
    """How far it may differ from the original."""
    quantization: Quantization | None = None
    """How it was quantized; None: it was not."""
    trials: tuple[Trial, ...] = ()
    """Recipes that were tried; empty: nothing was searched."""
    taken: int | None = None
    """Index of the trial that made it; None: nothing was searched."""


@dataclass(frozen=True, slots=True)
class BuiltArtifact:
    """A file that passed the gate."""

    kind: ArtifactKind
    data: bytes
    budget: Budget
    """How far it may differ from the original."""
    tolerance: float
    """Largest |difference| of an output that is accepted on golden inputs, 0..1."""
    proofs: tuple[EngineProof, ...]
    """Its parity on each engine."""
    quantization: Quantization | None = None
    """How it was quantized; None: it was not."""
    trials: tuple[Trial, ...] = ()
    """Recipes that were tried; empty: nothing was searched."""
    taken: int | None = None
    """Index of the trial that made it; None: nothing was searched."""

    def report(self, speed: Speed) -> ArtifactReport:
        """Its part of the export report."""
        why = "converted without a choice to make"
        if self.taken is not None:
            held = sum(not trial.excess for trial in self.trials)
            why = (
                f"of the {held} recipes within the budget the one with the fewest layers in "
                "float32, then the smallest mean difference"
            )
        return ArtifactReport(
            self.kind.name,
            len(self.data),
            self.budget,
            self.trials,
            self.taken,
            why,
            self.proofs,
            speed,
        )
