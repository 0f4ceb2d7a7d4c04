"""Shifts and copies: what is compared with what, and how it is matched."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_edge.data.folders import LabelledImages
from cxr_edge.errors import DataError
from cxr_edge.metrics import Interval
from cxr_edge.preprocess import Pixels
from cxr_edge.reporting import Silent
from cxr_edge.spec import SEED_SPEC, InputSpec
from cxr_edge.train.evaluation.figures import (
    COMPARED,
    compute_figures,
    figure_differences,
    resample_labelled,
)
from cxr_edge.train.evaluation.robustness import (
    Pairs,
    compare_copies,
    compare_shifts,
    read_copies,
    spread_evenly,
)
from cxr_edge.train.evaluation.scored import Scored
from cxr_edge.train.evaluation.shifts import SHIFTS

SPEC = dataclasses.replace(
    SEED_SPEC, labels=("NORMAL", "PNEUMONIA"), input=InputSpec(height=16, width=16)
)


def brightness(pixels: Pixels) -> np.ndarray:
    """A model that answers with the mean grey level."""
    return (pixels.mean(axis=(1, 2, 3)) / 255)[:, None].astype(np.float32)


def two_levels(count: int = 40) -> LabelledImages:
    """Uniform images: the well darker than the threshold, the sick brighter."""
    labels = np.arange(count) % 2
    levels = np.where(labels == 1, 150, 110) + np.arange(count) % 5
    pixels = np.broadcast_to(levels[:, None, None, None], (count, 16, 16, 1)).astype(np.uint8)
    return LabelledImages(pixels, labels, (), ())


def test_each_shift_is_set_against_the_unchanged_images() -> None:
    images = two_levels()
    resamples = resample_labelled(images.labels)
    own = Scored.from_scores(brightness(images.pixels), images.labels, SPEC)
    figures = compute_figures(own, SPEC, resamples)
    assert figures.samples["accuracy"][0] == 1
    found = compare_shifts(images, brightness, SPEC, figures, resamples, Silent())
    assert list(found) == list(SHIFTS)
    dark = found["gamma 1.4"]  # 150 becomes 121: every sick image is missed
    assert dark.figures["sensitivity"].value == 0
    assert dark.difference["sensitivity"] == Interval(-1, -1, -1)
    assert dark.difference["specificity"] == Interval(0, 0, 0)
    assert dark.difference["accuracy"].value == -0.5
    assert dark.figures["sensitivity"].high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert found["blur, sigma 1"].difference["accuracy"] == Interval(0, 0, 0)


def test_a_baselines_difference_is_the_models_figure_minus_its_own_and_is_paired() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(200) % 2
    better = np.clip(labels * 0.3 + random.normal(0.35, 0.2, 200), 0, 1)
    worse = np.clip(better + np.where(np.arange(200) % 10 == 0, 0.5 - labels, 0), 0, 1)
    first, second = (
        Scored.from_scores(s[:, None].astype(np.float32), labels, SPEC) for s in (better, worse)
    )
    resamples = resample_labelled(labels)
    model, baseline = (compute_figures(each, SPEC, resamples) for each in (first, second))
    found = figure_differences(baseline, model)
    own = model.intervals["accuracy"]
    whole = own.value - baseline.intervals["accuracy"].value
    difference = found["accuracy"]
    assert difference.value == pytest.approx(whole) and whole > 0
    assert difference.high - difference.low < own.high - own.low  # they err alike
    assert set(found) == set(COMPARED) and "brier" in model.intervals
    assert figure_differences(model, model)["auc"] == Interval(0, 0, 0)


def write(path: Path, level: int, side: int = 16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((side, side), level, np.uint8)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return path


def test_copies_are_matched_by_class_folder_and_name_and_either_side_may_hold_more(
    tmp_path: Path,
) -> None:
    root, other = tmp_path / "native", tmp_path / "small"
    names = ("NORMAL/a.png", "NORMAL/b.png", "PNEUMONIA/a.png", "PNEUMONIA/sub/c.png")
    files = [write(root / name, 10 * i) for i, name in enumerate(names)]
    for name, level in (("PNEUMONIA/sub/c.png", 31), ("NORMAL/b.png", 11), ("NORMAL/z.png", 99)):
        write(other / name, level, side=8)
    pairs = read_copies(root, files, other, SPEC.input, Silent())
    assert sorted(zip(pairs.chosen, pairs.names, strict=True)) == [
        (1, "NORMAL/b.png"),
        (3, "PNEUMONIA/sub/c.png"),
    ]
    levels = {name: image[0, 0, 0] for name, image in zip(pairs.names, pairs.pixels, strict=True)}
    assert levels == {"NORMAL/b.png": 11, "PNEUMONIA/sub/c.png": 31}
    assert pairs.pixels.shape == (2, 16, 16, 1) and pairs.unreadable == 0
    (other / "NORMAL/b.png").write_bytes(b"no image")
    assert read_copies(root, files, other, SPEC.input, Silent()).unreadable == 1


def test_copies_that_match_nothing_are_refused(tmp_path: Path) -> None:
    files = [write(tmp_path / "native/NORMAL/a.png", 1)]
    write(tmp_path / "small/NORMAL/b.png", 1)
    (tmp_path / "broken/NORMAL").mkdir(parents=True)
    (tmp_path / "broken/NORMAL/a.png").write_bytes(b"no image")
    for name, words in (
        ("small", "no file has the name of one in"),
        ("absent", "no such folder"),
        ("broken", "none of its images can be read"),
    ):
        with pytest.raises(DataError, match=f"{name}: {words}"):
            read_copies(tmp_path / "native", files, tmp_path / name, SPEC.input, Silent())


def test_changed_decisions_are_named_and_differences_measured() -> None:
    labels = np.asarray([1, 1, 0])
    scores = np.asarray([[0.9], [0.55], [0.2]]), np.asarray([[0.88], [0.45], [0.2]])
    first, second = (Scored.from_scores(s.astype(np.float32), labels, SPEC) for s in scores)
    pairs = Pairs((0, 1, 2), ("a", "b", "c"), np.zeros((3, 16, 16, 1), np.uint8), 0)
    found = compare_copies(first, second, pairs, SPEC)
    (changed,) = found.changed
    assert (changed.name, changed.score, changed.copy_score) == (
        "b",
        pytest.approx(0.55),
        pytest.approx(0.45),
    )
    assert (found.pairs, found.accuracy, found.copy_accuracy) == (3, 1, pytest.approx(2 / 3))
    assert found.max_abs_delta == pytest.approx(0.1, abs=1e-6)
    assert found.mean_abs_delta == pytest.approx(0.12 / 3, abs=1e-6)
    assert (found.scores, found.copy_scores) == (
        pytest.approx((0.9, 0.2)),
        pytest.approx((0.88, 0.2)),
    )


def test_indices_are_spread_evenly_with_both_ends() -> None:
    indices = np.arange(100, 200)
    assert spread_evenly(indices, 4).tolist() == [100, 133, 166, 199]
    assert spread_evenly(indices[:3], 4).tolist() == [100, 101, 102]
    assert spread_evenly(indices[:0], 4).tolist() == []
