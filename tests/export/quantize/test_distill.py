"""Calibration images distilled from a network: as it knows them, and the same every time."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest

from cxr_edge.data.samples import Samples
from cxr_edge.export.golden import POOL, draw_pictures
from cxr_edge.export.graph.graph import build_model
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.export.quantize import distill as module
from cxr_edge.export.quantize.distill import (
    DRAWN_SOURCE,
    FIRST_PICTURE,
    NO_GRADIENT_SOURCE,
    SOURCE,
    affordable_steps,
    multiplications,
)
from cxr_edge.extras import require_tensorflow
from cxr_edge.preprocess import Pixels, normalize
from cxr_edge.reporting import Silent
from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec
from cxr_edge.spec_file import PRESETS

COUNT, STEPS = 32, 15
GREY = dataclasses.replace(SEED_SPEC, input=InputSpec(height=16, width=16))
RGB = ModelSpec(
    name="three",
    input=InputSpec(
        height=16,
        width=16,
        channels=3,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.25, 0.3),
        offset=0.1,
        channel_order="bgr",
    ),
    labels=("a", "b", "c"),
    activation="softmax",
    positive_label=None,
    threshold=None,
    threshold_choice="none",
)


def colour(labels: int, **values: Any) -> ModelSpec:
    """A spec of three channels; two labels have one sigmoid output."""
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    return ModelSpec(
        name="colour",
        input=InputSpec(height=16, width=16, channels=3, **values),
        labels=tuple(f"label{number}" for number in range(labels)),
        activation="softmax" if labels > 2 else "sigmoid",
        positive_label=None if labels > 2 else "label1",
        threshold=None if labels > 2 else 0.5,
        threshold_choice="none",
    )


# What strangers' networks read: pixels of 0..255 and every preset, with few labels and many.
OTHERS = {
    preset: colour(labels, **PRESETS[preset].values())
    for preset, labels in (("none", 2), ("caffe", 20), ("torch", 3), ("tf", 100))
}


def distill(model: Any, spec: ModelSpec) -> tuple[Samples, str]:
    """Distil with a fifth of the steps: these networks are small."""
    images = module.distill(model, spec, Silent(), steps=STEPS)
    assert images.in_bundle is (images.source == SOURCE)  # plain phantoms are drawn again instead
    return images.samples, images.source


def small_network(spec: ModelSpec, *, normalized: bool = True, gain: float = 1.0) -> Any:
    """A random network whose normalizations remember pictures that are no phantoms.

    ``gain`` multiplies what its first layer outputs.
    """
    keras, _ = require_tensorflow("export")
    keras.utils.set_random_seed(4)
    layers = keras.layers
    image = keras.Input(spec.input_shape)
    value = image
    for number in range(2):
        value = layers.Conv2D(4, 3, activation="relu", name=f"conv{number}")(value)
        if normalized:
            value = layers.BatchNormalization(name=f"norm{number}")(value)
    activation = spec.activation
    scores = layers.Dense(spec.outputs, activation=activation)(layers.Flatten()(value))
    model = keras.Model(image, scores)
    kernel, bias = model.get_layer("conv0").get_weights()
    model.get_layer("conv0").set_weights([kernel * np.float32(gain), bias])
    if normalized:
        remember(model, spec)
    return model


def normalizations(model: Any) -> list[Any]:
    return [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"]


def remember(model: Any, spec: ModelSpec) -> None:
    """Set the moving statistics to those of blurred noise, layer after layer."""
    random = np.random.default_rng(8)
    coarse = random.integers(0, 256, (64, 8, 8, spec.input.channels), np.uint8)
    pixels = coarse.repeat(2, axis=1).repeat(2, axis=2)
    for number, layer in enumerate(normalizations(model)):
        value = inputs_of_normalizations(model, pixels, spec)[number]
        layer.moving_mean.assign(value.mean(axis=(0, 1, 2)))
        layer.moving_variance.assign(value.var(axis=(0, 1, 2)))


def inputs_of_normalizations(model: Any, pixels: Pixels, spec: ModelSpec) -> list[np.ndarray]:
    keras, _ = require_tensorflow("export")
    inside = keras.Model(model.input, [layer.input for layer in normalizations(model)])
    return [np.asarray(value) for value in inside(normalize(pixels, spec.input), training=False)]


def distances(model: Any, pixels: Pixels, spec: ModelSpec) -> np.ndarray:
    """How far means and deviations of pictures are from those that a network remembers."""
    found = np.zeros(2)
    values = inputs_of_normalizations(model, pixels, spec)
    for layer, value in zip(normalizations(model), values, strict=True):
        mean, variance = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
        deviation = np.sqrt(variance + layer.epsilon)
        found[0] += np.mean(((value.mean(axis=(0, 1, 2)) - mean) / deviation) ** 2)
        seen = np.sqrt(value.var(axis=(0, 1, 2)) + layer.epsilon)
        found[1] += np.mean((seen / deviation - 1) ** 2)
    return found


@functools.cache
def phantoms_of(spec: ModelSpec) -> Pixels:
    """What distilling starts from."""
    return draw_pictures(spec, FIRST_PICTURE, COUNT)


@pytest.fixture(scope="module", params=[GREY, RGB], ids=["grey, sigmoid", "RGB, softmax"])
def distilled(request: pytest.FixtureRequest) -> tuple[ModelSpec, Any, Samples, str]:
    spec = request.param
    model = small_network(spec)
    samples, source = distill(model, spec)
    return spec, model, samples, source


def test_32_images_of_the_networks_size_are_made_for_every_label_in_turn(distilled: Any) -> None:
    spec, _, samples, source = distilled
    assert source == SOURCE and "distilled" in source
    assert samples.pixels.shape == (COUNT, *spec.input_shape)
    assert samples.pixels.dtype == np.uint8
    assert samples.labels.tolist() == [i % len(spec.labels) for i in range(COUNT)]
    assert samples.names == ()


def test_every_image_is_another_one_with_something_in_it(distilled: Any) -> None:
    _, _, samples, _ = distilled
    assert len(set(samples.hashes())) == COUNT
    assert all(image.std() > 5 for image in samples.pixels)


def test_the_images_cause_the_networks_statistics_more_nearly_than_phantoms(
    distilled: Any,
) -> None:
    spec, model, samples, _ = distilled
    phantoms = phantoms_of(spec)
    before, after = (distances(model, pixels, spec) for pixels in (phantoms, samples.pixels))
    assert np.all(after < before / 5)


def test_channels_that_hardly_vary_do_so_in_the_images() -> None:
    """A normalization adds .001 to their variance, which is most of what it divides by."""
    model = small_network(GREY, gain=0.1)
    stored = np.sqrt(np.asarray(normalizations(model)[0].moving_variance))
    assert stored.max() ** 2 < 0.5 * normalizations(model)[0].epsilon
    pixels = distill(model, GREY)[0].pixels
    value = inputs_of_normalizations(model, pixels, GREY)[0]
    assert (value.std(axis=(0, 1, 2)) < 1.1 * stored).all()


def test_the_network_tells_the_labels_apart_better_than_in_phantoms(distilled: Any) -> None:
    spec, model, samples, _ = distilled
    phantoms = phantoms_of(spec)

    def likelihood(pixels: Pixels) -> float:
        scores = np.asarray(model(normalize(pixels, spec.input), training=False))
        table = scores if spec.outputs > 1 else np.concatenate([1 - scores, scores], axis=1)
        return float(np.log(table[np.arange(COUNT), samples.labels]).mean())

    assert likelihood(samples.pixels) > likelihood(phantoms)


def test_the_same_network_gives_the_same_bytes_every_time(distilled: Any) -> None:
    spec, _, samples, _ = distilled
    afresh, _ = distill(small_network(spec), spec)
    assert afresh.pixels.tobytes() == samples.pixels.tobytes()


def test_distilling_leaves_the_network_as_it_was(distilled: Any) -> None:
    spec, model, _, _ = distilled
    weights = small_network(spec).get_weights()
    for one, other in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_distilling_starts_from_pictures_that_are_not_proven_on() -> None:
    assert FIRST_PICTURE >= POOL
    first = Samples(draw_pictures(GREY, 0, 8), None, ())
    assert len(Samples(draw_pictures(GREY, FIRST_PICTURE, 8), None, ()).without(first).pixels) == 8


@pytest.mark.parametrize("spec", [GREY, RGB], ids=["grey", "RGB"])
def test_a_network_without_normalization_gets_phantoms_and_says_so(spec: ModelSpec) -> None:
    samples, source = distill(small_network(spec, normalized=False), spec)
    assert source == DRAWN_SOURCE != SOURCE
    np.testing.assert_array_equal(samples.pixels, phantoms_of(spec))
    assert (samples.labels, samples.names) == (None, ())


@pytest.mark.parametrize("preset", OTHERS)
def test_whatever_range_and_order_a_network_reads_its_images_are_pictures(preset: str) -> None:
    spec = OTHERS[preset]
    model = small_network(spec)
    samples, source = distill(model, spec)
    assert source == SOURCE
    assert samples.labels is not None and samples.labels.max() == min(COUNT, len(spec.labels)) - 1
    assert all(image.std() > 5 and np.ptp(image) > 50 for image in samples.pixels)
    before, after = (distances(model, p, spec) for p in (phantoms_of(spec), samples.pixels))
    assert np.all(after < before / 3)


def test_a_head_of_logits_is_distilled_with_the_activation_behind_it() -> None:
    keras, _ = require_tensorflow("export")
    whole = small_network(GREY)
    logits = whole.layers[-1]
    keras.utils.set_random_seed(4)
    bare = keras.layers.Dense(1)
    scores = keras.layers.Activation("sigmoid")(bare(logits.input))
    bare.set_weights(logits.get_weights())
    samples, _ = distill(keras.Model(whole.input, scores), GREY)
    assert abs(samples.pixels.astype(int) - distill(whole, GREY)[0].pixels).max() <= 1


def test_a_network_that_overflows_gets_phantoms_and_says_so() -> None:
    model = small_network(GREY)
    kernel, bias = model.get_layer("conv0").get_weights()
    model.get_layer("conv0").set_weights([kernel * np.float32(1e30), bias])
    samples, source = distill(model, GREY)
    assert source == NO_GRADIENT_SOURCE
    np.testing.assert_array_equal(samples.pixels, phantoms_of(GREY))


def test_a_large_network_is_distilled_in_fewer_steps() -> None:
    graph = read_graph(small_network(GREY))
    # 3x3 kernels at 14x14 and 12x12 places, then a dense layer of 576 weights.
    expected = 14 * 14 * 9 * 4 + 12 * 12 * 9 * 16 + 12 * 12 * 4
    assert multiplications(graph, build_model(graph)) == expected
    assert affordable_steps(expected) == affordable_steps(0) == module.STEPS
    assert affordable_steps(3_900_000_000) == 8  # a ResNet50 at 224 pixels
    assert affordable_steps(10**12) == 4


def test_two_normalizations_of_the_same_values_are_both_counted() -> None:
    keras, _ = require_tensorflow("export")
    keras.utils.set_random_seed(4)
    layers = keras.layers
    image = keras.Input(GREY.input_shape)
    value = layers.Conv2D(4, 3)(layers.Rescaling(2.0)(image))
    both = layers.add([layers.BatchNormalization()(value), layers.BatchNormalization()(value)])
    scores = layers.Dense(1, activation="sigmoid")(layers.Flatten()(both))
    samples, source = distill(keras.Model(image, scores), GREY)
    assert source == SOURCE and len(samples.pixels) == COUNT
