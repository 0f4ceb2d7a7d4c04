"""``export-report.json``: what an export tried, took and measured; it stays outside the bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cxr_edge.bundle.manifest import NOTICE, Calibration
from cxr_edge.export.gate import EngineProof
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.quantize.search import Trial

REPORT_FORMAT = "1.0"
"""Version of the report's form."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Time of one inference here, one thread, in rounds with the other files."""

    p50_ms: float
    """Median, milliseconds."""
    of_stock: float
    """Median of the ratio to the original network's unchanged float32 ONNX in the same round."""


@dataclass(frozen=True, slots=True)
class ArtifactReport:
    """One file."""

    name: str
    """What options and results call it."""
    bytes: int
    """Size."""
    budget: Budget
    """What it was allowed to change."""
    trials: tuple[Trial, ...]
    """Recipes tried, in order; empty: nothing was searched."""
    taken: int | None
    """Which of them was taken; null: nothing was searched."""
    why: str
    """Why that one."""
    proofs: tuple[EngineProof, ...]
    """What it was shown to do, on each engine."""
    speed: Speed
    """On its preferred engine."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """From files to the network's input, apart from the model."""

    images: int
    """Files read again as a device reads them."""
    max_abs_levels: int
    """Largest |difference| from the pixels that the original model was given, 0..255."""
    max_abs_delta: float
    """Largest |difference| of the original model's scores that this causes, 0..1."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Everything about one export."""

    format: str
    """Version of this form."""
    notice: str
    """What the model must not be used for."""
    proves: str
    """Whether decisions on labelled images were proven, or numbers on drawn inputs only."""
    chosen_on: str
    """The images that recipes were chosen on."""
    calibration: Calibration | None
    """The images that ranges were measured on; null: none were needed."""
    preprocessing: Preprocessing | None
    """Null: no files were given."""
    lowered: str
    """What the rewrite of the network did."""
    artifacts: tuple[ArtifactReport, ...]
    """The files, the preferred one first."""


def report_path(out: Path) -> Path:
    """Where the report of a bundle goes: beside its folder."""
    return out.with_name(f"{out.name}.export-report.json")


def make_report(
    *,
    chosen_on: str,
    calibration: Calibration | None,
    preprocessing: Preprocessing | None,
    lowered: str,
    artifacts: tuple[ArtifactReport, ...],
) -> ExportReport:
    """Put a report together."""
    on_data = [p for a in artifacts for e in a.proofs for n, p in e.found.items() if n == "data"]
    if not on_data:
        proves = "numbers on drawn inputs only: no images were given, so no decisions on patients"
    elif any(p.labelled for p in on_data):
        proves = f"decisions on {on_data[0].parity.inputs} labelled images"
    else:
        proves = f"decisions on {on_data[0].parity.inputs} images without labels"
    return ExportReport(
        REPORT_FORMAT,
        NOTICE,
        proves,
        chosen_on,
        calibration,
        preprocessing,
        lowered,
        artifacts,
    )
