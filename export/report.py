"""``export-report.json``: what an export tried, chose and measured. It is not in the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_edge import documents
from cxr_edge.bundle.manifest import NOTICE, Calibration
from cxr_edge.bundle.proofs import DecodingRecord
from cxr_edge.export.gate import EngineProof
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.quantize.trials import Trial

REPORT_FORMAT = "2.1"
"""Version of the report's schema. 2.1 added ``failed``, ``useless``, ``golden`` and the reason of a
missing time."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Time of one inference on this machine, one thread, timed in turn with the other files."""

    p50_ms: float | None
    """Median, milliseconds; null: it could not be measured."""
    of_stock: float | None
    """Median ratio to the original network's float32 ONNX, not lowered, in the same round; null:
    one of them could not be timed."""
    why: str = documents.since("2.1", "")
    """Why something could not be measured; empty: everything was."""


@dataclass(frozen=True, slots=True)
class ArtifactReport:
    """One exported file."""

    name: str
    """Its name in options and results."""
    bytes: int
    """Size of the file."""
    budget: Budget
    """How much it was allowed to change."""
    trials: tuple[Trial, ...]
    """Recipes that were tried, in order; empty: nothing was searched."""
    taken: int | None
    """Index of the trial that made the file; null: nothing was searched."""
    why: str
    """Why that trial was taken."""
    proofs: tuple[EngineProof, ...]
    """Its parity on each engine."""
    speed: Speed
    """On its preferred engine."""


@dataclass(frozen=True, slots=True)
class FailedArtifact:
    """A file that was asked for and is not in the bundle."""

    name: str
    """Its name in options and results."""
    named: bool
    """Whether it was asked for by name, not as one of a set such as ``--int8``."""
    why: str
    """What was found, and what may help: one line, at most 300 characters."""
    trials: tuple[Trial, ...]
    """Recipes that were tried, in order; empty: nothing was searched."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Everything about one export."""

    format: str
    """Version of this schema."""
    notice: str
    """What the model must not be used for."""
    proves: str
    """What parity was measured on: labelled images, or drawn inputs only."""
    chosen_on: str | None
    """The images that recipes were chosen by, and how many; null: no file needed a choice."""
    calibration: Calibration | None
    """The images that ranges were measured on; null: none were needed."""
    lowered: str
    """What lowering did to the network."""
    artifacts: tuple[ArtifactReport, ...]
    """The files, the preferred one first."""
    failed: tuple[FailedArtifact, ...] = documents.since("2.1", ())
    """Files that were asked for and are not in the bundle."""
    golden: str = documents.since("2.1", "")
    """What the golden inputs are."""
    useless: str | None = documents.since("2.1", None)
    """Why the original model is of no use on labelled images; null: it is, or nobody knows."""
    decoding: DecodingRecord | None = documents.since("2.1", None)
    """What fast decoding changes; null: there was no ``--data``."""


def report_path(out: Path) -> Path:
    """The report's path: beside the bundle's folder."""
    return out.with_name(f"{out.name}.export-report.json")


def make_report(
    *,
    chosen_on: str | None,
    by_user: bool = False,
    calibration: Calibration | None,
    lowered: str,
    artifacts: Sequence[ArtifactReport],
    failed: Sequence[FailedArtifact],
    golden: str,
    useless: str | None,
    decoding: DecodingRecord | None,
) -> ExportReport:
    """Assemble a report; see :class:`ExportReport` for the fields.

    ``by_user``: whether the images of ``chosen_on`` are the user's, not drawn ones.
    """
    on_data = [
        proof.decisions["data"]
        for artifact in artifacts
        for proof in artifact.proofs
        if "data" in proof.decisions
    ]
    if not on_data:
        proves = "numbers on drawn inputs only"
        if chosen_on and by_user:
            proves += f" (the {chosen_on} chose the recipes, so they prove nothing)"
        proves += "; --data IMAGES compares decisions on real ones"
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
        lowered,
        tuple(artifacts),
        tuple(failed),
        golden,
        useless,
        decoding,
    )
