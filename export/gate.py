"""The gate: only models that make the original model's decisions are written."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cxr_edge import documents
from cxr_edge.bundle.embedded import Embedded, read_embedded
from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.bundle.parity import NearParity, compare_near
from cxr_edge.data.patients import Grouping
from cxr_edge.data.samples import Samples
from cxr_edge.decision import Scores, decide, probabilities
from cxr_edge.engines import Heatmaps, open_engine
from cxr_edge.errors import EngineError, ParityError
from cxr_edge.export.artifacts import ArtifactKind, QuantizedConversion
from cxr_edge.export.decisions import DecisionParity, compare_decisions
from cxr_edge.export.machine import proving_engines
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.preprocess import Batch, normalize
from cxr_edge.spec import ModelSpec

HEATMAP_TOLERANCE = 1e-4
"""Largest |difference| of a heat map, as a share of the largest value of all maps."""
# Where evidence cancels out, a map is smaller than the rounding of its terms.
_HEATMAP_ROUNDING = 1e-6

ImageSet = Literal["golden", "data"]
"""Golden inputs, or the images of ``--data``."""

_SET_NAMES: dict[ImageSet, str] = {"golden": "golden inputs", "data": "images of --data"}


@dataclass(frozen=True, slots=True, eq=False)
class ParityImages:
    """Images to check parity on, with the original model's scores."""

    image_set: ImageSet
    samples: Samples
    """The images, with labels and names where they are known."""
    scores: Scores
    """(N, spec.outputs) float32, the original's."""


@dataclass(frozen=True, slots=True)
class EngineProof:
    """Measured parity of a file on one engine."""

    engine: str
    decisions: dict[ImageSet, DecisionParity]
    """Parity on each set of images."""
    heatmap_delta: float | None = None
    """Largest |difference| of the heat maps from the original's gradient on the golden inputs;
    None: the file outputs none."""
    near: NearParity | None = documents.since("2.1", None)
    """Parity on inputs near a change of decision; null: the original has none."""
    near_data: NearParity | None = documents.since("2.1", None)
    """The same on blends of images of ``--data``; null: none were given, or there are none."""
    emulated: bool = documents.since("2.1", False)
    """Whether all of it was computed by an emulation of arithmetic that this machine lacks."""


def prove_artifact(
    data: bytes,
    kind: ArtifactKind,
    budget: Budget,
    image_sets: tuple[ParityImages, ...],
    embedded: Embedded,
    group_of: Grouping,
    *,
    golden_tolerance: float | None = None,
    near: GoldenSet | None = None,
    near_data: GoldenSet | None = None,
) -> tuple[EngineProof, ...]:
    """Compare one file with the original on every installed engine that runs it.

    Args:
        data: the file, as it will be written.
        kind: what it is.
        budget: how far it may differ. No decision on golden inputs may change.
        image_sets: the golden inputs, and the images of ``--data``.
        embedded: the metadata that the file must contain.
        group_of: which images show the same patient.
        golden_tolerance: largest |difference| on golden inputs; None: that of the budget.
        near: inputs near a change of decision, judged as :mod:`cxr_edge.bundle.parity` says with
            the tolerance of golden inputs; None: the original has none.
        near_data: the same of the images of ``--data``. Only the change of scores across the
            decision is judged there: a blend is nobody's image, so the budget does not apply.

    Raises:
        ParityError: a score differs by more than the budget, too many decisions changed, scores
            near a decision do not rise across it as the original's do, a score is no probability,
            all decisions are the same, or the file is another model's.
        MissingExtraError: no engine for it is installed.
    """
    engines = proving_engines(kind.name, kind.format)
    with _refusal(kind.name):
        is_stale = read_embedded(data, kind.format) != embedded
    if is_stale:
        raise ParityError(f"{kind.name}: was made from another model")
    budgets: dict[ImageSet, Budget] = {"golden": budget.on_golden(), "data": budget}
    if golden_tolerance is not None:
        budgets["golden"] = dataclasses.replace(budgets["golden"], max_delta_p=golden_tolerance)
    common = kind, budgets, image_sets, embedded.spec, group_of, (near, near_data)
    proofs = []
    for engine in engines:
        with _refusal(where := f"{kind.name} on {engine}"):
            loaded = open_engine(engine, data, embedded.spec, outputs=kind.outputs)
        proofs.append(prove_scores(engine, loaded.run, where, *common))
    return tuple(proofs)


def prove_scores(
    engine: str,
    run: Callable[[Batch], Scores],
    where: str,
    kind: ArtifactKind,
    budgets: dict[ImageSet, Budget],
    image_sets: tuple[ParityImages, ...],
    spec: ModelSpec,
    group_of: Grouping,
    near: tuple[GoldenSet | None, GoldenSet | None],
) -> EngineProof:
    """Compare what an engine computes, or an emulation of it, with the original's scores.

    Args, beside those of :func:`prove_artifact`:
        engine: its name in the proof.
        run: from (N, height, width, channels) float32 to (N, spec.outputs) float32.
        where: what messages call it.
        budgets: how far it may differ, for each set of images.
        near: inputs near a change of decision, drawn and of ``--data``.

    Raises:
        ParityError: as :func:`prove_artifact`.
    """
    decisions = {}
    for images in image_sets:
        with _refusal(where):
            scores = run(normalize(images.samples.pixels, spec.input))
            result = compare_decisions(
                images.scores,
                scores,
                spec,
                names=images.samples.names,
                labels=images.samples.labels,
                group_of=group_of,
            )
        reason = _stuck(images.scores, scores, spec) or _excess(result, budgets[images.image_set])
        if reason:
            advice = _advice(kind) if images.image_set == "data" else ""
            raise ParityError(
                f"{where}: {reason}, on {result.parity.inputs} {_SET_NAMES[images.image_set]}"
                f"{advice}"
            )
        decisions[images.image_set] = result
    limits = budgets["golden"].max_delta_p, 1.0
    parities = [
        _prove_near(where, run, inputs, spec, limit) if inputs else None
        for inputs, limit in zip(near, limits, strict=True)
    ]
    return EngineProof(engine, decisions, near=parities[0], near_data=parities[1])


def _prove_near(
    where: str,
    run: Callable[[Batch], Scores],
    inputs: GoldenSet,
    spec: ModelSpec,
    tolerance: float,
) -> NearParity:
    with _refusal(where):
        scores = run(normalize(inputs.pixels, spec.input))
        parity = compare_near(inputs.scores, scores, spec)
    if reason := parity.excess(tolerance):
        raise ParityError(f"{where}: {reason}, on {parity.inputs} inputs near a decision")
    return parity


def prove_heatmaps(
    data: bytes,
    kind: ArtifactKind,
    proofs: tuple[EngineProof, ...],
    golden: Samples,
    maps: Heatmaps,
    spec: ModelSpec,
) -> tuple[EngineProof, ...]:
    """Compare the heat maps of a file with the original's on every engine that runs it.

    Args:
        data: the file, as it will be written.
        kind: what it is.
        proofs: parity of its scores, by engine.
        golden: the inputs.
        maps: (N, rows, columns), by automatic differentiation of the original.
        spec: the contract.

    Returns:
        The proofs, with the largest difference of the maps.

    Raises:
        ParityError: a map has another shape, or differs by more than :data:`HEATMAP_TOLERANCE`
            of the largest value.
    """
    allowed = max(HEATMAP_TOLERANCE * float(maps.max()), _HEATMAP_ROUNDING)
    with_maps = []
    for proof in proofs:
        where = f"{kind.name} on {proof.engine}"
        with _refusal(where):
            loaded = open_engine(proof.engine, data, spec, outputs=kind.outputs)
            _, exported = loaded.explain(normalize(golden.pixels, spec.input))
        if exported.shape != maps.shape:
            raise ParityError(
                f"{where}: its heat maps are {exported.shape[1:]}, the original's {maps.shape[1:]}"
            )
        delta = float(np.abs(exported - maps).max())
        if not delta <= allowed:
            raise ParityError(
                f"{where}: its heat maps differ by {delta:.2g} from the original's gradient, "
                f"allowed {allowed:.2g}, on {len(maps)} golden inputs"
            )
        with_maps.append(dataclasses.replace(proof, heatmap_delta=delta))
    return tuple(with_maps)


@contextlib.contextmanager
def _refusal(where: str) -> Iterator[None]:
    """Turn an engine's error into a refusal of the file."""
    try:
        yield
    except EngineError as err:
        raise ParityError(f"{where}: {err}") from err


def _excess(result: DecisionParity, budget: Budget) -> str:
    area = result.labelled.auc if result.labelled else None
    return budget.excess(result.parity, -area.difference if area else None)


def _advice(kind: ArtifactKind) -> str:
    """What may help where images fail that no recipe may be chosen by."""
    if not isinstance(kind.conversion, QuantizedConversion):
        return ""
    return (
        "; they prove and choose nothing: more images to choose by (--validation), or a narrower "
        "budget there (--max-delta-p, --max-flips), may help"
    )


def _stuck(original: Scores, exported: Scores, spec: ModelSpec) -> str:
    """A complaint if the exported model gives every image one label and the original does not."""
    before, after = (np.unique(decide(probabilities(s, spec), spec)) for s in (original, exported))
    if len(after) == 1 < len(before):
        label = spec.labels[after[0]]
        return f"it decides {label} for every image, which the original does not"
    return ""
