"""Loading the original model: what is refused, and that code in a file never runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr_edge.errors import ModelError
from cxr_edge.extras import require_keras
from cxr_edge.original.keras_model import keras_scores, load_keras
from cxr_edge.preprocess import normalize
from cxr_edge.spec import SEED_SPEC, InputSpec

SPEC = dataclasses.replace(SEED_SPEC, input=InputSpec(height=6, width=5))


def save(path: Path, *layers: Any) -> Path:
    keras = require_keras("train")
    network = keras.Sequential([keras.Input(SPEC.input_shape), *layers])
    network.save(path)
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    layers = require_keras("train").layers
    return save(tmp_path / "good.keras", layers.Flatten(), layers.Dense(1, activation="sigmoid"))


def test_a_file_and_its_bytes_give_the_same_scores(good: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (70, 6, 5, 1), np.uint8)
    model = load_keras(good, SPEC)
    scores = keras_scores(model, pixels, SPEC)
    assert (scores.shape, scores.dtype) == ((70, 1), np.float32)
    assert np.array_equal(keras_scores(load_keras(good.read_bytes(), SPEC), pixels, SPEC), scores)
    with pytest.raises(ModelError, match=r"^the original model: "):
        load_keras(good.read_bytes()[:-100], SPEC)
    kernel, bias = model.layers[-1].get_weights()
    logits = normalize(pixels, SPEC.input).reshape(70, -1) @ kernel + bias
    assert scores == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-6)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    keras = require_keras("train")
    ran = tmp_path / "ran"
    # Keras stores the function's bytecode; running it would leave a file.
    trap = keras.layers.Lambda(lambda x, path=str(ran): (open(path, "w").close(), x)[1])  # noqa: PTH123
    path = save(tmp_path / "trap.keras", trap, keras.layers.Flatten(), keras.layers.Dense(1))
    ran.unlink()
    with pytest.raises(
        ModelError, match=r"trap\.keras: holds layers with code of their own.*Lambda"
    ):
        load_keras(path, SPEC)
    assert not ran.exists()


def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path, good: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        load_keras(tmp_path / "missing.keras", SPEC)
    loop = tmp_path / "loop.keras"
    loop.symlink_to(loop)
    for path, words in ((loop, "symbolic links"), (Path("/dev/null"), "a device")):
        with pytest.raises(ModelError, match=words):
            load_keras(path, SPEC)
    for content in (b"", b"text", good.read_bytes()[:-200]):
        with pytest.raises(ModelError, match=r"^sent: no model saved by Keras") as caught:
            load_keras(content, SPEC, name="sent")
        assert "\n" not in str(caught.value)


def test_a_model_that_does_not_fit_its_spec_is_refused(good: Path) -> None:
    taller = dataclasses.replace(SPEC, input=InputSpec(height=7, width=5))
    with pytest.raises(ModelError, match=r"maps \(6, 5, 1\) to \(1,\)"):
        load_keras(good, taller)
    softmax = dataclasses.replace(SPEC, activation="softmax")
    with pytest.raises(ModelError, match="its spec says"):
        load_keras(good, softmax)
