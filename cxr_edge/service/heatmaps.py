"""Heat maps of stored results: drawn when they are made, or when somebody asks for one."""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from cxr_edge.errors import CxrEdgeError, ImageError, NoHeatmap
from cxr_edge.files import read_file, sha256
from cxr_edge.image.listing import HEATMAP_SUFFIX
from cxr_edge.overlay import draw_overlay
from cxr_edge.service.config import ServiceConfig
from cxr_edge.service.model import ServedModel
from cxr_edge.service.store.rows import StoredResult

_MOST_BYTES = 2**25


def heatmap_name(kept: str) -> str:
    """Name of the picture that is drawn beside a kept file, relative to the same folder."""
    return f"{kept}{HEATMAP_SUFFIX}"


def stored_heatmap(
    result: StoredResult, kept: Path | None, model: ServedModel, config: ServiceConfig
) -> bytes:
    """The heat map of a stored result.

    Args:
        result: a prediction.
        kept: its file; None: it is not kept.
        model: the one that runs now.
        config: whether heat maps are drawn.

    Returns:
        A PNG.

    Raises:
        NoHeatmap: it has none.
    """
    if not result.document["ok"]:
        raise NoHeatmap("this file could not be classified")
    if kept is None:
        raise NoHeatmap("the image was not kept")
    drawn = kept.with_name(os.fspath(kept.name) + HEATMAP_SUFFIX)
    if result.document.get("heatmap") and drawn.exists():
        return read_file(drawn, max_bytes=_MOST_BYTES, error=NoHeatmap)
    if config.worker.heatmaps == "never":
        raise NoHeatmap("heat maps are turned off (worker.heatmaps)")
    if result.bundle != model.sha256:
        raise NoHeatmap("it was classified by another bundle than runs now")
    try:
        limit = int(config.worker.max_file_mb * 1e6)
        data = read_file(kept, max_bytes=limit, error=ImageError, follow_symlinks=False)
    except ImageError as err:
        raise NoHeatmap("the image is not kept any more") from err
    if sha256(data) != result.content:
        raise NoHeatmap("the kept image was changed")
    return draw_heatmap(data, result.path, model, config)


def draw_heatmap(data: bytes, name: str, model: ServedModel, config: ServiceConfig) -> bytes:
    """Draw the heat map of an image as PNG.

    Raises:
        NoHeatmap: the bundle has no heat maps, or the image cannot be explained.
    """
    try:
        explanation = model.explain(data, name, config)
    except CxrEdgeError as err:
        raise NoHeatmap(str(err)) from err
    picture = draw_overlay(explanation, model.classifier.spec)
    png: bytes = cv2.imencode(".png", picture)[1].tobytes()
    return png
