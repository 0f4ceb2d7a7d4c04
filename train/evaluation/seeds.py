"""Several trainings of one recipe on the same images: how much of a figure is luck of the seed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cxr_edge.errors import UsageError
from cxr_edge.train.evaluation.evaluation import Evaluation
from cxr_edge.train.evaluation.scorers import ScoredModel

SEEDS_NAME = "seeds.json"
COMPARED = ("accuracy", "auc", "sensitivity", "specificity", "ece")
"""Figures of the table, those of them that the labels have."""


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over several runs."""

    runs: dict[str, float]
    """Run → figure."""
    mean: float
    """Their mean."""
    standard_deviation: float
    """Their sample standard deviation (divided by runs - 1)."""


def check_alike(models: Sequence[ScoredModel]) -> None:
    """Refuse models whose figures would not mean the same.

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
    """A name for each model that is a folder's name too, all different: ``1-run``, ``2-run``."""
    return [f"{number}-{model.name}" for number, model in enumerate(models, 1)]


def spread(evaluations: dict[str, Evaluation]) -> dict[str, Spread]:
    """Mean and sample standard deviation of each figure over at least two runs.

    Args:
        evaluations: run → its figures on the same images.
    """
    found = {}
    known = next(iter(evaluations.values())).intervals
    for name in (name for name in COMPARED if name in known):
        runs = {run: each.intervals[name].value for run, each in evaluations.items()}
        values = list(runs.values())
        found[name] = Spread(runs, statistics.fmean(values), statistics.stdev(values))
    return found


def spread_text(figures: dict[str, Spread]) -> str:
    """The runs, their mean and their standard deviation as an aligned table."""
    runs = list(next(iter(figures.values())).runs)
    rows = {run: [each.runs[run] for each in figures.values()] for run in runs}
    rows["mean"] = [each.mean for each in figures.values()]
    rows["standard deviation"] = [each.standard_deviation for each in figures.values()]
    width = max(map(len, rows))
    lines = [f"{'':{width}}" + "".join(f"  {name:>11}" for name in figures)]
    for name, values in rows.items():
        lines.append(f"{name:{width}}" + "".join(f"  {value:11.4f}" for value in values))
    return "\n".join(lines)
