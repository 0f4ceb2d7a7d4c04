"""Prove on this device that every artifact makes the same decisions as the original model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cxr_edge.bundle.embedded import Embedded, read_embedded
from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.bundle.manifest import ArtifactRecord
from cxr_edge.bundle.parity import compare, compare_near, holds
from cxr_edge.bundle.proofs import EngineRecord, Parity
from cxr_edge.bundle.reader import Bundle
from cxr_edge.engines import installed_engines, why_unsuited
from cxr_edge.errors import EngineError, MissingExtraError, ParityError
from cxr_edge.files import PathLike
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
    """``proven``: within the tolerance and no decision changed, here and now; see
    :mod:`cxr_edge.bundle.parity`."""
    tolerance: float
    """Largest |difference| of an output accepted, 0..1."""
    parity: Parity | None
    """What was measured; None where nothing could be."""
    reason: str
    """Why it failed or was not run; empty when proven."""


def verify_bundle(
    bundle: PathLike | None = None, *, key: PathLike | None = None
) -> tuple[Verdict, ...]:
    """Check on this machine that every exported model makes the same decisions as the original.

    Checks the hash of every file, then runs the golden inputs through every model file on every
    installed engine and compares the scores with the Keras model's. Needs no TensorFlow.

    Args:
        bundle: folder of an export; None: the bundled reference.
        key: file of the public key that the bundle must be signed for; None: it need not be signed.

    Returns:
        A verdict for each file and engine, none of them ``failed`` and at least one ``proven``;
        the others were not run, and say why.

    Raises:
        BundleError: a file is absent or changed, or the bundle is not signed for ``key``.
        UsageError: ``key`` is no public key.
        ParityError: a file's decisions or scores differ from the original's.
        MissingExtraError: nothing could be checked, because an engine is not installed.
        EngineError: nothing could be checked, because no file is made for this CPU.
    """
    opened = Bundle.open(bundle, key=key)
    verdicts = tuple(replay_bundle(opened))
    require_proven(verdicts, opened)
    return verdicts


def require_proven(verdicts: Sequence[Verdict], bundle: Bundle) -> None:
    """Raise unless a file was proven and none failed.

    Raises:
        ParityError: a file failed.
        MissingExtraError: nothing was proven, and an engine is not installed.
        EngineError: nothing was proven, and no file is made for this CPU.
    """
    if failed := [verdict for verdict in verdicts if verdict.outcome == "failed"]:
        first = failed[0]
        file = bundle.artifact(first.artifact).file.file
        more = f"; {len(failed) - 1} more failed" if len(failed) > 1 else ""
        raise ParityError(f"{file}: {first.artifact} on {first.engine}: {first.reason}{more}")
    if any(verdict.outcome == "proven" for verdict in verdicts):
        return
    unsuited = list(dict.fromkeys(v.artifact for v in verdicts if v.outcome == "not-for-this-cpu"))
    missing = list(dict.fromkeys(v.engine for v in verdicts if v.outcome == "not-installed"))
    reasons = []
    if unsuited:
        verb = "is" if len(unsuited) == 1 else "are"
        reasons.append(f"{', '.join(unsuited)} {verb} not made for this CPU")
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        reasons.append(f"{', '.join(missing)} {verb} not installed")
    message = f"nothing could be checked: {' and '.join(reasons)}; see 'cxr-edge doctor'"
    raise MissingExtraError(message) if missing else EngineError(message)


def replay_bundle(bundle: Bundle) -> Iterator[Verdict]:
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
    if unsuited := why_unsuited(artifact.target):
        return verdict("not-for-this-cpu", f"made for {artifact.target}: {unsuited}")
    try:
        _check_embedded(bundle, artifact)
        loaded = bundle.load(artifact, record.engine, threads=threads)
        scores = loaded.run(normalize(golden.pixels, spec.input))
        parity = compare(golden.scores, scores, spec)
        near = golden.near and compare_near(
            golden.near.scores, loaded.run(normalize(golden.near.pixels, spec.input)), spec
        )
    except EngineError as err:
        return verdict("failed", str(err))
    if not holds(parity, tolerance):
        reason = (
            f"max |Δ| {parity.max_abs_delta:.1e}, allowed {tolerance:.0e}; "
            f"{parity.flips} of {parity.inputs} decisions changed"
        )
        return verdict("failed", reason, parity)
    if near and (excess := near.excess(tolerance)):
        return verdict("failed", f"{excess}, on {near.inputs} inputs near a decision", parity)
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
