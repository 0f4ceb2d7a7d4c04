"""Pictures of a run folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_edge.spec import SEED_SPEC
from cxr_edge.train import pictures
from cxr_edge.train.fitting.history import Epoch


def read(path: Path) -> np.ndarray:
    return cv2.imread(str(path))


def test_counts_and_history_are_charts(tmp_path):
    pictures.draw_class_counts(
        tmp_path, {"training": {"A": 10, "B": 1200}, "test": {"A": 1, "B": 2}}
    )
    pictures.draw_history(tmp_path, [Epoch(0.5 / n, 0.9, 0.6, 0.8, 1e-3, 1.0) for n in (1, 2)])
    names = ("class-counts", "history-accuracy", "history-loss")
    for name in names:
        assert read(tmp_path / f"{name}.png").std() > 10
    assert sorted(p.stem for p in tmp_path.iterdir()) == sorted(names)


def test_one_epoch_is_drawn(tmp_path):
    pictures.draw_history(tmp_path, [Epoch(0.5, 0.9, 0.6, 0.8, 1e-3, 1.0)])
    assert read(tmp_path / "history-loss.png").std() > 5


def test_without_the_extra_there_are_no_charts(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "can_draw", lambda: False)
    pictures.draw_class_counts(tmp_path, {"training": {"A": 10}})
    pictures.draw_history(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_show_each_label_in_its_row(tmp_path, channels):
    spec = dataclasses.replace(
        SEED_SPEC, labels=("dark", "bright"), positive_label="dark",
        input=dataclasses.replace(SEED_SPEC.input, channels=channels),
    )  # fmt: skip
    labels = np.asarray([0, 1] * 10)
    pixels = np.where(labels[:, None, None, None] == 1, 250, 60).astype(np.uint8)
    pixels = np.broadcast_to(pixels, (20, 30, 40, channels))
    pictures.draw_samples(tmp_path / "samples.png", pixels, labels, spec)
    picture = read(tmp_path / "samples.png")
    rows = picture.mean(axis=(1, 2))
    height = len(rows)
    assert rows[: height // 2].max() < 90 < 200 < rows[height // 2 :].max()


def test_fewer_images_than_places_are_shown(tmp_path):
    pixels = np.full((1, 10, 10, 1), 200, np.uint8)
    pictures.draw_samples(tmp_path / "s.png", pixels, np.asarray([0]), SEED_SPEC)
    assert read(tmp_path / "s.png").max() >= 200
