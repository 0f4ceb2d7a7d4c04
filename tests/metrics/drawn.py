"""Evaluation documents of drawn figures, for tests of what is made of them; nothing is trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from cxr_edge.metrics import Interval
from cxr_edge.metrics.evaluation import (
    EVALUATION_SCHEMA,
    SEEDS_SCHEMA,
    BaselineComparison,
    ChangedDecision,
    CopyComparison,
    Evaluation,
    EvaluationDocument,
    FigureComparison,
    GalleryEntry,
    GalleryGroup,
    ImageSource,
    LabelFigures,
    ModelSource,
    Origin,
    PrecisionRecallPoints,
    ReliabilityBin,
    RocPoints,
    ScoreHistogram,
    SeedsDocument,
    Spread,
)
from cxr_edge.spec import SEED_SPEC, ModelSpec

HOSTILE = "<script>alert(1)</script>"
BINARY_SPEC = dataclasses.replace(SEED_SPEC, uncertain_band=(0.4, 0.6))
THREE_SPEC = ModelSpec(
    name="flowers",
    input=dataclasses.replace(SEED_SPEC.input, channels=3),
    labels=("daisy", "rose", "tulip"),
    activation="softmax",
    positive_label=None,
    threshold=None,
    threshold_choice="none",
)
ORIGIN = Origin(
    created="2026-01-02T03:04:05+00:00",
    command="cxr-edge evaluate test -o out",
    versions={"cxr-edge": "1.0", "python": "3.11.7", "numpy": "2.4.6"},
)
SHIFTS = ("blur, sigma 1", "gamma 1.4", "noise, 8 levels")
KINDS = ("wrong", "nearest", "right")


def around(value: float, width: float = 0.03) -> Interval:
    return Interval(value, max(0.0, value - width), min(1.0, value + width))


def _figures(spec: ModelSpec, level: float) -> dict[str, Interval]:
    names = ["accuracy", "auc"]
    if spec.positive_label is None:
        names += [f"auc {n}" for n in spec.labels] + [f"recall {n}" for n in spec.labels]
    else:
        names += ["sensitivity", "specificity", "precision", "f1", "average precision"]
        names += ["specificity at sensitivity 0.95"]
    figures = {name: around(level - 0.01 * i) for i, name in enumerate(names)}
    figures |= {"brier": around(0.08), "ece": around(0.05), "ece, equal counts": around(0.04)}
    return figures | {"loss": around(0.3, 0.05)}


def _roc(spec: ModelSpec, level: float) -> dict[str, RocPoints]:
    false = np.linspace(0, 1, 21)
    true = false ** (1 - level)
    points = RocPoints(
        tuple(false.tolist()), tuple(true.tolist()), (None, *np.linspace(0.99, 0.01, 20).tolist())
    )
    return dict.fromkeys(_curve_labels(spec), points)


def _curve_labels(spec: ModelSpec) -> tuple[str, ...]:
    return (spec.positive_label,) if spec.positive_label else spec.labels


def _comparison(spec: ModelSpec, level: float) -> FigureComparison:
    figures = _figures(spec, level)
    compared = ("accuracy", "auc", "sensitivity", "specificity")
    change = {n: Interval(0.1, 0.04, 0.16) for n in compared if n in figures}
    return FigureComparison(figures, change)


def _gallery(spec: ModelSpec, heatmaps: bool) -> tuple[GalleryGroup, ...]:
    groups = []
    for kind in KINDS:
        entries = []
        for index in range(4):
            label = spec.labels[index % len(spec.labels)]
            other = spec.labels[(index + 1) % len(spec.labels)]
            stem = f"test-gallery/{kind}-{index + 1}"
            entries.append(
                GalleryEntry(
                    file=f"{label}/person{index}_{kind}.jpeg",
                    label=label,
                    decision=label if kind == "right" else other,
                    score=0.97 - 0.1 * index,
                    uncertain=None if spec.positive_label is None else kind == "nearest",
                    out_of_domain=None if spec.positive_label is None else index == 3,
                    picture=f"{stem}.png",
                    heatmap=f"{stem}-heatmap.png" if heatmaps else None,
                )
            )
        groups.append(GalleryGroup(kind, 100 if kind == "nearest" else 40, tuple(entries)))
    return tuple(groups)


def draw_evaluation(
    spec: ModelSpec = BINARY_SPEC, *, complete: bool = True, level: float = 0.93
) -> Evaluation:
    """An evaluation.

    Args:
        spec: two labels, or more.
        complete: whether it has a baseline, shifts, copies, a gallery and (two labels) heat maps.
        level: about what its figures are.
    """
    count = len(spec.labels)
    confusion = tuple(
        tuple(30 if i == j else 2 + i + j for j in range(count)) for i in range(count)
    )
    support = [sum(row) for row in confusion]
    binary = spec.positive_label is not None
    bins = tuple(
        ReliabilityBin(i / 10, (i + 1) / 10, 0, None, None)
        if i == 3
        else ReliabilityBin(i / 10, (i + 1) / 10, 10 + i, i / 10 + 0.04, around(i / 10 + 0.06, 0.1))
        for i in range(10)
    )
    pieces = {name: tuple(range(3, 53)) for name in spec.labels}
    wrong = {name: (3,) * 25 + (0,) * 25 for name in spec.labels}
    curve = PrecisionRecallPoints((1.0, 0.95, 0.7), (0.3, 0.8, 1.0), (0.9, 0.6, 0.1), 0.55)
    evaluation = Evaluation(
        model=ModelSource("bundle", "onnx-int8", "onnxruntime", spec),
        data=ImageSource("test", sum(support), sum(support) // 2, 1, 1000),
        figures=_figures(spec, level),
        calibration_error_floor=0.03,
        by_label={
            name: LabelFigures(0.9, 30 / support[i], 0.88, support[i])
            for i, name in enumerate(spec.labels)
        },
        confusion=confusion,
        roc=_roc(spec, level),
        precision_recall=dict.fromkeys(_curve_labels(spec), curve),
        reliability=bins,
        histogram=ScoreHistogram(tuple(i / 50 for i in range(51)), pieces, wrong),
    )
    if not complete:
        return evaluation
    changed = ChangedDecision(f"{spec.labels[0]}/person7_a.jpeg", 0.55, 0.45)
    scores = tuple(np.linspace(0.05, 0.95, 19).tolist())
    return dataclasses.replace(
        evaluation,
        baseline=BaselineComparison(500, _comparison(spec, level - 0.1), _roc(spec, level - 0.1)),
        shifts={n: _comparison(spec, level - 0.02 * i) for i, n in enumerate(SHIFTS)},
        copies=CopyComparison(20, 1, 0.9, 0.85, 0.01, 0.1, (changed,), scores, scores),
        gallery=_gallery(spec, heatmaps=binary),
    )


def draw_document(spec: ModelSpec = BINARY_SPEC, *, complete: bool = True) -> EvaluationDocument:
    """``evaluation.json`` of one part, ``test``."""
    return EvaluationDocument(
        EVALUATION_SCHEMA, ORIGIN, {"test": draw_evaluation(spec, complete=complete)}
    )


def draw_seeds(spec: ModelSpec = BINARY_SPEC) -> SeedsDocument:
    """``seeds.json`` of two runs."""
    evaluation = draw_evaluation(spec, complete=False)
    names = [n for n in ("accuracy", "auc", "sensitivity", "ece") if n in evaluation.figures]
    spread = Spread({"1-run": 0.93, "2-run": 0.95}, 0.94, 0.0141)
    models = {name: evaluation.model for name in spread.runs}
    return SeedsDocument(
        SEEDS_SCHEMA, ORIGIN, evaluation.data, models, dict.fromkeys(names, spread)
    )


def hostile(document: EvaluationDocument) -> EvaluationDocument:
    """The same with markup as text wherever a name can hold it."""
    parts = {}
    for part, each in document.parts.items():
        model = dataclasses.replace(each.model, name=HOSTILE, artifact=HOSTILE)
        data = dataclasses.replace(each.data, name=HOSTILE)
        gallery = each.gallery and tuple(
            dataclasses.replace(
                group, entries=tuple(dataclasses.replace(e, file=HOSTILE) for e in group.entries)
            )
            for group in each.gallery
        )
        parts[part] = dataclasses.replace(each, model=model, data=data, gallery=gallery)
    origin = dataclasses.replace(document.origin, command=HOSTILE)
    return EvaluationDocument(document.schema, origin, parts)


def write_pictures(document: EvaluationDocument, folder: Path) -> None:
    """Draw the pictures that a document's galleries name, below the folder of its JSON."""
    for number, evaluation in enumerate(document.parts.values()):
        for group in evaluation.gallery or ():
            for index, entry in enumerate(group.entries):
                for name in filter(None, (entry.picture, entry.heatmap)):
                    image = np.full((160, 200, 3), 40 + 30 * index + 10 * number, np.uint8)
                    cv2.circle(image, (100, 80), 20 + 10 * index, (255, 255, 255), -1)
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())
