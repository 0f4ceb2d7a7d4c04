"""The gate: no file is written that does not answer like the original model."""

from __future__ import annotations

from collections.abc import Mapping

from cxr_edge.bundle import Golden
from cxr_edge.engines import ENGINES, installed_engines, open_engine
from cxr_edge.errors import EngineError, MissingExtraError, ParityError
from cxr_edge.export.artifacts import ArtifactKind
from cxr_edge.manifest import EngineRecord, Parity
from cxr_edge.parity import compare, holds
from cxr_edge.preprocess import normalize
from cxr_edge.spec import ModelSpec


def prove(
    data: bytes, kind: ArtifactKind, proofs: Mapping[str, Golden], spec: ModelSpec
) -> tuple[EngineRecord, ...]:
    """Compare one file with the original on every installed engine that runs it.

    Args:
        data: the file, as it will be written.
        kind: names it and holds its tolerance.
        proofs: inputs with the original's answers: ``golden``, and ``data`` where given.
        spec: the contract.

    Raises:
        ParityError: an output differs by more than the tolerance, a decision changed, or the file
            answers no probability.
        MissingExtraError: no engine for it is installed, so that nothing can be proven.
    """
    candidates = [name for name, info in ENGINES.items() if kind.format in info.formats]
    installed = [name for name in candidates if name in installed_engines()]
    if not installed:
        raise MissingExtraError(
            f"{kind.name} cannot be proven: {', '.join(candidates)} is not installed here; "
            f"{ENGINES[candidates[0]].install} brings it"
        )
    return tuple(_prove_on(name, data, kind, proofs, spec) for name in installed)


def _prove_on(
    engine: str, data: bytes, kind: ArtifactKind, proofs: Mapping[str, Golden], spec: ModelSpec
) -> EngineRecord:
    found: dict[str, Parity] = {}
    try:
        loaded = open_engine(engine, data, spec)
        for name, proof in proofs.items():
            scores = loaded.run(normalize(proof.pixels, spec.input))
            found[name] = compare(proof.scores, scores, spec)
    except EngineError as err:
        raise ParityError(f"{kind.name} on {engine}: {err}; nothing was written") from err
    for name, parity in found.items():
        if not holds(parity, kind.tolerance):
            raise ParityError(
                f"{kind.name} on {engine}: max |Δscore| {parity.max_abs_delta:.1e} on "
                f"{parity.inputs} {name} inputs, allowed {kind.tolerance:.0e}; "
                f"{parity.flips} decisions changed; nothing was written"
            )
    return EngineRecord(engine, kind.tolerance, found["golden"], found.get("data"))
