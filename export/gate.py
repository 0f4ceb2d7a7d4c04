"""The gate: no file is written that does not answer like the original model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from cxr_edge.bundle.embedded import Embedded, read_embedded
from cxr_edge.data.patients import Grouping
from cxr_edge.data.samples import Samples
from cxr_edge.decision import Scores, decide, probabilities
from cxr_edge.engines import ENGINES, Format, Heatmaps, installed_engines, open_engine, suits
from cxr_edge.errors import EngineError, MissingExtraError, ParityError
from cxr_edge.export.artifacts import ArtifactKind
from cxr_edge.export.decisions import DecisionParity, compare_decisions
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.preprocess import normalize
from cxr_edge.spec import ModelSpec

HEATMAP_TOLERANCE = 1e-4
"""Largest |difference| of a heat map, as a share of the largest value of all of them."""
# Where evidence cancels out, a map is smaller than the terms whose rounding it shows.
_HEATMAP_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Evidence:
    """Images with the original model's answers."""

    name: str
    """``golden``, or ``data`` for the images given."""
    samples: Samples
    """The images, and what is known of them."""
    scores: Scores
    """(N, spec.outputs) float32, the original's."""


@dataclass(frozen=True, slots=True)
class EngineProof:
    """What a file was shown to do on one engine."""

    engine: str
    """Name of the engine."""
    found: dict[str, DecisionParity]
    """By the name of the evidence."""
    heatmap_delta: float | None = None
    """Largest |difference| of the heat maps from the original's gradient on the golden inputs;
    None: the file answers none."""


def proving_engines(kind_name: str, format: Format) -> tuple[str, ...]:
    """The installed engines that run a format, the preferred one first.

    Raises:
        MissingExtraError: there is none, so that nothing can be proven.
    """
    candidates = [name for name, info in ENGINES.items() if format in info.formats]
    installed = tuple(name for name in candidates if name in installed_engines())
    if not installed:
        raise MissingExtraError(
            f"{kind_name} cannot be proven: {', '.join(candidates)} is not installed here; "
            f"{ENGINES[candidates[0]].install} brings it"
        )
    return installed


def check_machine(kind: ArtifactKind) -> None:
    """Refuse what this machine cannot prove, before any work is done.

    Raises:
        ParityError: the file is made for machines with other integer arithmetic.
        MissingExtraError: no engine for it is installed.
    """
    proving_engines(kind.name, kind.format)
    if not suits(kind.target):
        raise ParityError(
            f"{kind.name} is for {kind.target} and cannot be proven here: this CPU saturates sums "
            "of 8-bit products; export it on such a machine, or take onnx-int8, which is right "
            "everywhere"
        )


def prove_artifact(
    data: bytes,
    kind: ArtifactKind,
    budget: Budget,
    evidence: tuple[Evidence, ...],
    embedded: Embedded,
    group_of: Grouping,
) -> tuple[EngineProof, ...]:
    """Compare one file with the original on every installed engine that runs it.

    Args:
        data: the file, as it will be written.
        kind: names it.
        budget: how far it may differ. On golden inputs, whose decisions are far from changing,
            no decision may.
        evidence: the golden inputs, and the images given.
        embedded: what the file must say of itself.
        group_of: which images show the same patient.

    Raises:
        ParityError: an output differs by more than the budget, too many decisions changed, the
            file answers no probability or always the same decision, or it is another model's.
        MissingExtraError: no engine for it is installed.
    """
    engines = proving_engines(kind.name, kind.format)
    try:
        stale = read_embedded(data, kind.format) != embedded
    except EngineError as err:
        raise ParityError(f"{kind.name}: {err}; nothing was written") from err
    if stale:
        raise ParityError(f"{kind.name}: was made from another model; nothing was written")
    return tuple(
        _prove_on(engine, data, kind, budget, evidence, embedded.spec, group_of)
        for engine in engines
    )


def _prove_on(
    engine: str,
    data: bytes,
    kind: ArtifactKind,
    budget: Budget,
    evidence: tuple[Evidence, ...],
    spec: ModelSpec,
    group_of: Grouping,
) -> EngineProof:
    found = {}
    for each in evidence:
        where = f"{kind.name} on {engine}"
        try:
            loaded = open_engine(engine, data, spec, outputs=kind.outputs)
            scores = loaded.run(normalize(each.samples.pixels, spec.input))
            result = compare_decisions(
                each.scores,
                scores,
                spec,
                names=each.samples.names,
                labels=each.samples.labels,
                group_of=group_of,
            )
        except EngineError as err:
            raise ParityError(f"{where}: {err}; nothing was written") from err
        reason = _stuck(each.scores, scores, spec) or _excess(each, result, budget)
        if reason:
            raise ParityError(
                f"{where}: {reason}, on {result.parity.inputs} {each.name} inputs; "
                "nothing was written"
            )
        found[each.name] = result
    return EngineProof(engine, found)


def prove_heatmaps(
    data: bytes,
    kind: ArtifactKind,
    proofs: tuple[EngineProof, ...],
    golden: Samples,
    maps: Heatmaps,
    spec: ModelSpec,
) -> tuple[EngineProof, ...]:
    """Compare the heat maps of a file with the original's on every engine it was proven on.

    Args:
        data: the file, as it will be written.
        kind: names it.
        proofs: what was shown of its scores.
        golden: the inputs.
        maps: (N, rows, columns), by automatic differentiation of the original.
        spec: the contract.

    Returns:
        The proofs with the largest difference.

    Raises:
        ParityError: a map has another shape, or differs by more than :data:`HEATMAP_TOLERANCE`
            of the largest value.
    """
    allowed = max(HEATMAP_TOLERANCE * float(maps.max()), _HEATMAP_ROUNDING)
    found = []
    for each in proofs:
        where = f"{kind.name} on {each.engine}"
        try:
            loaded = open_engine(each.engine, data, spec, outputs=kind.outputs)
            _, answered = loaded.explain(normalize(golden.pixels, spec.input))
        except EngineError as err:
            raise ParityError(f"{where}: {err}; nothing was written") from err
        if answered.shape != maps.shape:
            raise ParityError(
                f"{where}: its heat maps are {answered.shape[1:]}, the original's "
                f"{maps.shape[1:]}; nothing was written"
            )
        delta = float(np.abs(answered - maps).max())
        if not delta <= allowed:
            raise ParityError(
                f"{where}: its heat maps differ by {delta:.2g} from the original's gradient, "
                f"allowed {allowed:.2g}, on {len(maps)} golden inputs; nothing was written"
            )
        found.append(dataclasses.replace(each, heatmap_delta=delta))
    return tuple(found)


def _excess(each: Evidence, result: DecisionParity, budget: Budget) -> str:
    if each.name == "golden":
        budget = budget.on_golden()
    area = result.labelled.auc if result.labelled else None
    return budget.excess(result.parity, -area.difference if area else None)


def _stuck(original: Scores, exported: Scores, spec: ModelSpec) -> str:
    """Says so where the original tells inputs apart and the exported file does not."""
    before, after = (np.unique(decide(probabilities(s, spec), spec)) for s in (original, exported))
    if len(after) == 1 < len(before):
        return f"it answers {spec.labels[after[0]]} to everything, which the original does not"
    return ""
