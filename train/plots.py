"""Pictures of the data and of the training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_edge.preprocess import Pixels
from cxr_edge.spec import ModelSpec
from cxr_edge.train.canvas import BLUE, GREY, ORANGE, new_figure, save_figure, show_image
from cxr_edge.train.fitting.history import Epoch


def plot_class_counts(path: Path, counts: dict[str, dict[str, int]]) -> None:
    """Bars of images by label, one group of bars a part (training, validation, test).

    Args:
        path: the PNG to write.
        counts: part → label → images.
    """
    figure, axes = new_figure(6.4, 3.4)
    labels = list(next(iter(counts.values())))
    width = 0.8 / len(counts)
    shades = (BLUE, ORANGE, GREY)
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
    save_figure(figure, path)


def plot_samples(path: Path, pixels: Pixels, labels: npt.NDArray[np.intp], spec: ModelSpec) -> None:
    """Six images of each label, evenly spread over the folder, as the network sees them."""
    columns = 6
    figure, grid = new_figure(9.0, 1.75 * len(spec.labels) + 0.4, len(spec.labels), columns)
    for row, name in enumerate(spec.labels):
        members = np.flatnonzero(labels == row)
        chosen = members[np.linspace(0, len(members) - 1, min(columns, len(members))).astype(int)]
        for axes in grid[row]:
            axes.set_axis_off()
        for axes, index in zip(grid[row], chosen, strict=False):
            show_image(axes, pixels[index])
        grid[row][0].set_title(name, loc="left", fontsize=10)
    save_figure(figure, path)


def plot_curves(path: Path, epochs: Sequence[Epoch]) -> None:
    """Accuracy and loss of training and validation over the epochs."""
    figure, (left, right) = new_figure(9.0, 3.6, 1, 2)
    numbers = np.arange(1, len(epochs) + 1)
    for axes, quantity, unit in ((left, "accuracy", "share of images"), (right, "loss", "nats")):
        axes.plot(
            numbers, [getattr(e, quantity) for e in epochs], "o-", color=BLUE, label="training"
        )
        values = [getattr(e, f"val_{quantity}") for e in epochs]
        axes.plot(numbers, values, "s--", color=ORANGE, label="validation")
        axes.set_xticks(numbers[:: math.ceil(len(numbers) / 10)])
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"{quantity} ({unit})")
        axes.set_title(quantity.capitalize())
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    save_figure(figure, path)
