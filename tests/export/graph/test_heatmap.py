"""Heat maps: the closed form equals Keras's own gradient, and what does not fit is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr_edge.bundle.reader import Bundle
from cxr_edge.engines import SCORES, open_engine
from cxr_edge.errors import CxrEdgeError, ExportError, ParityError
from cxr_edge.export.artifacts import KINDS, ArtifactKind, HeatmapConversion
from cxr_edge.export.graph import heatmap
from cxr_edge.export.graph.gradient import differentiate
from cxr_edge.export.graph.heatmap import explaining_model
from cxr_edge.export.graph.lowering import lower
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.export.pipeline import export, original_of_bundle
from cxr_edge.export.request import ExportRequest, OriginalModel
from cxr_edge.extras import require_tensorflow
from cxr_edge.original.keras_model import load_keras
from cxr_edge.original.run_folder import UNKNOWN
from cxr_edge.preprocess import normalize
from cxr_edge.reporting import Silent
from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("files_not_timed")]

SIDE = 19
"""Odd, so that pooling windows are cut off at the border."""
SIGMOID = dataclasses.replace(SEED_SPEC, input=InputSpec(height=SIDE, width=SIDE))
NORMAL_IS_POSITIVE = dataclasses.replace(SIGMOID, positive_label="NORMAL")
SOFTMAX = dataclasses.replace(SIGMOID, activation="softmax")
EXPLAIN = KINDS["onnx-explain"]
DECLARED = (*SCORES, "heatmap")


def grad_cam(layers: list[Any], features: int, batch: Any, spec: ModelSpec) -> np.ndarray:
    """Grad-CAM by the book: layer after layer under a gradient tape, nothing of the export.

    Args:
        layers: a sequential network's; the last is dense, with its activation.
        features: index of the layer whose output the map is of.
        batch: images, normalized.
        spec: names the positive label.
    """
    _, tensorflow = require_tensorflow("export")
    maps = tensorflow.constant(batch)
    for layer in layers[: features + 1]:
        maps = layer(maps, training=False)
    with tensorflow.GradientTape() as tape:
        tape.watch(maps)
        value = maps
        for layer in layers[features + 1 : -1]:
            value = layer(value, training=False)
        logits = value @ layers[-1].kernel + layers[-1].bias
        if spec.activation == "sigmoid":
            evidence = logits[:, 0] * (1 if spec.positive_label == spec.labels[1] else -1)
        else:
            positive = spec.labels.index(spec.positive_label or "")
            evidence = logits[:, positive] - logits[:, 1 - positive]
    alpha = tape.gradient(evidence, maps).numpy().astype(np.float64).mean(axis=(1, 2))
    weighed = (maps.numpy().astype(np.float64) * alpha[:, np.newaxis, np.newaxis]).sum(axis=-1)
    found: np.ndarray = np.maximum(weighed, 0)
    return found


def network(*parts: Any) -> Any:
    """A sequential network with weights of both signs everywhere, those of scales included."""
    keras, _ = require_tensorflow("export")
    model = keras.Sequential([keras.Input((SIDE, SIDE, 1)), *parts])
    random = np.random.default_rng(4)
    for layer in model.layers:
        drawn = [random.normal(0, 0.5, w.shape) for w in layer.get_weights()]
        if isinstance(layer, keras.layers.BatchNormalization):
            drawn[3] = np.abs(drawn[3]) + 0.1
        layer.set_weights(drawn)
    return model


def seed_like(layers: Any) -> list[Any]:
    """Normalization after ReLU, windows cut off at the border: the reference in small."""
    return [
        layers.Conv2D(6, 3, padding="same", activation="relu", name="last"),
        layers.Dropout(0.2),
        layers.BatchNormalization(),
        layers.MaxPooling2D(2, strides=2, padding="same"),
        layers.Flatten(),
        layers.Dense(7, activation="relu"),
        layers.Dropout(0.2),
        layers.Dense(1, activation="sigmoid"),
    ]


def plain(layers: Any) -> list[Any]:
    return [
        layers.Conv2D(5, 3, activation="relu", name="last"),
        layers.Flatten(),
        layers.Dense(1, activation="sigmoid"),
    ]


def normalized_first(layers: Any) -> list[Any]:
    return [
        layers.Conv2D(5, 3, strides=2, use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(name="last"),
        layers.AveragePooling2D(2, padding="same"),
        layers.Flatten(),
        layers.Dense(6),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Dense(4, activation="relu"),
        layers.Dense(1, activation="sigmoid"),
    ]


def overlapping(layers: Any) -> list[Any]:
    """Windows that overlap, then some that leave out a border, then another pooling."""
    return [
        layers.Conv2D(5, 3, activation="relu", name="last"),
        layers.MaxPooling2D(3, strides=1),
        layers.BatchNormalization(),
        layers.MaxPooling2D(4, strides=3),
        layers.AveragePooling2D(3, strides=2, padding="same"),
        layers.BatchNormalization(),
        layers.Flatten(),
        layers.BatchNormalization(),
        layers.Dense(6, activation="relu"),
        layers.BatchNormalization(),
        layers.Dense(1, activation="sigmoid"),
    ]


def averaged(layers: Any) -> list[Any]:
    """Class activation maps: a constant weight for each channel."""
    return [
        layers.Conv2D(5, 3, activation="relu"),
        layers.Conv2D(8, 3, activation="relu6", name="last"),
        layers.BatchNormalization(),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2, activation="softmax"),
    ]


def global_maximum(layers: Any) -> list[Any]:
    return [
        layers.Conv2D(8, 3),
        layers.LeakyReLU(0.1, name="last"),
        layers.GlobalMaxPooling2D(keepdims=True),
        layers.Flatten(),
        layers.Dense(6, activation="relu"),
        layers.Dense(2, activation="softmax"),
    ]


NETWORKS = [seed_like, plain, normalized_first, overlapping, averaged, global_maximum]


def batch_of(spec: ModelSpec, count: int = 9) -> np.ndarray:
    pixels = np.random.default_rng(8).integers(0, 256, (count, *spec.input_shape), np.uint8)
    return normalize(pixels, spec.input)


def both(build: Callable[[Any], list[Any]], spec: ModelSpec) -> tuple[np.ndarray, np.ndarray]:
    """The maps of the exported file and Keras's."""
    keras, _ = require_tensorflow("export")
    model, batch = network(*build(keras.layers)), batch_of(spec)
    features = [layer.name for layer in model.layers].index("last")
    assert isinstance(EXPLAIN.conversion, HeatmapConversion)
    data = EXPLAIN.conversion.convert(lower(read_graph(model)), spec)
    _, maps = open_engine("onnxruntime", data, spec, outputs=DECLARED).explain(batch)
    return maps, grad_cam(model.layers, features, batch, spec)


def closeness(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest |difference|, as a share of the largest value."""
    assert found.shape == expected.shape and expected.max() > 1e-5
    return float(np.abs(found - expected).max() / expected.max())


@pytest.mark.parametrize("positive", ["PNEUMONIA", "NORMAL"])
@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_the_closed_form_is_keras_s_gradient(
    build: Callable[..., list[Any]], positive: str
) -> None:
    ends_in_softmax = build in (averaged, global_maximum)
    spec = dataclasses.replace(SOFTMAX if ends_in_softmax else SIGMOID, positive_label=positive)
    found, expected = both(build, spec)
    assert closeness(found, expected) <= 1e-5


@pytest.mark.parametrize("build", [seed_like, averaged], ids=lambda build: build.__name__)
def test_the_other_label_s_map_is_another_one(build: Callable[..., list[Any]]) -> None:
    """A wrong sign could not hide."""
    spec = SOFTMAX if build is averaged else SIGMOID
    one, other = (
        both(build, dataclasses.replace(spec, positive_label=label))[0] for label in spec.labels
    )
    assert closeness(one, other) > 1e-3
    assert not np.any((one > 0) & (other > 0))  # evidence for one label is none for the other


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_the_gate_s_own_gradient_is_keras_s_too(build: Callable[..., list[Any]]) -> None:
    keras, _ = require_tensorflow("export")
    spec = SOFTMAX if build in (averaged, global_maximum) else SIGMOID
    model = network(*build(keras.layers))
    pixels = np.random.default_rng(8).integers(0, 256, (40, *spec.input_shape), np.uint8)
    batch = normalize(pixels, spec.input)
    scores, maps = differentiate(model, pixels, spec)
    features = [layer.name for layer in model.layers].index("last")
    assert closeness(maps, grad_cam(model.layers, features, batch, spec)) <= 1e-5
    np.testing.assert_allclose(scores, np.asarray(model(batch, training=False)), atol=1e-5)


def test_the_scores_beside_the_map_are_the_network_s() -> None:
    keras, _ = require_tensorflow("export")
    model, batch = network(*seed_like(keras.layers)), batch_of(SIGMOID)
    scores, _ = explaining_model(lower(read_graph(model)), SIGMOID)(batch, training=False)
    np.testing.assert_allclose(scores, np.asarray(model(batch, training=False)), atol=1e-6)


def test_the_reference_s_maps_are_its_keras_model_s_on_its_golden_inputs() -> None:
    bundle = Bundle.open()
    spec, golden = bundle.manifest.spec, bundle.golden()
    model = load_keras(bundle.read(bundle.manifest.keras), spec)
    assert isinstance(EXPLAIN.conversion, HeatmapConversion)
    data = EXPLAIN.conversion.convert(lower(read_graph(model)), spec)
    batch = normalize(golden.pixels, spec.input)
    features = [layer.name for layer in model.layers].index("conv5")
    expected = grad_cam(model.layers, features, batch, spec)
    assert expected.max() > 0.01
    for engine in ("onnxruntime", "openvino"):
        scores, maps = open_engine(engine, data, spec, outputs=DECLARED).explain(batch)
        assert len(maps) == 32, engine
        assert np.abs(maps - expected).max() <= 1e-4 * expected.max(), engine
        assert np.abs(scores - golden.scores).max() <= 1e-5, engine


def refusal(*parts: Any, spec: ModelSpec = SIGMOID) -> str:
    with pytest.raises(ExportError) as caught:
        explaining_model(lower(read_graph(network(*parts))), spec)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_a_network_without_a_closed_form_is_refused_by_the_layer_in_the_way() -> None:
    keras, _ = require_tensorflow("export")
    layers = keras.layers
    head = [layers.Flatten(), layers.Dense(1, activation="sigmoid")]
    conv = layers.Conv2D(4, 3, activation="relu")
    assert "(Activation)" in refusal(
        conv, layers.Flatten(), layers.Dense(4, activation="tanh"), *head[1:]
    )
    assert "(LeakyReLU)" in refusal(
        layers.Conv2D(4, 3, activation="relu"),
        *(layers.Flatten(), layers.Dense(4), layers.LeakyReLU(), head[1]),
    )
    # Padding takes part of the gradient that pooling would hand on.
    padded = refusal(
        layers.Conv2D(4, 3, activation="relu"),
        *(layers.ZeroPadding2D(1), layers.AveragePooling2D(2)),
        *(layers.Flatten(), layers.Dense(1, activation="sigmoid")),
    )
    assert "(ZeroPadding2D)" in padded and "expected an activation" in padded
    assert "image" in refusal(layers.Flatten(), layers.Dense(1, activation="sigmoid"))
    assert "(Conv2D)" in refusal(
        layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(1, activation="sigmoid")
    )
    assert "(Activation)" in refusal(
        *(layers.Conv2D(4, 3, activation="relu"), layers.Flatten()),
        *(layers.Dense(1), layers.Activation("hard_sigmoid")),
    )


def test_an_ending_that_the_spec_does_not_name_is_refused() -> None:
    keras, _ = require_tensorflow("export")
    parts = averaged(keras.layers)[:-1]
    assert "spec's sigmoid or softmax" in refusal(
        *parts, keras.layers.Dense(2, activation="sigmoid"), spec=SOFTMAX
    )


def test_three_labels_have_no_evidence_for_the_positive_one() -> None:
    keras, _ = require_tensorflow("export")
    spec = dataclasses.replace(SOFTMAX, labels=("a", "b", "c"), positive_label=None, threshold=None)
    parts = averaged(keras.layers)[:-1]
    assert "the spec has 3" in refusal(
        *parts, keras.layers.Dense(3, activation="softmax"), spec=spec
    )


@pytest.fixture(scope="module")
def trained() -> OriginalModel:
    """A network whose heat maps are not all but zero, as those of a short training may be."""
    return original_of_bundle(Bundle.open("compact"))


REQUEST = ExportRequest(golden_pool=64)
"""A quarter of the pictures, to be quick."""


def attempt(original: OriginalModel, out: Path, kind: ArtifactKind) -> CxrEdgeError | None:
    try:
        request = dataclasses.replace(REQUEST, named=frozenset({kind.name}))
        export(original, out, (kind,), request, Silent())
    except CxrEdgeError as err:
        assert not out.exists() and len(str(err).splitlines()) == 1
        return err
    return None


def test_the_gate_passes_the_right_map(trained: OriginalModel, tmp_path: Path) -> None:
    assert attempt(trained, tmp_path / "b", EXPLAIN) is None
    (record,) = Bundle.open(tmp_path / "b").manifest.artifacts
    assert record.outputs == DECLARED and record.has_heatmap


def louder(weights: np.ndarray) -> np.ndarray:
    return weights * 1.01


def half_of_the_units(weights: np.ndarray) -> np.ndarray:
    changed = weights.copy()
    changed[::2] = 0  # not one alone, which may be dead
    return changed


def negated(weights: np.ndarray) -> np.ndarray:
    return -weights


def not_a_number(weights: np.ndarray) -> np.ndarray:
    return weights * np.nan


@pytest.mark.parametrize(
    "alter", [louder, half_of_the_units, negated, not_a_number], ids=lambda alter: alter.__name__
)
def test_the_gate_refuses_another_map_although_the_scores_are_right(
    trained: OriginalModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    alter: Callable[[np.ndarray], np.ndarray],
) -> None:
    right = heatmap.direction
    monkeypatch.setattr(heatmap, "direction", lambda *given: alter(right(*given)))
    err = attempt(trained, tmp_path / "b", EXPLAIN)
    assert isinstance(err, ParityError) and err.exit_code == 6
    assert "heat map" in str(err)


class Said(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


def without_a_map(tmp_path: Path) -> OriginalModel:
    """A network that decides both ways and whose last layers are in no closed form."""
    keras, _ = require_tensorflow("export")
    layers = keras.layers
    model = network(
        layers.Conv2D(4, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(4, activation="tanh"),
        layers.Dense(1, activation="sigmoid"),
    )
    model.save(tmp_path / "model.keras")
    return OriginalModel((tmp_path / "model.keras").read_bytes(), SIGMOID, UNKNOWN, "odd")


def test_a_set_of_files_goes_on_without_the_map_and_says_so(tmp_path: Path) -> None:
    original, said = without_a_map(tmp_path), Said()
    out = tmp_path / "b"
    export(original, out, (KINDS["onnx-fp32"], EXPLAIN), REQUEST, said)
    assert [a.name for a in Bundle.open(out).manifest.artifacts] == ["onnx-fp32"]
    (line,) = [line for line in said.lines if line.startswith("no heat map: ")]
    assert "(Activation)" in line and len(line.splitlines()) == 1


def test_asked_for_by_name_an_impossible_map_ends_the_export(tmp_path: Path) -> None:
    request = dataclasses.replace(REQUEST, named=frozenset({"onnx-explain"}))
    with pytest.raises(ExportError, match=r"^onnx-explain: .*\(Activation\)"):
        export(without_a_map(tmp_path), tmp_path / "b", (EXPLAIN,), request, Silent())
    assert not (tmp_path / "b").exists()
