"""What an export is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cxr_edge.bundle.manifest import Provenance
from cxr_edge.data.patients import Grouping, kermany_patient
from cxr_edge.data.samples import Samples
from cxr_edge.domain import Domain
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class OriginalModel:
    """The model that every exported file must answer like."""

    data: bytes
    """The ``.keras`` file."""
    spec: ModelSpec
    """Its contract."""
    provenance: Provenance
    """Where it comes from."""
    name: str
    """What messages call it."""
    calibration: Samples | None = None
    """Images that came with it, to calibrate on."""
    calibration_source: str = ""
    """Where those come from."""
    carries_calibration: bool = False
    """Whether those are nobody's picture, so that the bundle may carry them."""
    validation: Samples | None = None
    """Images that came with it, to choose recipes by."""
    domain: Domain | None = None
    """What its training images look like."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Images and limits of one export."""

    calibration: Path | None = None
    """Folder of images to measure activation ranges on; None: those that came with the model,
    or images distilled from the network."""
    validation: Path | None = None
    """Folder of images to choose recipes by; None: those that came with the model, or drawn
    inputs."""
    data: Path | None = None
    """Folder of images to prove the chosen files on; None: golden inputs only."""
    budget: Budget = field(default_factory=Budget)
    """How much a quantized file may change."""
    thorough: bool = False
    """Whether the search goes on when a recipe holds the budget."""
    distill: bool = False
    """Whether the bundle gets calibration images of its own, distilled from the network."""
    named: frozenset[str] = frozenset()
    """Files that were asked for by name: one that the network does not allow ends the export,
    where another is replaced and the reporter told."""
    group_of: Grouping = kermany_patient
    """Which images show the same patient."""
