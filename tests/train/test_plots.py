"""Pictures of unusual results: few images, no mistakes, only mistakes, more than two labels."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_edge.spec import SEED_SPEC, ModelSpec
from cxr_edge.train.curve_plots import plot_precision_recall, plot_reliability, plot_roc
from cxr_edge.train.evaluation.document import (
    Evaluation,
    FigureComparison,
    ImageSource,
    ModelSource,
)
from cxr_edge.train.evaluation.figures import compute_figures, resample_labelled
from cxr_edge.train.evaluation.gallery import choose_images
from cxr_edge.train.evaluation.scored import Scored
from cxr_edge.train.evaluation.summary import summarize
from cxr_edge.train.evaluation_plots import (
    plot_confusion,
    plot_copies,
    plot_gallery,
    plot_scores,
    plot_shifts,
)
from cxr_edge.train.plots import plot_samples

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


def evaluate(scored: Scored, spec: ModelSpec) -> Evaluation:
    resamples = resample_labelled(scored.labels)
    data = ImageSource("test", len(scored.labels), resamples.patients, 0, 1000)
    model = ModelSource("run", "model.keras", "Keras", spec)
    figures = compute_figures(scored, spec, resamples)
    return summarize(scored, figures, resamples, model=model, data=data)


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
    evaluation = evaluate(scored, spec)
    plot_confusion(tmp_path / "confusion.png", evaluation, "Decisions")
    shown = sum(len(choice.chosen) for choice in choose_images(scored, spec))
    assert shown == 6  # each is right or wrong, and each is among the nearest to changing
    for name, count in (("samples", 3), ("gallery", shown)):
        grey = cv2.imread(str(tmp_path / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
        _, _, parts, _ = cv2.connectedComponentsWithStats((grey == 128).astype(np.uint8))
        images = [area for area in parts[1:, cv2.CC_STAT_AREA] if area > 2000]
        assert len(images) == count, name
    plot_scores(tmp_path / "histogram.png", scored, spec)
    plot_reliability(tmp_path / "reliability.png", evaluation)
    plot_copies(tmp_path / "copies.png", scored, scored, spec)
    shifts = {"blur": FigureComparison(evaluation.figures, evaluation.figures)}
    plot_shifts(tmp_path / "shifts.png", evaluation, shifts)
    if spec.positive_label:
        plot_roc(tmp_path / "roc.png", evaluation)
        plot_precision_recall(tmp_path / "pr.png", evaluation)
    for path in tmp_path.iterdir():
        picture = cv2.imread(str(path))
        assert picture.std() > 10, path.name
        if path.name not in ("samples.png",):
            assert picture.shape[1] <= 800, path.name
        border = np.concatenate([picture[:3].ravel(), picture[-3:].ravel()])
        assert border.min() > 200, f"{path.name}: something is cut off at the border"


def test_a_label_with_dollars_is_no_formula(tmp_path: Path) -> None:
    spec = dataclasses.replace(SEED_SPEC, labels=(r"$\bad{$", "b$c"), positive_label="b$c")
    scored = Scored.from_scores(*RIGHT, spec)
    evaluation = evaluate(scored, spec)
    plot_confusion(tmp_path / "a.png", evaluation, "on $x_{$")
    plot_roc(tmp_path / "b.png", evaluation)
    plot_precision_recall(tmp_path / "c.png", evaluation)
    plot_scores(tmp_path / "d.png", scored, spec)
    plot_gallery(tmp_path / "e.png", np.full((3, 9, 9, 1), 7, np.uint8), scored, spec)
