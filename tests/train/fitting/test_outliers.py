"""Outliers are pictures like the training images, drawn the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_edge.data.phantom import draw_phantom
from cxr_edge.domain.features import FEATURES
from cxr_edge.train.fitting.outliers.draw import (
    OUTLIERS,
    describe_outliers,
    describe_varied,
    draw_outlier,
)


def images(height: int, width: int) -> np.ndarray:
    randoms = (np.random.default_rng(n) for n in range(4))
    return np.stack([draw_phantom(random, height=height, width=width) for random in randoms])


@pytest.mark.parametrize("size", [(150, 150), (48, 37), (10, 12)])
@pytest.mark.parametrize("name", OUTLIERS)
def test_an_outlier_of_any_size_is_a_picture_that_differs(name: str, size: tuple[int, int]) -> None:
    inside = images(*size)
    for seed in range(6):
        outlier = draw_outlier(name, inside, np.random.default_rng(seed))
        again = draw_outlier(name, inside, np.random.default_rng(seed))
        assert outlier.shape == size and outlier.dtype == np.uint8
        np.testing.assert_array_equal(outlier, again)
        assert all((outlier != image).mean() > 0.05 for image in inside)


def test_descriptions_have_a_group_and_are_the_same_on_any_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside = images(40, 40)
    features, groups = describe_outliers(inside, 120, 3)
    varied = describe_varied(inside, 60, 3)
    assert features.shape == (120, FEATURES) and varied.shape == (64, FEATURES)
    assert np.isfinite(features).all() and np.isfinite(varied).all()
    assert set(groups.tolist()) == {0, 1, 2} == {g for _, _, g in OUTLIERS.values()}
    monkeypatch.setattr("cxr_edge.train.fitting.outliers.draw.usable_cpus", lambda: 1)
    np.testing.assert_array_equal(describe_outliers(inside, 120, 3)[0], features)
