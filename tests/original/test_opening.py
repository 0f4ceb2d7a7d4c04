"""A stranger's model becomes the original: rebuilt exactly, in reproducible bytes, or refused."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr_edge.bundle.reader import Bundle
from cxr_edge.errors import BundleError, ModelError
from cxr_edge.extras import require_keras
from cxr_edge.original import keras_graph
from cxr_edge.original.keras_model import keras_scores, load_keras
from cxr_edge.original.opening import Original, draw_pixels, load_original
from cxr_edge.original.rebuild import needs_float32
from cxr_edge.reporting import Silent
from cxr_edge.spec import InputSpec, ModelSpec

require_keras("train")
zoo = importlib.import_module("zoo")
KINDS = ("precision", "heads", "inputs", "augmentation")
ALL = [case for kind in KINDS for case in importlib.import_module(f"zoo.{kind}").CASES]
BY_NAME = {case.name: case for case in ALL}
ALWAYS = (
    "saved under mixed_float16",
    "one layer in bfloat16",
    "quantized by Keras",
    "LoRA enabled",
    "one logit, the spec says so",
    "four logits, the spec says so",
    "one logit, trained from_logits",
    "a softmax layer of its own",
    "any size",
    "channels first",
    "channels first inside",
    "bytes as input",
    "a batch of three",
    "an input without channels",
    "a dictionary as input and output",
    "a model and a layer used twice",
    "Equalization",
    "RandomShear",
    *(case.name for case in ALL if case.refusal),
)
"""One case of each mechanism here; the others behind the marker ``models``."""


class Lines(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


def spec_of(model: Any, case: Any) -> ModelSpec:
    """The spec of a zoo's case: what can be inferred, and what the case says."""
    shape, outputs = model.inputs[0].shape[1:], model.outputs[0].shape[-1]
    sides = dict(zip(("height", "width", "channels"), shape, strict=False))
    labels = tuple(case.spec.get("labels", "ABCDEFGH"[: max(2, outputs)]))
    positive = labels[1] if len(labels) == 2 else None
    return ModelSpec(
        name="a stranger's",
        input=InputSpec(**case.spec.get("input", sides)),
        labels=labels,
        activation=case.spec.get("activation", "sigmoid" if outputs == 1 else "softmax"),
        positive_label=positive,
        threshold=None if positive is None else 0.5,
        threshold_choice="fixed",
    )


def build(name: str) -> tuple[Any, ModelSpec]:
    require_keras("train").utils.set_random_seed(1)
    model = BY_NAME[name].build()
    return model, spec_of(model, BY_NAME[name])


def is_original(original: Original) -> Iterator[bool]:
    """What has to hold of every original."""
    keras, model, spec = require_keras("train"), original.model, original.spec
    yield tuple(model.inputs[0].shape) == (None, *spec.input_shape)
    yield model.inputs[0].dtype == "float32"
    yield tuple(model.outputs[0].shape) == (None, spec.outputs)
    yield not needs_float32(model, keras)
    yield spec.activation in ("sigmoid", "softmax")
    layers = keras_graph.sublayers(model)
    yield all(getattr(layer, "data_format", None) != "channels_first" for layer in layers)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in ALWAYS else [pytest.mark.models]) for name in BY_NAME],
)
def test_a_model_of_the_zoo(name: str, tmp_path: Path) -> None:
    model, spec = build(name)
    path = tmp_path / "model.keras"
    model.save(path)
    if pattern := BY_NAME[name].refusal:
        with pytest.raises(ModelError, match=pattern) as caught:
            load_original(path, spec)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) <= 300
        return
    reporter = Lines()
    original = load_original(path, spec, reporter=reporter)
    assert all(is_original(original))
    assert (original.data == path.read_bytes()) == (reporter.lines == [])
    pixels = draw_pixels(spec)
    scores = keras_scores(original.model, pixels, original.spec)
    kept = load_keras(original.data, original.spec)
    assert np.array_equal(keras_scores(kept, pixels, original.spec), scores)


def test_rebuilt_weights_are_the_saved_ones_and_the_answers_nearly(tmp_path: Path) -> None:
    model, spec = build("saved under mixed_bfloat16")
    model.save(tmp_path / "model.keras")
    reporter = Lines()
    original = load_original(tmp_path / "model.keras", spec, reporter=reporter)
    assert len(reporter.lines) == 1
    assert "as float32 (saved as mixed_bfloat16); scores moved by at most " in reporter.lines[0]
    for before, after in zip(model.get_weights(), original.model.get_weights(), strict=True):
        assert np.array_equal(before, after)
    again = load_original(original.data, original.spec, reporter=reporter)
    assert again.data == original.data
    assert len(reporter.lines) == 1  # nothing is left to change


def test_a_rebuilt_model_has_the_same_bytes_whatever_was_built_before(tmp_path: Path) -> None:
    keras = require_keras("train")
    model, spec = build("attention under mixed_float16")
    model.save(tmp_path / "model.keras")
    first = load_original(tmp_path / "model.keras", spec).data
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])  # numbers go up
    image = keras.Input((4,))
    keras.Model(image, (image * 2 + 1) * 3)
    assert load_original(tmp_path / "model.keras", spec).data == first


def test_channels_last_is_proven_against_other_weights(tmp_path: Path, monkeypatch: Any) -> None:
    model, spec = build("channels first")
    model.save(tmp_path / "model.keras")
    monkeypatch.setattr("cxr_edge.original.rebuild.keras_graph.copy_weights", lambda old, new: None)
    with pytest.raises(ModelError, match="its scores move by"):
        load_original(tmp_path / "model.keras", spec)


def test_a_byte_input_takes_pixels_as_they_are(tmp_path: Path) -> None:
    model, spec = build("bytes as input")
    model.save(tmp_path / "model.keras")
    scaled = dataclasses.replace(spec, input=dataclasses.replace(spec.input, scale=1 / 255))
    with pytest.raises(ModelError, match=r'takes uint8 images.*say "scale": 1\.0'):
        load_original(tmp_path / "model.keras", scaled)


def test_a_shape_that_holds_the_batch_is_made_for_any(tmp_path: Path) -> None:
    keras = require_keras("train")
    image = keras.Input(batch_shape=(2, 8, 8, 1))
    value = keras.layers.Dense(1, "sigmoid")(keras.ops.reshape(image, (2, 64)))
    keras.Model(image, value).save(tmp_path / "model.keras")
    spec = build("a dropout behind the sigmoid")[1]
    spec = dataclasses.replace(spec, input=InputSpec(height=8, width=8))
    assert all(is_original(load_original(tmp_path / "model.keras", spec)))


@pytest.mark.parametrize(
    ("name", "activation", "message"),
    [
        ("a softmax layer of its own", "logits", 'is a softmax.*"activation": "softmax"'),
        ("a dropout behind the sigmoid", "softmax", 'has 1 output,.*"activation": "sigmoid"'),
        ("two logits, the spec says so", "sigmoid", '2 outputs, .*"activation": "logits"'),
    ],
)
def test_a_wrong_activation_in_the_spec_names_the_right_one(
    name: str, activation: Any, message: str, tmp_path: Path
) -> None:
    model, spec = build(name)
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match=message):
        load_original(tmp_path / "model.keras", dataclasses.replace(spec, activation=activation))


def test_scores_that_are_no_probabilities_are_measured(tmp_path: Path) -> None:
    keras = require_keras("train")
    layers = keras.layers
    spec = dataclasses.replace(build("a softmax layer of its own")[1])
    parts = [keras.Input((32, 32, 1)), layers.GlobalAveragePooling2D()]
    for ending, message in (
        (layers.Rescaling(2.0), "sum to 2"),
        (layers.Rescaling(1.0, offset=-3.0), r"outputs -2\.\d+.*within 0\.\.1"),
    ):
        network = keras.Sequential([*parts, layers.Dense(3, "softmax"), ending])
        network.save(tmp_path / "model.keras")
        with pytest.raises(ModelError, match=message):
            load_original(tmp_path / "model.keras", spec)


def test_a_size_that_does_not_fit_is_said_with_both_shapes(tmp_path: Path) -> None:
    model, spec = build("any height")
    model.save(tmp_path / "model.keras")
    wrong = dataclasses.replace(spec, input=InputSpec(height=40, width=40, channels=3))
    with pytest.raises(ModelError, match=r"of \(any, 48, 3\), the spec says \(40, 40, 3\)"):
        load_original(tmp_path / "model.keras", wrong)


def test_no_bundle_says_logits() -> None:
    manifest = Bundle.open().manifest
    spec = dataclasses.replace(manifest.spec, activation="logits")
    with pytest.raises(BundleError, match=r"spec\.activation is logits"):
        dataclasses.replace(manifest, spec=spec)


def test_integers_that_wrap_in_the_saved_model_are_refused(tmp_path: Path) -> None:
    keras = require_keras("train")
    image = keras.Input((8, 8, 1), dtype="uint8")
    value = keras.layers.GlobalAveragePooling2D()(keras.ops.cast(image * 2, "float32") / 255.0)
    keras.Model(image, keras.layers.Dense(1, "sigmoid")(value)).save(tmp_path / "m.keras")
    spec = ModelSpec("m", InputSpec(8, 8, scale=1.0), ("a", "b"), "sigmoid", "b", 0.5, "fixed")
    with pytest.raises(ModelError, match=r"rebuilt for float32 inputs .* integers that wrap"):
        load_original(tmp_path / "m.keras", spec)
