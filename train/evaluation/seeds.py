"""Several models on the same images: how far their figures vary."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from cxr_edge.errors import UsageError
from cxr_edge.metrics.evaluation import Evaluation, Spread
from cxr_edge.train.evaluation.scorers import ScoredModel

SPREAD_FIGURES = ("accuracy", "auc", "sensitivity", "specificity", "ece")
"""Figures of the table, those of them that the labels have."""


def check_same_labels(models: Sequence[ScoredModel]) -> None:
    """Refuse models whose figures cannot be compared.

    Raises:
        UsageError: two models differ in their labels or the positive one.
    """
    first = models[0].spec
    for model in models[1:]:
        spec = model.spec
        if set(spec.labels) != set(first.labels) or spec.positive_label != first.positive_label:
            raise UsageError(
                f"{model.name}: labels {', '.join(spec.labels)}, positive {spec.positive_label}; "
                f"{models[0].name} has {', '.join(first.labels)}, positive {first.positive_label}; "
                "evaluate models of the same labels together"
            )


def run_names(models: Sequence[ScoredModel]) -> list[str]:
    """A distinct name for each model, fit for a folder: ``1-run``, ``2-run``."""
    return [f"{number}-{model.name}" for number, model in enumerate(models, 1)]


def spread(evaluations: dict[str, Evaluation]) -> dict[str, Spread]:
    """Mean and sample standard deviation of each figure over at least two runs.

    Args:
        evaluations: run → its evaluation on the same images.
    """
    present = next(iter(evaluations.values())).figures
    spreads = {}
    for name in (name for name in SPREAD_FIGURES if name in present):
        runs = {run: evaluation.figures[name].value for run, evaluation in evaluations.items()}
        values = list(runs.values())
        spreads[name] = Spread(runs, statistics.fmean(values), statistics.stdev(values))
    return spreads
