"""Pictures of the data, the training and the results, for a page about 700 pixels wide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.decision import positive_scores
from cxr_edge.extras import require_figure
from cxr_edge.files import atomic_path
from cxr_edge.preprocess import Pixels
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation import Evaluation, Scored
from cxr_edge.train.history import Epoch

_DPI = 110
_BLUE, _ORANGE, _GREY = "#2f6db3", "#d9822b", "#7a7a7a"


def plot_class_counts(path: Path, counts: dict[str, dict[str, int]]) -> None:
    """Bars of images by label, one group of bars a part (training, validation, test).

    Args:
        path: the PNG to write.
        counts: part → label → images.
    """
    figure, axes = _figure(6.4, 3.4)
    labels = list(next(iter(counts.values())))
    width = 0.8 / len(counts)
    shades = (_BLUE, _ORANGE, _GREY)
    for position, (part, by_label) in enumerate(counts.items()):
        places = np.arange(len(labels)) + (position - (len(counts) - 1) / 2) * width
        heights = [by_label[label] for label in labels]
        bars = axes.bar(places, heights, width, label=part, color=shades[position % 3])
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=9, padding=2)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylabel("images")
    axes.margins(y=0.14)
    axes.set_title("Images by label")
    axes.legend(frameon=False)
    _save(figure, path)


def plot_samples(path: Path, pixels: Pixels, labels: npt.NDArray[np.intp], spec: ModelSpec) -> None:
    """Six images of each label, evenly spread over the folder, as the network sees them."""
    columns = 6
    figure, grid = _figure(9.0, 1.75 * len(spec.labels) + 0.4, len(spec.labels), columns)
    for row, name in enumerate(spec.labels):
        members = np.flatnonzero(labels == row)
        chosen = members[np.linspace(0, len(members) - 1, min(columns, len(members))).astype(int)]
        for axes in grid[row]:
            axes.set_axis_off()
        for axes, index in zip(grid[row], chosen, strict=False):
            _show(axes, pixels[index])
        grid[row][0].set_title(name, loc="left", fontsize=10)
    _save(figure, path)


def plot_curves(path: Path, epochs: Sequence[Epoch]) -> None:
    """Accuracy and loss of training and validation over the epochs."""
    figure, (left, right) = _figure(9.0, 3.6, 1, 2)
    numbers = np.arange(1, len(epochs) + 1)
    for axes, quantity, unit in ((left, "accuracy", "share of images"), (right, "loss", "nats")):
        axes.plot(
            numbers, [getattr(e, quantity) for e in epochs], "o-", color=_BLUE, label="training"
        )
        values = [getattr(e, f"val_{quantity}") for e in epochs]
        axes.plot(numbers, values, "s--", color=_ORANGE, label="validation")
        axes.set_xticks(numbers)
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"{quantity} ({unit})")
        axes.set_title(quantity.capitalize())
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    _save(figure, path)


def plot_confusion(path: Path, evaluation: Evaluation, title: str) -> None:
    """The confusion matrix as a heat map: shares of each true label, with counts."""
    labels = list(evaluation.by_label)
    counts = np.asarray(evaluation.confusion)
    shares = counts / counts.sum(axis=1, keepdims=True)
    side = 3.6 + 0.5 * max(0, len(labels) - 2)
    figure, axes = _figure(side + 1.2, side)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(labels)):
        for column in range(len(labels)):
            shade = "white" if shares[row, column] > 0.55 else "black"
            text = f"{counts[row, column]:,}\n{shares[row, column]:.1%}"
            axes.text(column, row, text, ha="center", va="center", color=shade, fontsize=10)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels, rotation=90, va="center")
    axes.set_xlabel("decided")
    axes.set_ylabel("true")
    axes.set_title(title)
    figure.colorbar(image, ax=axes, label="share of the true label", fraction=0.046)
    _save(figure, path)


def plot_roc(
    path: Path,
    false_rate: npt.NDArray[np.float64],
    true_rate: npt.NDArray[np.float64],
    evaluation: Evaluation,
    spec: ModelSpec,
) -> None:
    """The ROC curve of the positive label, with the working point of the threshold."""
    figure, axes = _figure(4.6, 4.4)
    axes.plot(false_rate, true_rate, color=_BLUE, label=f"AUC {evaluation.auc:.3f}")
    axes.plot([0, 1], [0, 1], ":", color=_GREY, label="chance")
    positive = spec.positive_label or ""
    negative = next(name for name in spec.labels if name != positive)
    point = (1 - evaluation.by_label[negative].recall, evaluation.by_label[positive].recall)
    label = f"threshold {evaluation.threshold:.3g}"
    axes.plot(*point, "o", color=_ORANGE, label=label)
    axes.set_xlabel(f"share of {negative} called {positive}")
    axes.set_ylabel(f"share of {positive} found")
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    axes.set_title("ROC curve")
    _save(figure, path)


def plot_gallery(path: Path, pixels: Pixels, scored: Scored, spec: ModelSpec) -> None:
    """Eight right decisions, spread over the folder, above the eight surest wrong ones."""
    columns = 8
    right = np.flatnonzero(scored.decisions == scored.labels)
    right = right[np.linspace(0, len(right) - 1, min(columns, len(right))).astype(int)]
    sureness = scored.table[np.arange(len(scored.labels)), scored.decisions]
    wrong = np.flatnonzero(scored.decisions != scored.labels)
    wrong = wrong[np.argsort(-sureness[wrong], kind="stable")][:columns]
    figure, grid = _figure(11.0, 4.4, 2, columns)
    shown = positive_scores(scored.table, spec)
    quantity = f"P({spec.positive_label})" if spec.positive_label else "P"
    for row, (title, chosen) in enumerate((("right", right), ("wrong, surest first", wrong))):
        for axes in grid[row]:
            axes.set_axis_off()
        for axes, index in zip(grid[row], chosen, strict=False):
            _show(axes, pixels[index])
            caption = f"true {spec.labels[scored.labels[index]]}\n{quantity} {shown[index]:.2f}"
            axes.text(
                0.5, -0.04, caption, ha="center", va="top", fontsize=7, transform=axes.transAxes
            )
        grid[row][0].set_title(f"{title} ({len(chosen)} shown)", loc="left", fontsize=10)
    _save(figure, path)


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> Any:
    """A figure of ``width`` x ``height`` inches with its axes, laid out so that nothing is cut."""
    figure = require_figure("evaluate")(figsize=(width, height), dpi=_DPI, layout="constrained")
    return figure, figure.subplots(rows, columns)


def _show(axes: Any, image: npt.NDArray[np.uint8]) -> None:
    axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)


def _save(figure: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, metadata={"Software": None})
