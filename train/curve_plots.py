"""Curves of an evaluation: ROC, precision and recall, reliability."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cxr_edge.metrics import BINS
from cxr_edge.spec import ModelSpec
from cxr_edge.train.canvas import (
    BLUE,
    GREY,
    ORANGE,
    WIDE,
    error_bars,
    escape_formulas,
    new_figure,
    save_figure,
    score_name,
)
from cxr_edge.train.evaluation.document import Evaluation, RocPoints


def plot_roc(path: Path, evaluation: Evaluation) -> None:
    """The ROC curve of two labels, with the operating point and the baseline's curve."""
    spec, baseline = evaluation.model.spec, evaluation.baseline
    figure, axes = new_figure(4.8, 4.6)
    axes.plot(*_roc_points(evaluation.roc), color=BLUE, label=f"AUC {evaluation.auc:.3f}")
    if baseline:
        area = baseline.comparison.figures["auc"].value
        axes.plot(*_roc_points(baseline.roc), "--", color=GREY, label=f"baseline, AUC {area:.3f}")
    axes.plot([0, 1], [0, 1], ":", color=GREY, label="chance")
    positive, negative = _names(spec)
    found, spared = (evaluation.figures[name] for name in ("sensitivity", "specificity"))
    axes.errorbar(
        1 - spared.value, found.value, fmt="o", color=ORANGE, capsize=3,
        xerr=error_bars(spared)[::-1], yerr=error_bars(found),
        label=f"threshold {evaluation.threshold:.3g}, 95 % interval",
    )  # fmt: skip
    axes.set_xlabel(f"share of {negative} called {positive} (1 - specificity)")
    axes.set_ylabel(f"share of {positive} found (sensitivity)")
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right", fontsize=9)
    axes.set_title("ROC curve")
    save_figure(figure, path)


def plot_precision_recall(path: Path, evaluation: Evaluation) -> None:
    """Precision against recall of two labels, with the operating point of the threshold."""
    spec = evaluation.model.spec
    (curve,) = evaluation.precision_recall.values()
    figure, axes = new_figure(4.8, 4.6)
    average = evaluation.figures["average precision"].value
    axes.step(
        np.concatenate([[0.0], curve.recall]),
        np.concatenate([curve.precision[:1], curve.precision]),
        where="pre", color=BLUE, label=f"average precision {average:.3f}",
    )  # fmt: skip
    positive, _ = _names(spec)
    share = curve.share
    axes.axhline(share, ls=":", color=GREY, label=f"chance: share of {positive}, {share:.2f}")
    figures = evaluation.figures
    axes.plot(
        figures["sensitivity"].value, figures["precision"].value, "o",
        color=ORANGE, label=f"threshold {evaluation.threshold:.3g}",
    )  # fmt: skip
    axes.set_xlabel(f"share of {positive} found (recall)")
    axes.set_ylabel(f"share of {positive} decisions that are right (precision)")
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(min(0.5, share - 0.05), 1.03)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower left", fontsize=9)
    axes.set_title("Precision and recall")
    save_figure(figure, path)


def plot_reliability(path: Path, evaluation: Evaluation) -> None:
    """The observed share against the score, and the number of images in each bin."""
    spec, bins = evaluation.model.spec, evaluation.reliability
    filled = [(each.score, each.share) for each in bins if each.share]
    figure, (upper, lower) = new_figure(WIDE * 0.8, 5.6, 2, 1)
    upper.plot([0, 1], [0, 1], ":", color=GREY)
    bars = np.concatenate([error_bars(share) for _, share in filled], axis=1)
    upper.errorbar(
        [score for score, _ in filled], [share.value for _, share in filled],
        yerr=bars, fmt="o-", color=BLUE, capsize=3, lw=1,
    )  # fmt: skip
    upper.set_ylabel("share that came true")
    upper.set_ylim(-0.05, 1.05)
    error, least = evaluation.figures["ece"].value, evaluation.calibration_error_floor
    upper.set_title(
        f"Reliability with 95 % intervals\nECE {error:.3f}; {least:.3f} if perfectly calibrated",
        fontsize=11,
    )
    centres = (np.arange(BINS) + 0.5) / BINS
    drawn = lower.bar(centres, [each.images for each in bins], 0.9 / BINS, color=BLUE)
    lower.bar_label(drawn, fontsize=9, padding=2)
    lower.margins(y=0.2)
    lower.set_ylabel("images")
    for axes in (upper, lower):
        axes.set_xlim(-0.02, 1.02)
        axes.set_xticks(np.linspace(0, 1, BINS + 1))
        axes.set_xlabel(score_name(spec))
        axes.grid(alpha=0.3)
    save_figure(figure, path)


def _roc_points(curves: dict[str, RocPoints]) -> tuple[Sequence[float], Sequence[float]]:
    (curve,) = curves.values()
    return curve.false_positive_rate, curve.true_positive_rate


def _names(spec: ModelSpec) -> tuple[str, str]:
    """The positive and the negative label."""
    positive = spec.positive_label or ""
    negative = next(name for name in spec.labels if name != positive)
    first, second = escape_formulas([positive, negative])
    return first, second
