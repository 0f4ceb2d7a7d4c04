"""Pictures of unusual results: few images, no mistakes, only mistakes, more than two labels."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_edge.spec import SEED_SPEC, ModelSpec
from cxr_edge.train.evaluation import Scored, evaluate
from cxr_edge.train.plots import plot_confusion, plot_gallery, plot_samples

THREE = dataclasses.replace(
    SEED_SPEC,
    labels=("A", "B", "C"),
    activation="softmax",
    positive_label=None,
    threshold=None,
)
RIGHT = np.asarray([[0.1], [0.2], [0.9]], np.float32), np.asarray([0, 0, 1])
WRONG = RIGHT[0], 1 - RIGHT[1]
OF_THREE = np.eye(3, dtype=np.float32), np.asarray([0, 1, 2])


@pytest.mark.parametrize(
    ("answers", "spec"), [(RIGHT, SEED_SPEC), (WRONG, SEED_SPEC), (OF_THREE, THREE)]
)
def test_three_images_are_drawn_however_they_were_decided(
    tmp_path: Path, answers: tuple[np.ndarray, np.ndarray], spec: ModelSpec
) -> None:
    pixels = np.full((3, 20, 20, 1), 128, np.uint8)
    scored = Scored.from_scores(*answers, spec)
    plot_samples(tmp_path / "samples.png", pixels, scored.labels, spec)
    plot_gallery(tmp_path / "gallery.png", pixels, scored, spec)
    plot_confusion(tmp_path / "confusion.png", evaluate(scored, spec), "Decisions")
    for name in ("samples", "gallery"):
        grey = cv2.imread(str(tmp_path / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
        _, _, parts, _ = cv2.connectedComponentsWithStats((grey == 128).astype(np.uint8))
        images = [area for area in parts[1:, cv2.CC_STAT_AREA] if area > 2000]
        assert len(images) == 3, name
    confusion = cv2.imread(str(tmp_path / "confusion.png"))
    assert confusion.std() > 10
