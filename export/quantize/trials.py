"""Trials of a search: one recipe each, with what its file changed, and their table."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from cxr_edge.bundle.proofs import Parity
from cxr_edge.engines import Engine
from cxr_edge.export.quantize.recipe import QuantizationRecipe, shortened
from cxr_edge.preprocess import Batch

_TIMED_RUNS = 20
_COLUMNS, _RECIPE_COLUMNS = 100, 54


@dataclass(frozen=True, slots=True)
class Trial:
    """A recipe that was tried."""

    recipe: QuantizationRecipe
    parity: Parity | None
    """Differences on the selection images; None: the file's scores are no probabilities."""
    auc_drop: float | None
    """Loss of area under the ROC curve; None: labels are unknown."""
    bytes: int
    """Size of the file."""
    p50_ms: float | None
    """Median time of one inference on this machine, one thread, not interleaved."""
    excess: str
    """What exceeds the budget, in words; empty: nothing does."""

    @property
    def rank(self) -> tuple[bool, int, float]:
        """Smallest for the best trial: within the budget, fewest float32 layers, smallest mean."""
        mean = self.parity.mean_abs_delta if self.parity else 1.0
        return (bool(self.excess), 0 if self.excess else len(self.recipe.float_layers), mean)


def median_ms(engine: Engine, batch: Batch) -> float:
    """Median time of one inference, milliseconds."""
    times = []
    for _ in range(_TIMED_RUNS):
        start = time.perf_counter()
        engine.run(batch)
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3


TABLE_HEAD = (
    "x: over the budget; d: change of a score; ms: one inference here; float: layers in float32\n"
    f"  {'flips':>5} {'max |d|':>7} {'mean |d|':>8} {'dAUC':>7} {'kB':>6} {'ms':>6}  recipe"
)
"""Head of the table of trials, two lines."""


def trial_row(trial: Trial) -> str:
    """One line of the table, at most 100 columns; ``x`` marks a recipe that exceeds the budget."""
    mark = "x" if trial.excess else " "
    if trial.parity is None:
        return shortened(f"{mark} {trial.recipe.row(_RECIPE_COLUMNS)}: {trial.excess}", _COLUMNS)
    drop = "" if trial.auc_drop is None else f"{_rounded(-trial.auc_drop):+.4f}"
    figures = (
        f"{mark} {trial.parity.flips:5} {trial.parity.max_abs_delta:7.4f} "
        f"{trial.parity.mean_abs_delta:8.5f} {drop:>7} {trial.bytes / 1e3:6.0f} "
        f"{trial.p50_ms:6.2f}  "
    )
    return figures + trial.recipe.row(_COLUMNS - len(figures))


def _rounded(change: float) -> float:
    """To four digits; 0 without a sign."""
    return round(change, 4) + 0.0
