"""Evaluation: how often a model is right, on images that it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_edge.dataset import Labels
from cxr_edge.decision import Probabilities, Scores, decide, positive_scores, probabilities
from cxr_edge.extras import require
from cxr_edge.spec import ModelSpec

EVALUATION_NAME = "evaluation.json"

# Keras clips here too before the logarithm, so that the loss equals what it prints.
_EPSILON = 1e-7


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """Figures of one label, all others taken together."""

    precision: float
    """Share of decisions for the label that are right, 0..1; 0 without such decisions."""
    recall: float
    """Share of the label's images that are found, 0..1."""
    f1: float
    """Harmonic mean of precision and recall, 0..1."""
    support: int
    """Images of the label."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of one model on one folder of classes."""

    images: int
    """How many images were scored."""
    unreadable: int
    """Files that could not be read and are not counted."""
    accuracy: float
    """Share of right decisions, 0..1."""
    loss: float
    """Mean cross-entropy, natural logarithm, probabilities clipped at 1e-7."""
    auc: float
    """Area under the ROC curve of the positive label; one-against-rest mean for more labels."""
    threshold: float | None
    """Decision threshold of the positive label."""
    by_label: dict[str, LabelFigures]
    """Figures of each label, in output order."""
    confusion: tuple[tuple[int, ...], ...]
    """confusion[i][j]: images of label i decided as label j, in output order."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A model's answers to labelled images."""

    table: Probabilities
    """(N, len(labels)) P(label)."""
    decisions: npt.NDArray[np.intp]
    """(N,) decided labels."""
    labels: Labels
    """(N,) true labels."""

    @classmethod
    def from_scores(cls, scores: Scores, labels: Labels, spec: ModelSpec) -> Scored:
        """Read a network's output under its spec; raises EngineError for what is no probability."""
        table = probabilities(scores, spec)
        return cls(table, decide(table, spec), labels)


def evaluate(scored: Scored, spec: ModelSpec, *, unreadable: int = 0) -> Evaluation:
    """Compute the figures.

    Args:
        scored: answers and truth; every label occurs.
        spec: names of the labels, and the threshold.
        unreadable: how many files were left out.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    metrics = require("sklearn.metrics", "evaluate")
    indices = list(range(len(spec.labels)))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        scored.labels, scored.decisions, labels=indices, zero_division=0
    )
    confusion = metrics.confusion_matrix(scored.labels, scored.decisions, labels=indices)
    return Evaluation(
        images=len(scored.labels),
        unreadable=unreadable,
        accuracy=float(np.mean(scored.decisions == scored.labels)),
        loss=_cross_entropy(scored),
        auc=_auc(scored, spec, metrics),
        threshold=spec.threshold,
        by_label={
            name: LabelFigures(float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
            for i, name in enumerate(spec.labels)
        },
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
    )


def roc_curve(
    scored: Scored, spec: ModelSpec
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """False and true positive rates of a two-label model at every threshold."""
    metrics = require("sklearn.metrics", "evaluate")
    truth, score = _binary(scored, spec)
    false_rate, true_rate, _ = metrics.roc_curve(truth, score)
    return false_rate, true_rate


def report_text(evaluation: Evaluation) -> str:
    """The classification report and the confusion matrix as aligned text."""
    width = max(len("true \\ decided"), *(len(name) for name in evaluation.by_label))
    lines = [f"{'':{width}}  precision   recall       f1   images"]
    for name, figures in evaluation.by_label.items():
        lines.append(
            f"{name:{width}}  {figures.precision:9.4f}{figures.recall:9.4f}{figures.f1:9.4f}"
            f"{figures.support:9d}"
        )
    columns = [max(len(name), 6) for name in evaluation.by_label]
    head = "".join(f"  {n:>{w}}" for n, w in zip(evaluation.by_label, columns, strict=True))
    lines += ["", f"{'true / decided':{width}}{head}"]
    for name, row in zip(evaluation.by_label, evaluation.confusion, strict=True):
        cells = "".join(f"  {n:>{w}d}" for n, w in zip(row, columns, strict=True))
        lines.append(f"{name:{width}}{cells}")
    lines += [
        "",
        f"images {evaluation.images}   accuracy {evaluation.accuracy:.4f}   "
        f"AUC {evaluation.auc:.4f}   loss {evaluation.loss:.4f}",
    ]
    if evaluation.unreadable:
        lines.append(f"{evaluation.unreadable} unreadable files are not counted")
    return "\n".join(lines)


def headline(evaluation: Evaluation) -> dict[str, float]:
    """The figures that a manifest quotes, rounded to four digits."""
    figures = {"accuracy": evaluation.accuracy, "auc": evaluation.auc, "loss": evaluation.loss}
    figures |= {f"recall {name}": f.recall for name, f in evaluation.by_label.items()}
    rounded = {name: round(value, 4) for name, value in figures.items()}
    return {"images": float(evaluation.images), **rounded}


def _cross_entropy(scored: Scored) -> float:
    chosen = scored.table[np.arange(len(scored.labels)), scored.labels]
    return float(-np.log(chosen.clip(_EPSILON, 1 - _EPSILON)).mean())


def _binary(scored: Scored, spec: ModelSpec) -> tuple[npt.NDArray[np.bool_], Probabilities]:
    assert spec.positive_label is not None  # noqa: S101 - the type checker cannot know
    positive = spec.labels.index(spec.positive_label)
    return scored.labels == positive, positive_scores(scored.table, spec)


def _auc(scored: Scored, spec: ModelSpec, metrics: object) -> float:
    roc_auc_score = metrics.roc_auc_score  # type: ignore[attr-defined]
    if spec.positive_label is None:
        areas = [roc_auc_score(scored.labels == i, p) for i, p in enumerate(scored.table.T)]
        return float(np.mean(areas))
    return float(roc_auc_score(*_binary(scored, spec)))
