"""Parity of decisions: which ones changed, and how that changes the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_edge.bundle.parity import compare
from cxr_edge.bundle.proofs import Parity
from cxr_edge.data.folders import Labels
from cxr_edge.data.patients import Grouping
from cxr_edge.decision import (
    Probabilities,
    Scores,
    decide,
    decision_margins,
    positive_scores,
    probabilities,
)
from cxr_edge.extras import require
from cxr_edge.metrics import (
    RESAMPLES,
    Flags,
    Floats,
    Weights,
    paired_difference,
    ratio,
    resample,
    roc_area,
)
from cxr_edge.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Flip:
    """An image whose decision changed."""

    name: str
    """File name, or the input's number if there are no files."""
    original: float
    """Score of the original model, 0..1."""
    exported: float
    """Score of the exported model, 0..1."""
    margin: float
    """Distance of the original's score from a change of decision, 0..1."""


@dataclass(frozen=True, slots=True)
class Change:
    """A figure of both models on the same images."""

    original: float
    exported: float
    difference: float
    """Exported minus original."""
    low: float
    """Lower end of the difference's 95 % interval: paired bootstrap over patients."""
    high: float
    """Its upper end."""


@dataclass(frozen=True, slots=True)
class LabelledParity:
    """Changes of the figures on labelled images."""

    auc: Change | None
    """Area under the ROC curve; for more than two labels the mean of one against the rest. None:
    some label does not occur."""
    recall: dict[str, Change]
    """By label. For two labels: sensitivity for the positive one, specificity for the other."""
    only_original_right: int
    """Images that only the original model decides correctly."""
    only_exported_right: int
    """Images that only the exported model decides correctly."""
    mcnemar_p: float
    """P-value of McNemar's exact test on those two counts; small: the accuracies differ."""
    patients: int
    """Independent units of the bootstrap."""


@dataclass(frozen=True, slots=True)
class DecisionParity:
    """An exported model compared with the original on one set of images."""

    parity: Parity
    """Differences of scores, and the number of flips."""
    flips: tuple[Flip, ...]
    """Each changed decision."""
    distinct_scores: int
    """Different scores that the exported model gives; a static int8 output has a coarse grid."""
    labelled: LabelledParity | None
    """Changes of the figures; null: no labels."""


def compare_decisions(
    original: Scores,
    exported: Scores,
    spec: ModelSpec,
    *,
    names: Sequence[str] = (),
    labels: Labels | None = None,
    group_of: Grouping = str,
    resamples: int = RESAMPLES,
) -> DecisionParity:
    """Compare the decisions of two models on the same images.

    Args:
        original: (N, spec.outputs), the original Keras model's scores.
        exported: (N, spec.outputs), the exported model's.
        spec: the decision rule.
        names: of the N images; empty: they are numbered.
        labels: (N,) the truth; None: unknown.
        group_of: which names show the same patient.
        resamples: bootstrap samples behind the intervals.

    Raises:
        EngineError: a score is no probability.
        MissingExtraError: there are labels and scipy is not installed.
    """
    before, after = probabilities(original, spec), probabilities(exported, spec)
    changed = np.flatnonzero(decide(before, spec) != decide(after, spec))
    margins = decision_margins(before, spec)
    keys = list(names) or [f"input {i}" for i in range(len(original))]
    old, new = positive_scores(before, spec), positive_scores(after, spec)
    flips = tuple(Flip(keys[i], float(old[i]), float(new[i]), float(margins[i])) for i in changed)
    labelled = None
    if labels is not None:
        patients = [group_of(Path(key)) for key in keys]
        labelled = _compare_labelled(before, after, labels, patients, spec, resamples)
    distinct = len(np.unique(exported, axis=0))
    return DecisionParity(compare(original, exported, spec), flips, distinct, labelled)


def auc(table: Probabilities, labels: Labels, spec: ModelSpec) -> float | None:
    """Area under the ROC curve; None where a label that it needs does not occur.

    Args:
        table: (N, len(labels)) probabilities.
        labels: (N,) the truth.
        spec: the positive label; for more than two labels it is the mean of one against the rest.
    """
    area = float(_areas(table, labels, spec, np.ones((1, len(labels))))[0])
    return None if np.isnan(area) else area


def auc_drop(
    original: Scores, exported: Scores, labels: Labels | None, spec: ModelSpec
) -> float | None:
    """Loss of area under the ROC curve; None where labels are unknown or one does not occur."""
    if labels is None:
        return None
    before = auc(probabilities(original, spec), labels, spec)
    after = auc(probabilities(exported, spec), labels, spec)
    return None if before is None or after is None else before - after


def _compare_labelled(
    before: Probabilities,
    after: Probabilities,
    labels: Labels,
    patients: Sequence[str],
    spec: ModelSpec,
    resamples: int,
) -> LabelledParity:
    stats = require("scipy.stats", "export")
    tables = before, after
    right = decide(before, spec) == labels, decide(after, spec) == labels
    losses = int(np.count_nonzero(right[0] & ~right[1]))
    gains = int(np.count_nonzero(right[1] & ~right[0]))
    p = float(stats.binomtest(losses, losses + gains).pvalue) if losses + gains else 1.0

    auc_parts, recall_parts = [], []
    for weights in resample(patients, count=resamples).weights():
        auc_parts.append([_areas(table, labels, spec, weights) for table in tables])
        recall_parts.append([_recalls(model, labels, spec, weights) for model in right])
    areas = np.concatenate(auc_parts, axis=1)  # (2 models, 1 + samples)
    recalls = np.concatenate(recall_parts, axis=2)  # (2 models, labels, 1 + samples)
    changes = {
        name: change
        for index, name in enumerate(spec.labels)
        if (change := _change(recalls[:, index])) is not None
    }
    return LabelledParity(_change(areas), changes, losses, gains, p, len(set(patients)))


def _areas(table: Probabilities, labels: Labels, spec: ModelSpec, weights: Weights) -> Floats:
    """(samples,) areas under the ROC curve; NaN where a label that it needs does not occur."""
    columns = list(range(len(spec.labels)))
    if spec.positive_label is not None:
        columns = [spec.labels.index(spec.positive_label)]
    areas = [roc_area(labels == column, table[:, column], weights) for column in columns]
    return np.asarray(np.mean(areas, axis=0))


def _recalls(right: Flags, labels: Labels, spec: ModelSpec, weights: Weights) -> Floats:
    """(labels, samples) share of each label's images that are decided correctly; NaN: none."""
    recalls = []
    for index in range(len(spec.labels)):
        truth = labels == index
        counted = weights[:, truth].sum(axis=1)
        recalls.append(ratio(weights[:, truth & right].sum(axis=1), counted, np.nan))
    return np.asarray(recalls)


def _change(figure: Floats) -> Change | None:
    """The change of a figure, (2 models, 1 + samples); None where it is undefined."""
    original, exported = figure
    difference = paired_difference(original, exported)
    if difference is None:
        return None
    return Change(
        float(original[0]), float(exported[0]), difference.value, difference.low, difference.high
    )
