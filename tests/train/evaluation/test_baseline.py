"""The global-statistics baseline: what it measures, and that it sees nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cxr_edge.spec import SEED_SPEC
from cxr_edge.train.evaluation.baseline import (
    STATISTICS,
    explained_share,
    fit_baseline,
    global_statistics,
)
from cxr_edge.train.evaluation.figures import resample_labelled
from cxr_edge.train.evaluation.scored import Scored


def measured(image: np.ndarray) -> dict[str, float]:
    (row,) = global_statistics(image[np.newaxis, ..., np.newaxis].astype(np.uint8))
    return dict(zip(STATISTICS, row, strict=True))


def test_a_uniform_image_has_its_level_everywhere_and_no_sharpness() -> None:
    found = measured(np.full((64, 48), 51))
    for name in ("mean", "5th percentile", "95th", "left border", "upper corners"):
        assert found[name] == pytest.approx(0.2)
    for name in ("standard deviation", "mean gradient", "share of black", "share of white"):
        assert found[name] == pytest.approx(0, abs=1e-6)
    assert len(found) == 16


def test_each_border_and_corner_is_its_own() -> None:
    for name, place in {
        "left border": np.s_[:, :4],
        "right border": np.s_[:, -4:],
        "top border": np.s_[:4],
        "bottom border": np.s_[-4:],
    }.items():
        image = np.zeros((64, 64))
        image[place] = 255
        borders = {n: v for n, v in measured(image).items() if n.endswith("border")}
        assert borders.pop(name) == 1
        assert max(borders.values()) == pytest.approx(1 / 16)
    image = np.zeros((64, 64))
    image[:4, :4] = 255
    assert measured(image)["upper corners"] == 0.5
    assert measured(image)["lower corners"] == 0


def test_saturation_and_sharpness_are_seen() -> None:
    image = np.full((64, 64), 128)
    image[:16], image[-8:] = 0, 255
    found = measured(image)
    assert found["share of black"] == pytest.approx(0.25)
    assert found["share of white"] == pytest.approx(0.125)
    random = np.random.default_rng(0)
    assert measured(random.integers(0, 255, (64, 64)))["mean gradient"] > found["mean gradient"]


def test_channels_are_averaged() -> None:
    image = np.zeros((1, 20, 20, 3), np.uint8)
    image[..., 0] = 153
    assert global_statistics(image)[0, 0] == pytest.approx(0.2)


def test_it_learns_brightness_and_nothing_of_shape() -> None:
    random = np.random.default_rng(1)
    labels = np.arange(120) % 2
    noise = random.integers(-20, 20, (120, 32, 32, 1))
    bright = (noise + 100 + 40 * labels[:, None, None, None]).astype(np.uint8)
    baseline = fit_baseline(bright[:80], labels[:80], SEED_SPEC)
    assert baseline.images == 80
    resamples = resample_labelled(labels[80:])
    result = baseline.score(bright[80:], labels[80:], resamples)
    assert (result.scored.decisions == labels[80:]).all()
    assert (result.training_images, result.figures.intervals["accuracy"].value) == (80, 1)
    # The same grey levels in another order within the image are the same to it but for sharpness.
    shapes = np.where(labels[:, None, None, None] == 1, noise, noise[:, ::-1, ::-1])
    blind = fit_baseline((shapes[:80] + 100).astype(np.uint8), labels[:80], SEED_SPEC)
    result = blind.score((shapes[80:] + 100).astype(np.uint8), labels[80:], resamples)
    assert np.mean(result.scored.decisions == labels[80:]) < 0.75


def test_it_keeps_the_networks_labels_but_not_its_threshold() -> None:
    spec = dataclasses.replace(SEED_SPEC, threshold=0.9, uncertain_band=(0.8, 0.95))
    labels = np.arange(20) % 2
    pixels = np.full((20, 8, 8, 1), 60, np.uint8) + labels[:, None, None, None].astype(np.uint8)
    own = fit_baseline(pixels, labels, spec).spec
    assert (own.labels, own.positive_label) == (spec.labels, spec.positive_label)
    assert (own.threshold, own.uncertain_band) == (0.5, None)


@pytest.mark.parametrize(("brightness", "expected"), [(0.0, 0.0), (1.0, 0.5), (5.0, 0.96)])
def test_the_explained_share_is_what_the_statistics_add_within_a_label(
    brightness: float, expected: float
) -> None:
    random = np.random.default_rng(6)
    statistics = random.standard_normal((2000, 16))
    labels = np.arange(2000) % 2
    noise = random.standard_normal(2000)
    logits = 4.0 * labels - 2 + brightness * statistics[:, 3] + noise  # the label itself is no part
    scored = Scored.from_scores(1 / (1 + np.exp(-logits[:, np.newaxis])), labels, SEED_SPEC)
    share = explained_share(scored, statistics, SEED_SPEC)
    assert share == pytest.approx(expected, abs=0.03)
    few = Scored(scored.table[:60], scored.decisions[:60], labels[:60])
    assert explained_share(few, statistics[:60], SEED_SPEC) is None
