"""What ``--format json`` prints: one dataclass a document, named and versioned by its ``schema``.

``docs/json.md`` describes them for users. A version rises when a key changes its meaning or goes
away. Predictions, which are printed one by one, are in ``formats``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cxr_edge import documents
from cxr_edge.files import printable

if TYPE_CHECKING:
    from cxr_edge.bundle.manifest import ArtifactRecord, GoldenRecord, Provenance
    from cxr_edge.bundle.verify import Outcome
    from cxr_edge.device.startup import ProcessStart, StartPart
    from cxr_edge.metrics.evaluation import Evaluation, Spread
    from cxr_edge.spec import ModelSpec

Format = Literal["table", "json"]

INFO = "cxr-edge.info/1"
VERIFY = "cxr-edge.verify/1"
DOCTOR = "cxr-edge.doctor/1"
TUNE = "cxr-edge.tune/1"
EVALUATE = "cxr-edge.evaluate/1"
ERROR = "cxr-edge.error/1"


@dataclass(frozen=True, slots=True)
class InfoDocument:
    """What a bundle is."""

    schema: str
    bundle: str
    """Its folder as it was given; ``the bundled reference`` without one."""
    format: str
    """Version of the bundle format."""
    sha256: str
    """Hash of its manifest."""
    notice: str
    """What the model must not be used for."""
    spec: ModelSpec
    artifacts: tuple[ArtifactRecord, ...]
    """Exported files, the preferred one first; :mod:`cxr_edge.bundle.preference` has the rule."""
    golden: GoldenRecord
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Check:
    """One artifact on one engine."""

    artifact: str
    file: str
    engine: str
    outcome: Outcome
    allowed: float
    """Largest |difference| of an output accepted, 0..1."""
    max_abs_delta: float | None
    """Measured; null: nothing was."""
    mean_abs_delta: float | None
    flips: int | None
    inputs: int | None
    reason: str
    """Why it failed or was not run; empty when proven."""


@dataclass(frozen=True, slots=True)
class VerifyDocument:
    """Whether a bundle works on this machine."""

    schema: str
    bundle: str
    ok: bool
    """Whether at least one file was proven and none failed; the exit code is 0."""
    error: str | None
    """Type of the error; null: ``ok``."""
    message: str | None
    """One line; null: ``ok``."""
    checks: tuple[Check, ...]
    """Those made before an error."""
    card_is_current: bool | None
    """Whether MODEL_CARD.md is what the manifest says; null: the bundle could not be opened."""
    unlisted: tuple[str, ...]
    """Files in the folder that the manifest does not list."""
    signed_for: str | None
    """The public key that the bundle is signed for; null: none was asked for, or the bundle could
    not be opened."""


@dataclass(frozen=True, slots=True)
class TunedChoice:
    """What ``cxr-edge tune`` chose for a bundle on this machine."""

    artifact: str
    engine: str
    threads: int
    p50_ms: float
    """Median time of one inference."""
    load_average: float | None
    """Of the machine before the timing; null: unknown."""
    profile: str
    """File that it is stored in."""


@dataclass(frozen=True, slots=True)
class DoctorDocument:
    """This machine and installation."""

    schema: str
    bundle: str
    processor: str
    architecture: str
    instructions: tuple[str, ...]
    cpus: int
    """CPUs that this process may use."""
    sums_8bit: Literal["exact", "saturate"] | None
    """null: unknown."""
    python: str
    engines: dict[str, str | None]
    """Engine → version; null: not installed."""
    extras: dict[str, bool]
    """Extra → whether it is installed."""
    tuned: TunedChoice | None
    """null: not yet."""
    advice: tuple[str, ...]
    startup: tuple[ProcessStart, ...] | None
    """null: not asked for (``--startup``)."""
    startup_parts: tuple[StartPart, ...] | None
    """A prediction in parts; null: as above."""


@dataclass(frozen=True, slots=True)
class TimedCandidate:
    """One way to run a bundle."""

    artifact: str
    engine: str
    threads: int
    outcome: Outcome
    reason: str
    bytes: int
    """Size of the model file."""
    p50_ms: float | None
    """null: not timed."""
    p90_ms: float | None
    max_abs_delta: float | None
    mean_abs_delta: float | None


@dataclass(frozen=True, slots=True)
class TuneDocument:
    """The candidates and the choice among them."""

    schema: str
    bundle: str
    chosen: TunedChoice | None
    """null: no candidate passes the parity check, or the choice was deleted (``--forget``)."""
    candidates: tuple[TimedCandidate, ...]
    warnings: tuple[str, ...]
    """What makes the times less trustworthy, such as a busy machine."""


@dataclass(frozen=True, slots=True)
class EvaluatedModel:
    """One model on the images."""

    why_useless: str | None
    """One sentence if it is worth nothing on these images; null: it is of some use."""
    evaluation: Evaluation
    """As a part of evaluation.json."""


@dataclass(frozen=True, slots=True)
class EvaluateDocument:
    """Every evaluated model on the same images."""

    schema: str
    models: dict[str, EvaluatedModel]
    """Run → its evaluation; for one model its name."""
    one_recipe: bool | None
    """Whether all runs have one recipe, so that their spread is chance; null: one model."""
    spread: dict[str, Spread] | None
    """Figure → its values over several models; null: one model."""


@dataclass(frozen=True, slots=True)
class ErrorDocument:
    """Why a command has no other document."""

    schema: str
    error: str
    """Type of the error."""
    message: str
    """One line, as on stderr."""
    exit_code: int
    """What the command exits with."""


Document = (
    InfoDocument | VerifyDocument | DoctorDocument | TuneDocument | EvaluateDocument | ErrorDocument
)


def bundle_name(folder: Path | None) -> str:
    """What a document calls a bundle."""
    return printable(folder) if folder else "the bundled reference"


def print_document(document: Document) -> None:
    """Write a document to stdout."""
    sys.stdout.write(documents.dump(document).decode())
