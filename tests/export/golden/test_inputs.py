"""Golden inputs lie where the network lives, and do not overrule the user's images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.verify import replay_bundle
from cxr_edge.data.samples import Samples
from cxr_edge.decision import Scores
from cxr_edge.export.artifacts import find_kinds
from cxr_edge.export.golden import COUNT, draw_pictures
from cxr_edge.export.golden.alike import FEWEST, draw_alike, measure
from cxr_edge.export.golden.inputs import GoldenInputs
from cxr_edge.export.golden.reproduction import Reproduction
from cxr_edge.export.pipeline import export
from cxr_edge.export.request import CalibrationImages, ExportRequest, OriginalModel
from cxr_edge.extras import require_tensorflow
from cxr_edge.original.run_folder import UNKNOWN
from cxr_edge.preprocess import Pixels, normalize
from cxr_edge.reporting import Silent
from cxr_edge.spec import SEED_SPEC, InputSpec

SPEC = dataclasses.replace(
    SEED_SPEC,
    name="dim stripes",
    input=InputSpec(height=32, width=32),
    labels=("across", "down"),
    positive_label="down",
)
POOL = 64


def draw(number: int) -> np.ndarray:
    """Dim stripes on black, across or down: nothing like a phantom, and much darker."""
    random = np.random.default_rng([4, number])
    noise = random.integers(0, 6, (32, 32)).astype(float)
    phase = np.arange(32) * random.uniform(0.6, 2.0) + random.uniform(0, 6)
    wave, share = (1 + np.sin(phase)) * random.uniform(4, 8), random.uniform(0, 0.45)
    stripes = (1 - share) * wave[:, np.newaxis] + share * wave
    return (noise + (stripes if number % 2 else stripes.T)).astype(np.uint8)


def draw_samples(first: int, count: int) -> Samples:
    pixels = np.stack([draw(first + i) for i in range(count)])[..., np.newaxis]
    return Samples(pixels, np.arange(first, first + count) % 2, ())


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> OriginalModel:
    """A network that has only seen dim stripes, with such calibration and validation images."""
    keras, _ = require_tensorflow("export")
    keras.utils.set_random_seed(2)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(SPEC.input_shape),
            layers.Rescaling(8.0),
            layers.Conv2D(12, 3, strides=2, activation="relu"),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(16, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    seen = draw_samples(0, 256)
    loss = keras.losses.BinaryCrossentropy(label_smoothing=0.05)
    model.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
    batch = normalize(seen.pixels, SPEC.input)
    history = model.fit(batch, seen.labels, batch_size=32, epochs=12, verbose=0).history
    assert history["accuracy"][-1] > 0.8
    path = tmp_path_factory.mktemp("dim") / "model.keras"
    model.save(path)
    return OriginalModel(
        path.read_bytes(),
        SPEC,
        UNKNOWN,
        "dim",
        calibration=CalibrationImages(draw_samples(1000, 64), "kept"),
        validation=draw_samples(2000, 64),
    )


def test_a_network_that_never_saw_a_phantom_is_exported_on_the_users_images(
    original: OriginalModel, tmp_path: Path
) -> None:
    """Chosen among phantoms, its golden inputs refuse every recipe, for scores off by .2 to .9."""
    request = ExportRequest(strengths=(0.5,), golden_pool=POOL)
    out = tmp_path / "bundle"
    manifest, report = export(original, out, find_kinds(("onnx-int8",)), request, Silent())
    assert report.failed == ()
    assert [artifact.name for artifact in manifest.artifacts] == ["onnx-int8", "onnx-fp32"]
    assert report.golden == manifest.golden.source
    assert "within the range of those on the calibration images" in manifest.golden.source
    assert all(count >= 1 for count in manifest.golden.decisions.values())
    assert {verdict.outcome for verdict in replay_bundle(Bundle.open(out))} == {"proven"}
    # Nobody's image: those of the user are not in the bundle.
    held = {image.tobytes() for image in Bundle.open(out).golden().pixels}
    assert original.calibration and original.validation
    for samples in (original.calibration.samples, original.validation):
        assert held.isdisjoint(image.tobytes() for image in samples.pixels)


def test_the_users_images_are_kept_in_the_bundle_only_when_that_is_asked_for(
    original: OriginalModel, tmp_path: Path
) -> None:
    request = ExportRequest(keep_images=True, golden_pool=POOL)
    out = tmp_path / "bundle"
    manifest, _ = export(original, out, find_kinds(("onnx-fp32",)), request, Silent())
    assert original.validation
    given = {image.tobytes() for image in original.validation.pixels}
    assert {image.tobytes() for image in Bundle.open(out).golden().pixels} <= given
    assert "images of the user" in manifest.golden.source
    assert min(manifest.golden.decisions.values()) >= 8


# --- the rule itself, without a network: a picture's score is its brightness


def brightness(pixels: Pixels) -> Scores:
    level = pixels.reshape(len(pixels), -1).mean(axis=1, dtype=np.float64)
    return (1 / (1 + np.exp(-(level - 90) / 20))).astype(np.float32)[:, np.newaxis]


@pytest.fixture
def golden() -> GoldenInputs:
    return GoldenInputs(SPEC, brightness, 0.05, POOL, Silent())


def chosen(golden: GoldenInputs) -> set[bytes]:
    return {image.tobytes() for image in golden.chosen.pixels}


def reproduction(golden: GoldenInputs, flipped: np.ndarray, delta: np.ndarray) -> Reproduction:
    return Reproduction("onnx-int8", flipped, delta, 0.05)


def test_golden_inputs_within_the_ranges_stay_as_they_are(golden: GoldenInputs) -> None:
    before, source = chosen(golden), golden.source
    golden.move_inside(lambda pixels: np.zeros(len(pixels)), draw_samples(0, 32))
    assert (chosen(golden), golden.source) == (before, source)


def test_pictures_with_the_statistics_of_the_images_replace_phantoms_outside(
    golden: GoldenInputs,
) -> None:
    golden.move_inside(lambda p: p.reshape(len(p), -1).max(axis=1) / 45 - 1, draw_samples(0, 32))
    assert golden.chosen.pixels.max() <= 45 * 1.1
    assert "phantoms" not in golden.source and " textures with the average " in golden.source
    np.testing.assert_array_equal(golden.chosen.scores, brightness(golden.chosen.pixels))


def keep_dark_inside(golden: GoldenInputs) -> tuple[np.ndarray, np.ndarray]:
    """Move inside where all bright pictures are outside; the pool's decisions and its pixels."""
    golden.move_inside(
        lambda pixels: np.maximum(pixels.reshape(len(pixels), -1).mean(axis=1) - 80, 0),
        draw_samples(0, 8),
        keep_decisions=True,
    )
    return golden.pool.scores[:, 0] > 0.5, golden.pool.pixels


def test_a_decision_without_inputs_within_the_ranges_keeps_the_nearest(
    golden: GoldenInputs,
) -> None:
    bright, pixels = keep_dark_inside(golden)
    assert bright.sum() == COUNT // 2
    assert "those of down are outside it" in golden.source
    levels = golden.pool.pixels.reshape(len(pixels), -1).mean(axis=1)
    every = draw_pictures(SPEC, 0, POOL, striped=True)
    brighter = np.sort(every.reshape(POOL, -1).mean(axis=1)[brightness(every)[:, 0] > 0.5])
    assert levels[bright].max() <= brighter[COUNT // 2]
    assert {True, False} == set((golden.chosen.scores[:, 0] > 0.5).tolist())


def test_inputs_outside_the_ranges_refuse_no_file(golden: GoldenInputs) -> None:
    bright, _ = keep_dark_inside(golden)
    half = bright & (np.cumsum(bright) % 2 == 0)
    golden.replace([reproduction(golden, half, np.where(half, 0.4, 0.01))])
    assert (golden.pool.scores[:, 0] > 0.5).sum() == (bright & ~half).sum()
    bright = golden.pool.scores[:, 0] > 0.5
    golden.replace([reproduction(golden, bright, np.where(bright, 0.9, 0.0))])
    assert golden.pool.scores.max() < 0.5
    assert golden.tolerances == {}


def test_too_few_images_to_average_give_no_picture_of_theirs(golden: GoldenInputs) -> None:
    few = draw_samples(0, FEWEST - 1)
    assert measure(few) == []
    phantoms = {image.tobytes() for image in draw_pictures(SPEC, 0, POOL, striped=True)}
    golden.move_inside(lambda pixels: pixels.reshape(len(pixels), -1).mean(axis=1) - 60, few)
    assert chosen(golden) <= phantoms


def test_inputs_on_which_a_file_differs_are_replaced_and_that_is_said(golden: GoldenInputs) -> None:
    pool, before = golden.pool, chosen(golden)
    bad = np.asarray([image.tobytes() in before for image in pool.pixels])
    bad &= np.arange(len(bad)) % 3 == 0
    assert bad.any()
    golden.replace([reproduction(golden, bad, np.where(bad, 0.4, 0.01))])
    assert chosen(golden).isdisjoint(image.tobytes() for image in pool.pixels[bad])
    assert f"{bad.sum()} were replaced" in golden.source and golden.tolerances == {}


def test_where_no_input_of_a_decision_is_close_the_tolerance_becomes_what_was_measured(
    golden: GoldenInputs,
) -> None:
    positive = golden.pool.scores[:, 0] > 0.5
    delta = np.where(positive, 0.12, 0.01)
    golden.replace([reproduction(golden, np.zeros(len(delta), np.bool_), delta)])
    assert 0.12 < golden.tolerances["onnx-int8"] <= 0.15
    assert {True, False} == set((golden.chosen.scores[:, 0] > 0.5).tolist())


def test_a_file_that_changes_every_input_of_a_decision_is_not_spared(golden: GoldenInputs) -> None:
    before, source = chosen(golden), golden.source
    flipped = golden.pool.scores[:, 0] > 0.5
    golden.replace([reproduction(golden, flipped, np.where(flipped, 0.9, 0.0))])
    assert (chosen(golden), golden.source, golden.tolerances) == (before, source, {})


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_has_the_grey_levels_of_the_images_and_is_none_of_them(channels: int) -> None:
    random = np.random.default_rng(1)
    pixels = random.integers(180, 230, (2 * FEWEST, 16, 24, channels), np.uint8)
    spec = dataclasses.replace(SPEC, input=InputSpec(height=16, width=24, channels=channels))
    statistics = measure(Samples(pixels, None, ()))
    drawn = draw_alike(statistics, spec, 0, 12)
    assert drawn.shape == (12, 16, 24, channels) and drawn.dtype == np.uint8
    assert drawn.min() >= 180 and drawn.max() <= 230
    np.testing.assert_array_equal(draw_alike(statistics, spec, 5, 3), drawn[5:8])
    assert {p.tobytes() for p in drawn}.isdisjoint(p.tobytes() for p in pixels)
    assert len({p.tobytes() for p in drawn}) == 12


def test_each_label_with_enough_images_has_statistics_of_its_own() -> None:
    assert len(measure(draw_samples(0, 2 * FEWEST))) == 2
    assert len(measure(draw_samples(0, 2 * FEWEST - 2))) == 1


def test_what_is_chosen_is_never_more_than_a_bundle_holds(golden: GoldenInputs) -> None:
    golden.move_inside(lambda p: np.zeros(len(p)) + 0.2, draw_samples(0, 32))
    assert isinstance(golden.chosen, GoldenSet) and 1 <= len(golden.chosen.scores) <= COUNT
