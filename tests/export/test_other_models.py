"""Any Keras image classifier: trained on drawn images, exported to every format, used."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from cxr_edge import Bundle, Classifier
from cxr_edge.cli.tree import application
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.documents import dump
from cxr_edge.export.artifacts import find_kinds
from cxr_edge.export.pipeline import export, original_of_run
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.request import ExportRequest
from cxr_edge.extras import require_tensorflow
from cxr_edge.original.run_folder import open_run
from cxr_edge.preprocess import normalize, resize_to_input
from cxr_edge.reporting import Silent
from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec

GREY = dataclasses.replace(
    SEED_SPEC,
    name="three shapes",
    input=InputSpec(height=48, width=56),
    labels=("disc", "nothing", "square"),
    activation="softmax",
    positive_label=None,
    threshold=None,
    threshold_choice="the largest probability",
)
COLOUR = dataclasses.replace(
    SEED_SPEC,
    name="two colours",
    input=InputSpec(height=64, width=64, channels=3, scale=1 / 127.5, offset=-1.0),
    labels=("blue", "red"),
    activation="softmax",
    positive_label="red",
    threshold=0.4,
    threshold_choice="fixed",
)


def draw(spec: ModelSpec, label: str, number: int) -> np.ndarray:
    """A phantom with what its label says in it; RGB where the spec is."""
    random = np.random.default_rng([number, *label.encode()])
    grey = draw_phantom(random, height=120, width=150)
    image = grey if spec.input.channels == 1 else np.repeat(grey[..., np.newaxis], 3, axis=2)
    centre = random.integers(40, 110), random.integers(40, 80)
    # Some marks are faint: there would be nothing near a decision's border otherwise.
    mark = np.zeros_like(image)
    colour = {"red": (255, 40, 40), "blue": (40, 40, 255)}.get(label, (255,) * 3)
    if label == "square":
        corners = [tuple(int(c + s) for c in centre) for s in (-22, 22)]
        cv2.rectangle(mark, *corners, colour[: spec.input.channels], -1)
    elif label != "nothing":
        cv2.circle(mark, tuple(map(int, centre)), 24, colour[: spec.input.channels], -1)
    strength = random.uniform(0.5, 1.0)
    return np.where(mark > 0, (1 - strength) * image + strength * mark, image).astype(np.uint8)


def draw_folder(root: Path, spec: ModelSpec, each: int, first: int) -> Path:
    for label in spec.labels:
        (root / label).mkdir(parents=True)
        for number in range(first, first + each):
            image = draw(spec, label, number)
            if spec.input.channels == 3:
                image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(root / label / f"{number}.png"), image)
    return root


def train(model: Any, spec: ModelSpec, each: int, epochs: int, smoothing: float) -> float:
    """Fit a model to drawn images; accuracy on others."""
    keras, _ = require_tensorflow("export")
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.7  # some dozens of steps must do

    def images(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        pairs = [(n, i) for n in range(first, first + count) for i in range(len(spec.labels))]
        drawn = [resize_to_input(draw(spec, spec.labels[i], n), spec.input) for n, i in pairs]
        return normalize(np.concatenate(drawn), spec.input), np.asarray([i for _, i in pairs])

    loss = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
    model.compile(keras.optimizers.Adam(3e-3), loss)
    seen, wanted = images(0, each)
    batch, truth = images(5000, 30)
    accuracy = 0.0
    for _ in range(4):  # sums on several threads differ from run to run, and so does the luck
        model.fit(seen, np.eye(len(spec.labels))[wanted], batch_size=16, epochs=epochs, verbose=0)
        answers = np.asarray(model(batch, training=False)).argmax(axis=1)
        accuracy = float(np.mean(answers == truth))
        if accuracy > 0.85:
            break
    return accuracy


def grey_network() -> Any:
    """Sequential, with normalization before and after ReLU, depthwise layers and no Flatten."""
    keras, _ = require_tensorflow("export")
    keras.utils.set_random_seed(5)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(GREY.input_shape),
            layers.RandomContrast(0.1),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(2),
            layers.SeparableConv2D(32, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(0.1),
            layers.AveragePooling2D(2, padding="same"),
            layers.Dropout(0.1),
            layers.Conv2D(48, 3, strides=2, activation="relu"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(24, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ]
    )


def residual_network() -> Any:
    """MobileNetV2 in small, inside another model: inverted residual blocks and a softmax head."""
    keras, _ = require_tensorflow("export")
    keras.utils.set_random_seed(6)
    layers = keras.layers

    def normalized(value: Any, layer: Any, *, active: bool = True) -> Any:
        value = layers.BatchNormalization()(layer(value))
        return layers.ReLU(max_value=6)(value) if active else value

    def block(value: Any, channels: int, stride: int) -> Any:
        inner = normalized(value, layers.Conv2D(4 * value.shape[-1], 1, use_bias=False))
        padding = "same"
        if stride == 2:  # as Keras's applications do
            inner, padding = layers.ZeroPadding2D(((0, 1), (0, 1)))(inner), "valid"
        depthwise = layers.DepthwiseConv2D(3, stride, padding=padding, use_bias=False)
        inner = normalized(inner, depthwise)
        out = normalized(inner, layers.Conv2D(channels, 1, use_bias=False), active=False)
        return layers.Add()([value, out]) if value.shape == out.shape else out

    image = keras.Input(COLOUR.input_shape)
    value = normalized(image, layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False))
    for channels, stride in ((8, 1), (16, 2), (16, 1), (24, 2)):
        value = block(value, channels, stride)
    value = normalized(value, layers.Conv2D(64, 1, use_bias=False))
    body = keras.Model(image, layers.GlobalAveragePooling2D()(value))
    outer = keras.Input(COLOUR.input_shape)
    return keras.Model(outer, layers.Dense(2, activation="softmax")(body(outer)))


FLOAT = ["onnx-fp32", "onnx-fp32-batch", "tflite-fp16", "tflite-fp32"]


@pytest.mark.models
@pytest.mark.parametrize(
    ("build", "spec", "each", "epochs", "smoothing", "integers"),
    [
        # A network this small answers so sharply that static int8 moves single scores by .1.
        (grey_network, GREY, 120, 10, 0.05, ["onnx-int8", "tflite-int8-dynamic"]),
        (residual_network, COLOUR, 80, 8, 0.0, ["tflite-int8-dynamic"]),
    ],
    ids=["grey", "residual"],
)
def test_another_trained_classifier_goes_through_export_verify_and_predict(
    build: Callable[[], Any],
    spec: ModelSpec,
    each: int,
    epochs: int,
    smoothing: float,
    integers: list[str],
    tmp_path: Path,
) -> None:
    model = build()
    assert train(model, spec, each, epochs, smoothing) > 0.75
    model.save(tmp_path / "model.keras")
    (tmp_path / "spec.json").write_bytes(dump(spec))
    validation = draw_folder(tmp_path / "validation", spec, 40, 7000)
    calibration = draw_folder(tmp_path / "calibration", spec, 12, 8000)
    data = draw_folder(tmp_path / "data", spec, 20, 9000)
    out = tmp_path / "bundle"
    request = ExportRequest(
        calibration=calibration,
        validation=validation,
        data=data,
        budget=Budget(max_flips=3, max_delta_p=0.15),
        strengths=(0.0, 0.5),
        golden_pool=64,  # the others take minutes
    )
    original = original_of_run(open_run(tmp_path / "model.keras", None))
    export(original, out, find_kinds((*FLOAT, *integers)), request, Silent())

    bundle = Bundle.open(out)
    names = [artifact.name for artifact in bundle.manifest.artifacts]
    assert sorted(names) == sorted([*FLOAT, *integers])
    report = json.loads((tmp_path / "bundle.export-report.json").read_text())
    assert report["proves"] == f"decisions on {20 * len(spec.labels)} labelled images"
    verified = CliRunner().invoke(application(), ["verify", str(out)], catch_exceptions=False)
    assert verified.exit_code == 0, verified.stderr
    assert "failed" not in verified.stdout

    paths = sorted(data.rglob("*.png"))
    truth = [path.parent.name for path in paths]
    for artifact in bundle.manifest.artifacts:
        for record in artifact.engines:
            classifier = Classifier.load(out, artifact=artifact.name, engine=record.engine)
            answers = [getattr(r, "label", r) for r in classifier.predict_many(paths)]
            right = np.mean([a == t for a, t in zip(answers, truth, strict=True)])
            assert right > 0.7, (artifact.name, record.engine)
            assert len(set(answers)) == len(spec.labels)
