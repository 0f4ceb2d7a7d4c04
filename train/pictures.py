"""Pictures of a run folder: charts where the extra ``report`` is installed, and sample images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.errors import OutputError
from cxr_edge.files import printable, write_file
from cxr_edge.lettering import Lettering
from cxr_edge.preprocess import Pixels
from cxr_edge.report.documents import can_draw
from cxr_edge.spec import ModelSpec
from cxr_edge.train.fitting.history import Epoch

_COLUMNS = 6
_SIDE_PX = 160
_GAP_PX = 4


def draw_class_counts(out: Path, counts: dict[str, dict[str, int]]) -> None:
    """Write ``class-counts.png``; nothing without the extra ``report``.

    Args:
        out: the run folder.
        counts: part → label → images.

    Raises:
        OutputError: it cannot be written.
    """
    if can_draw():
        from cxr_edge.report.charts import png
        from cxr_edge.report.training import class_count_figure

        figure = class_count_figure(counts)
        write_file(out / f"{figure.name}.png", png(figure.chart))


def draw_history(out: Path, epochs: Sequence[Epoch]) -> None:
    """Write ``history-accuracy.png`` and ``history-loss.png``; nothing without ``report``.

    Raises:
        OutputError: a picture cannot be written.
    """
    if can_draw():
        from cxr_edge.report.charts import png
        from cxr_edge.report.training import history_figures

        curves = {
            "accuracy (share of images)": {
                "training": [epoch.accuracy for epoch in epochs],
                "validation": [epoch.val_accuracy for epoch in epochs],
            },
            "loss (nats)": {
                "training": [epoch.loss for epoch in epochs],
                "validation": [epoch.val_loss for epoch in epochs],
            },
        }
        for figure in history_figures(curves):
            write_file(out / f"{figure.name}.png", png(figure.chart))


def draw_samples(path: Path, pixels: Pixels, labels: npt.NDArray[np.intp], spec: ModelSpec) -> None:
    """Six images of each label, evenly spread over the folder, as the network sees them.

    Args:
        path: the PNG to write.
        pixels: (N, height, width, channels) uint8.
        labels: (N,).
        spec: names the labels.

    Raises:
        OutputError: it cannot be written.
    """
    width = _COLUMNS * (_SIDE_PX + _GAP_PX)
    text = Lettering(width)
    rows: list[npt.NDArray[np.uint8]] = []
    for index, label in enumerate(spec.labels):
        members = np.flatnonzero(labels == index)
        chosen = members[np.linspace(0, len(members) - 1, min(_COLUMNS, len(members))).astype(int)]
        rows += [*text.rows(text.shorten(label, text.text_width)), _row(pixels[chosen], width)]
    encoded, data = cv2.imencode(".png", np.concatenate(rows))
    if not encoded:
        raise OutputError(f"{printable(path)}: OpenCV cannot encode the picture")
    write_file(path, data.tobytes())


def _row(images: Pixels, width: int) -> npt.NDArray[np.uint8]:
    """(height, width, 3) BGR: images side by side, of one height."""
    height = round(_SIDE_PX * images.shape[1] / images.shape[2]) if len(images) else 1
    row = np.zeros((height + _GAP_PX, width, 3), np.uint8)
    for column, image in enumerate(images):
        code = cv2.COLOR_GRAY2BGR if image.shape[2] == 1 else cv2.COLOR_RGB2BGR
        left = column * (_SIDE_PX + _GAP_PX)
        small = cv2.resize(
            cv2.cvtColor(image, code), (_SIDE_PX, height), interpolation=cv2.INTER_AREA
        )
        row[:height, left : left + _SIDE_PX] = small
    return row
