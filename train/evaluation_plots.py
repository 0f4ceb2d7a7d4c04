"""Pictures of an evaluation besides its curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cxr_edge.decision import positive_scores
from cxr_edge.preprocess import Pixels
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
    show_image,
)
from cxr_edge.train.evaluation.document import Evaluation, FigureComparison
from cxr_edge.train.evaluation.gallery import GALLERY_SIZE, choose_images
from cxr_edge.train.evaluation.scored import Scored

_TITLES = {
    "wrong": "wrong, surest first",
    "nearest": "nearest to changing",
    "right": "right",
}


def plot_confusion(path: Path, evaluation: Evaluation, title: str) -> None:
    """The confusion matrix as a heat map: shares of each true label, with counts."""
    labels = list(evaluation.by_label)
    counts = np.asarray(evaluation.confusion)
    shares = counts / counts.sum(axis=1, keepdims=True)
    side = 3.6 + 0.5 * max(0, len(labels) - 2)
    figure, axes = new_figure(side + 1.2, side)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(labels)):
        for column in range(len(labels)):
            shade = "white" if shares[row, column] > 0.55 else "black"
            text = f"{counts[row, column]:,}\n{shares[row, column]:.1%}"
            axes.text(column, row, text, ha="center", va="center", color=shade, fontsize=10)
    axes.set_xticks(range(len(labels)), escape_formulas(labels))
    axes.set_yticks(range(len(labels)), escape_formulas(labels), rotation=90, va="center")
    axes.set_xlabel("decided")
    axes.set_ylabel("true")
    axes.set_title(escape_formulas([title])[0])
    figure.colorbar(image, ax=axes, label="share of the true label", fraction=0.046)
    save_figure(figure, path)


def plot_scores(path: Path, scored: Scored, spec: ModelSpec) -> None:
    """Histograms of the scores: by true label, or right and wrong for more than two labels."""
    scores = positive_scores(scored.table, spec)
    if spec.positive_label is None:
        right = scored.decisions == scored.labels
        groups = {"right": right, "wrong": ~right}
    else:
        groups = {name: scored.labels == i for i, name in enumerate(spec.labels)}
        if spec.labels[0] != spec.positive_label:  # the positive label is drawn in blue
            groups = dict(reversed(groups.items()))
    figure, panels = new_figure(WIDE * 0.8, 4.2, len(groups), 1)
    edges = np.linspace(0, 1, 26)
    for axes, (name, members), colour in zip(panels, groups.items(), (BLUE, ORANGE), strict=True):
        axes.hist(scores[members], edges, color=colour)
        label = escape_formulas([name])[0]
        axes.set_title(f"{label}: {members.sum():,} images", loc="left", fontsize=10)
        axes.set_ylabel("images")
        axes.grid(alpha=0.3)
        if spec.threshold is not None:
            axes.axvline(spec.threshold, ls="--", color="black", lw=1.2)
            axes.annotate(
                f" threshold {spec.threshold:.3g}", (spec.threshold, 0.9), fontsize=9,
                xycoords=("data", "axes fraction"),
                ha="left" if spec.threshold < 0.7 else "right",
            )  # fmt: skip
    panels[-1].set_xlabel(score_name(spec))
    save_figure(figure, path)


def plot_shifts(path: Path, evaluation: Evaluation, shifts: dict[str, FigureComparison]) -> None:
    """Each shift's figures as dots with intervals, beside those of the unchanged images."""
    pairs = [("accuracy", "auc"), ("sensitivity", "specificity")]
    pairs = [pair for pair in pairs if pair[0] in evaluation.figures]
    rows = {"unchanged": evaluation.figures} | {n: s.figures for n, s in shifts.items()}
    figure, panels = new_figure(WIDE, 0.36 * len(rows) + 1.3, 1, len(pairs))
    for axes, pair in zip(np.atleast_1d(panels), pairs, strict=True):
        for name, colour, marker, offset in zip(
            pair, (BLUE, ORANGE), ("o", "s"), (-0.14, 0.14), strict=True
        ):
            found = [figures[name] for figures in rows.values()]
            bars = np.concatenate([error_bars(each) for each in found], axis=1)
            axes.errorbar(
                [each.value for each in found], np.arange(len(rows)) + offset, xerr=bars,
                fmt=marker, ms=5, color=colour, lw=1.3,
                label="AUC" if name == "auc" else name,
            )  # fmt: skip
            axes.axvline(found[0].value, ls=":", lw=1, color=colour)
        axes.set_yticks(range(len(rows)), list(rows) if axes is np.atleast_1d(panels)[0] else [])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(right=1.005)
        axes.set_xlabel("share of images, area (95 % interval)" if pair[1] == "auc" else "share")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=9, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    save_figure(figure, path)


def plot_copies(path: Path, scored: Scored, copied: Scored, spec: ModelSpec) -> None:
    """The score of each image against that of its copy; changed decisions stand out."""
    scores = positive_scores(scored.table, spec), positive_scores(copied.table, spec)
    changed = scored.decisions != copied.decisions
    figure, axes = new_figure(4.8, 4.8)
    axes.plot([0, 1], [0, 1], ":", color=GREY)
    for members, colour, marker, label in (
        (~changed, BLUE, "o", "same decision"),
        (changed, ORANGE, "D", "other decision"),
    ):
        axes.plot(
            scores[0][members], scores[1][members], marker, ms=5, alpha=0.7, color=colour,
            label=f"{label} ({members.sum():,})",
        )  # fmt: skip
    if spec.threshold is not None:
        axes.axvline(spec.threshold, ls="--", lw=1, color="black", label="threshold")
        axes.axhline(spec.threshold, ls="--", lw=1, color="black")
    axes.set_xlabel(f"{score_name(spec)}, evaluated file")
    axes.set_ylabel(f"{score_name(spec)}, its copy")
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    axes.set_title("The same images at another resolution")
    save_figure(figure, path)


def plot_gallery(path: Path, pixels: Pixels, scored: Scored, spec: ModelSpec) -> None:
    """Right decisions spread over the folder, the surest wrong ones, and the least certain ones."""
    figure, grid = new_figure(WIDE, 5.4, 3, GALLERY_SIZE)
    shown = positive_scores(scored.table, spec)
    quantity = score_name(spec) if spec.positive_label else "largest P"
    labels = escape_formulas(list(spec.labels))
    rows = [(_TITLES[choice.kind], choice.chosen) for choice in choose_images(scored, spec)]
    for row, (title, chosen) in enumerate(rows):
        for axes in grid[row]:
            axes.set_axis_off()
        for axes, index in zip(grid[row], chosen, strict=False):
            show_image(axes, pixels[index])
            caption = f"truly {labels[scored.labels[index]]}\n{quantity} {shown[index]:.2f}"
            axes.text(
                0.5, -0.04, caption, ha="center", va="top", fontsize=7, transform=axes.transAxes
            )
        grid[row][0].set_title(f"{title} ({len(chosen)} shown)", loc="left", fontsize=10)
    save_figure(figure, path)
