"""From a model's scores to the evaluation of its document."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cxr_edge.metrics import Resamples, calibration_error_floor, ratio
from cxr_edge.metrics.evaluation import Evaluation, ImageSource, LabelFigures, ModelSource
from cxr_edge.train.evaluation.curves import (
    precision_recall_points,
    reliability,
    roc_points,
    score_histogram,
)
from cxr_edge.train.evaluation.figures import SampledFigures
from cxr_edge.train.evaluation.scored import Scored, confidence


def summarize(
    scored: Scored,
    figures: SampledFigures,
    resamples: Resamples,
    *,
    model: ModelSource,
    data: ImageSource,
) -> Evaluation:
    """Collect everything about a model's plain scores; no bootstrap of a figure runs here.

    Args:
        scored: scores and truth of N images; every label occurs.
        figures: from :func:`.figures.compute_figures`.
        resamples: of the same N images, for the intervals of the reliability bins.
        model: what was evaluated.
        data: what it was evaluated on.
    """
    spec = model.spec
    count = len(spec.labels)
    confusion = np.zeros((count, count), np.intp)
    np.add.at(confusion, (scored.labels, scored.decisions), 1)
    return Evaluation(
        model=model,
        data=data,
        figures=figures.intervals,
        calibration_error_floor=calibration_error_floor(confidence(scored, spec)[1]),
        by_label=_by_label(confusion, spec.labels),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        roc=roc_points(scored, spec),
        precision_recall=precision_recall_points(scored, spec),
        reliability=reliability(scored, spec, resamples),
        histogram=score_histogram(scored, spec),
    )


def headline(evaluation: Evaluation) -> dict[str, float]:
    """The figures that a manifest quotes, rounded to four digits, then ends of their intervals."""
    figures = {"accuracy": evaluation.accuracy, "auc": evaluation.auc, "loss": evaluation.loss}
    figures |= {f"recall {name}": f.recall for name, f in evaluation.by_label.items()}
    for name in ("accuracy", "auc", "sensitivity", "specificity"):
        if figure := evaluation.figures.get(name):
            figures |= {f"{name} low": figure.low, f"{name} high": figure.high}
    rounded = {name: round(value, 4) for name, value in figures.items()}
    return {"images": float(evaluation.data.images), **rounded}


def _by_label(confusion: npt.NDArray[np.intp], labels: tuple[str, ...]) -> dict[str, LabelFigures]:
    right = np.diag(confusion).astype(np.float64)
    decided = confusion.sum(axis=0).astype(np.float64)
    support = confusion.sum(axis=1).astype(np.float64)
    precision, recall = ratio(right, decided, 0.0), ratio(right, support, 0.0)
    f1 = ratio(2 * right, decided + support, 0.0)
    return {
        name: LabelFigures(float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
        for i, name in enumerate(labels)
    }
