"""Prove on this device that every artifact makes the same decisions as the original model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cxr_edge.bundle.embedded import Embedded, read_embedded
from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.bundle.manifest import ArtifactRecord, EngineRecord, Parity
from cxr_edge.bundle.parity import compare, holds
from cxr_edge.bundle.reader import Bundle
from cxr_edge.engines import installed_engines, suits
from cxr_edge.errors import EngineError
from cxr_edge.preprocess import normalize

Outcome = Literal["proven", "not-installed", "not-for-this-cpu", "failed"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one artifact on one engine."""

    artifact: str
    """Name of the artifact."""
    engine: str
    """Name of the engine."""
    outcome: Outcome
    """``proven``: within the tolerance and no decision changed, here and now."""
    tolerance: float
    """Largest |difference| of an output accepted, 0..1."""
    parity: Parity | None
    """What was measured; None where nothing could be."""
    reason: str
    """Why it failed or was not run; empty when proven."""


def verify(bundle: Bundle) -> Iterator[Verdict]:
    """Hash every file, then replay the golden inputs on every artifact and installed engine.

    Raises:
        BundleError: a file is absent or changed.
    """
    for file in bundle.manifest.files:
        bundle.read(file)
    golden = bundle.golden()
    for artifact in bundle.manifest.artifacts:
        for record in artifact.engines:
            yield replay_golden(bundle, golden, artifact, record)


def replay_golden(
    bundle: Bundle,
    golden: GoldenSet,
    artifact: ArtifactRecord,
    record: EngineRecord,
    *,
    threads: int = 1,
) -> Verdict:
    """Replay the golden inputs on one artifact and engine.

    Args:
        bundle: holds the artifact.
        golden: its golden inputs and the original model's scores.
        artifact: the file.
        record: the engine, and how far it may differ.
        threads: threads for one inference.

    Raises:
        BundleError: the file is absent or changed.
    """
    tolerance, spec = record.tolerance, bundle.manifest.spec

    def verdict(outcome: Outcome, reason: str, parity: Parity | None = None) -> Verdict:
        return Verdict(artifact.name, record.engine, outcome, tolerance, parity, reason)

    if record.engine not in installed_engines():
        return verdict("not-installed", "the engine is not installed")
    if not suits(artifact.target):
        reason = f"made for {artifact.target}: this CPU would saturate its sums"
        return verdict("not-for-this-cpu", reason)
    try:
        _check_embedded(bundle, artifact)
        batch = normalize(golden.pixels, spec.input)
        scores = bundle.load(artifact, record.engine, threads=threads).run(batch)
        parity = compare(golden.scores, scores, spec)
    except EngineError as err:
        return verdict("failed", str(err))
    if not holds(parity, tolerance):
        reason = (
            f"max |Δ| {parity.max_abs_delta:.1e}, allowed {tolerance:.0e}; "
            f"{parity.flips} of {parity.inputs} decisions changed"
        )
        return verdict("failed", reason, parity)
    return verdict("proven", "", parity)


def _check_embedded(bundle: Bundle, artifact: ArtifactRecord) -> None:
    """Refuse a file that was made from another model or for another spec.

    Raises:
        EngineError: its metadata differs from the manifest.
    """
    manifest = bundle.manifest
    embedded = read_embedded(bundle.read(artifact.file), artifact.format)
    if embedded != Embedded(manifest.keras.sha256, manifest.spec):
        raise EngineError("its metadata says that it was made from another model or spec")
