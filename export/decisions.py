"""Parity on the level of decisions: which changed, and what that does to the figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_edge.bundle.manifest import Parity
from cxr_edge.bundle.parity import compare
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
from cxr_edge.metrics import RESAMPLES, interval, resample, roc_area
from cxr_edge.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Flip:
    """An image whose decision changed."""

    name: str
    """The file, or the number of the input where files have no name."""
    original: float
    """The original model's score."""
    exported: float
    """The exported file's score."""
    margin: float
    """How far the original's decision was from changing, as a difference of scores."""


@dataclass(frozen=True, slots=True)
class Change:
    """A figure of both models on the same images."""

    original: float
    """The original model's."""
    exported: float
    """The exported file's."""
    difference: float
    """Exported minus original."""
    low: float
    """Lower end of the difference's 95 % interval: paired bootstrap over patients."""
    high: float
    """Its upper end."""


@dataclass(frozen=True, slots=True)
class LabelledParity:
    """What an exported file changes where the truth is known."""

    auc: Change | None
    """Area under the ROC curve; mean of one against the rest for more than two labels."""
    recall: dict[str, Change]
    """By label; for two labels that of the positive one is the sensitivity, of the other the
    specificity."""
    only_original_right: int
    """Images that only the original model gets right."""
    only_exported_right: int
    """Images that only the exported file gets right."""
    mcnemar_p: float
    """Exact McNemar test of those two counts; small: the accuracies differ."""
    patients: int
    """Independent units of the bootstrap."""


@dataclass(frozen=True, slots=True)
class DecisionParity:
    """An exported file against the original model on one set of images."""

    parity: Parity
    """Differences and flips."""
    flips: tuple[Flip, ...]
    """Each changed decision."""
    distinct_scores: int
    """Different answers given; a static int8 output has a coarse grid."""
    labelled: LabelledParity | None
    """Against the truth; null: no labels."""


def compare_decisions(
    original: Scores,
    exported: Scores,
    spec: ModelSpec,
    *,
    names: Sequence[str] = (),
    labels: Labels | None = None,
    group_of: Grouping = str,
) -> DecisionParity:
    """Compare the answers of two models to the same images.

    Args:
        original: (N, spec.outputs), the original Keras model's answers.
        exported: (N, spec.outputs), the exported file's.
        spec: holds the decision rule.
        names: of the N images; empty: their numbers.
        labels: (N,) the truth; None: unknown.
        group_of: which names show the same patient.

    Raises:
        EngineError: an answer is no probability.
        MissingExtraError: labels are given and scipy is not installed.
    """
    before, after = probabilities(original, spec), probabilities(exported, spec)
    changed = np.flatnonzero(decide(before, spec) != decide(after, spec))
    margins = decision_margins(before, spec)
    named = list(names) or [f"input {i}" for i in range(len(original))]
    scores = positive_scores(before, spec), positive_scores(after, spec)
    flips = tuple(
        Flip(named[i], float(scores[0][i]), float(scores[1][i]), float(margins[i])) for i in changed
    )
    labelled = None
    if labels is not None:
        groups = [group_of(Path(name)) for name in named]
        labelled = _labelled(before, after, labels, groups, spec)
    distinct = len(np.unique(exported, axis=0))
    return DecisionParity(compare(original, exported, spec), flips, distinct, labelled)


def auc(table: Probabilities, labels: Labels, spec: ModelSpec) -> float | None:
    """Area under the ROC curve; None where fewer labels occur than it needs.

    Args:
        table: (N, len(labels)) probabilities.
        labels: (N,) the truth.
        spec: the positive label; for more than two labels it is the mean of one against the rest.
    """
    columns = range(len(spec.labels))
    if spec.positive_label is not None:
        columns = range(spec.labels.index(spec.positive_label), len(spec.labels))[:1]
    truths = [labels == column for column in columns]
    if any(truth.all() or not truth.any() for truth in truths):
        return None
    pairs = zip(truths, columns, strict=True)
    return float(np.mean([roc_area(truth, table[:, column]) for truth, column in pairs]))


def _labelled(
    before: Probabilities,
    after: Probabilities,
    labels: Labels,
    groups: Sequence[str],
    spec: ModelSpec,
) -> LabelledParity:
    stats = require("scipy.stats", "export")
    decisions = decide(before, spec), decide(after, spec)
    right = decisions[0] == labels, decisions[1] == labels
    losses = int(np.count_nonzero(right[0] & ~right[1]))
    gains = int(np.count_nonzero(right[1] & ~right[0]))
    p = float(stats.binomtest(losses, losses + gains).pvalue) if losses + gains else 1.0
    samples = list(resample(groups, count=RESAMPLES).indices())

    def recall(of: int) -> Callable[[npt.NDArray[np.intp]], tuple[float, float] | None]:
        def figures(chosen: npt.NDArray[np.intp]) -> tuple[float, float] | None:
            truth = labels[chosen] == of
            if not truth.any():
                return None
            return float(right[0][chosen][truth].mean()), float(right[1][chosen][truth].mean())

        return figures

    def areas(chosen: npt.NDArray[np.intp]) -> tuple[float, float] | None:
        first = auc(before[chosen], labels[chosen], spec)
        second = auc(after[chosen], labels[chosen], spec)
        return None if first is None or second is None else (first, second)

    recalls = {
        name: change
        for index, name in enumerate(spec.labels)
        if (change := _change(recall(index), samples)) is not None
    }
    return LabelledParity(_change(areas, samples), recalls, losses, gains, p, len(set(groups)))


def _change(
    figures: Callable[[npt.NDArray[np.intp]], tuple[float, float] | None],
    samples: list[npt.NDArray[np.intp]],
) -> Change | None:
    """A figure of both models with the interval of its difference; None where it is undefined."""
    whole = figures(samples[0])
    if whole is None:
        return None
    pairs = [pair for sample in samples[1:] if (pair := figures(sample)) is not None]
    differences = [second - first for first, second in (whole, *pairs)]
    found = interval(np.asarray(differences))
    assert found is not None  # noqa: S101 - the type checker cannot know
    return Change(*whole, found.value, found.low, found.high)
