"""Curves of an evaluation: ROC, precision and recall, reliability."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cxr_edge.metrics import BINS, Floats, precision_recall_curve, roc_curve
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
from cxr_edge.train.evaluation.evaluation import Evaluation
from cxr_edge.train.evaluation.reliability import Reliability
from cxr_edge.train.evaluation.scored import Scored, binary


def plot_roc(
    path: Path,
    scored: Scored,
    evaluation: Evaluation,
    spec: ModelSpec,
    baseline: tuple[Scored, ModelSpec] | None = None,
) -> None:
    """The ROC curve of the positive label, with the working point of the threshold.

    Args:
        path: the PNG to write.
        scored: answers of a model with two labels.
        evaluation: its figures.
        spec: names of the labels.
        baseline: another model's answers to the same images and its spec, drawn beside it.
    """
    figure, axes = new_figure(4.8, 4.6)
    axes.plot(*_roc_points(scored, spec), color=BLUE, label=f"AUC {evaluation.auc:.3f}")
    if baseline and evaluation.baseline:
        area = evaluation.baseline.intervals["auc"].value
        axes.plot(*_roc_points(*baseline), "--", color=GREY, label=f"baseline, AUC {area:.3f}")
    axes.plot([0, 1], [0, 1], ":", color=GREY, label="chance")
    positive, negative = _names(spec)
    found, spared = (evaluation.intervals[name] for name in ("sensitivity", "specificity"))
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


def plot_precision_recall(
    path: Path, scored: Scored, evaluation: Evaluation, spec: ModelSpec
) -> None:
    """Precision against recall of the positive label, with the working point of the threshold."""
    truth, scores = binary(scored, spec)
    curve = precision_recall_curve(truth, scores)
    figure, axes = new_figure(4.8, 4.6)
    average = evaluation.intervals["average precision"].value
    axes.step(
        np.concatenate([[0.0], curve.recall]),
        np.concatenate([curve.precision[:1], curve.precision]),
        where="pre", color=BLUE, label=f"average precision {average:.3f}",
    )  # fmt: skip
    positive, _ = _names(spec)
    share = float(truth.mean())
    axes.axhline(share, ls=":", color=GREY, label=f"chance: share of {positive}, {share:.2f}")
    figures = evaluation.intervals
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


def plot_reliability(
    path: Path, found: Reliability, evaluation: Evaluation, spec: ModelSpec
) -> None:
    """The share that came true against the score, and the number of images in each bin.

    Args:
        path: the PNG to write.
        found: the bins.
        evaluation: holds the calibration error.
        spec: names the score.
    """
    figure, (upper, lower) = new_figure(WIDE * 0.8, 5.6, 2, 1)
    upper.plot([0, 1], [0, 1], ":", color=GREY)
    filled = found.counts > 0
    shares = found.shares[filled]
    bars = np.stack([shares - found.low[filled], found.high[filled] - shares]).clip(0)
    upper.errorbar(found.scores[filled], shares, yerr=bars, fmt="o-", color=BLUE, capsize=3, lw=1)
    upper.set_ylabel("share that came true")
    upper.set_ylim(-0.05, 1.05)
    error, least = evaluation.intervals["ece"].value, evaluation.calibrated_ece
    upper.set_title(
        f"Reliability with 95 % intervals\nECE {error:.3f}; {least:.3f} if perfectly calibrated",
        fontsize=11,
    )
    centres = (np.arange(BINS) + 0.5) / BINS
    drawn = lower.bar(centres, found.counts, 0.9 / BINS, color=BLUE)
    lower.bar_label(drawn, fontsize=9, padding=2)
    lower.margins(y=0.2)
    lower.set_ylabel("images")
    for axes in (upper, lower):
        axes.set_xlim(-0.02, 1.02)
        axes.set_xticks(np.linspace(0, 1, BINS + 1))
        axes.set_xlabel(score_name(spec))
        axes.grid(alpha=0.3)
    save_figure(figure, path)


def _roc_points(scored: Scored, spec: ModelSpec) -> tuple[Floats, Floats]:
    curve = roc_curve(*binary(scored, spec))
    return curve.false_positive_rate, curve.true_positive_rate


def _names(spec: ModelSpec) -> tuple[str, str]:
    """The positive and the negative label."""
    positive = spec.positive_label or ""
    negative = next(name for name in spec.labels if name != positive)
    first, second = escape_formulas([positive, negative])
    return first, second
