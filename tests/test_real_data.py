"""The figures that README states, on the real images beside the project."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_edge import Bundle, Classifier
from cxr_edge.bundle.parity import compare
from cxr_edge.data.folders import open_folder, read_folder
from cxr_edge.engines import open_engine
from cxr_edge.original.keras_model import keras_scores, load_keras
from cxr_edge.preprocess import normalize
from cxr_edge.sources import read_pixels

# Largest and mean |difference| and changed decisions, by precision.
LIMITS = {
    "fp32": (1e-5, 1e-6, 0),
    "int8-static": (0.05, 0.005, 2),
    "int8-dynamic": (0.05, 0.005, 1),
}


@pytest.fixture(scope="module")
def reference():
    return Bundle.open()


@pytest.fixture(scope="module")
def images(data_root, reference):
    spec = reference.manifest.spec
    found = read_folder(open_folder(data_root / "chest_xray/test", spec.labels), spec.input)
    assert len(found.files) == 304
    assert found.unreadable == ()
    return found


@pytest.fixture(scope="module")
def keras_answers(images, reference):
    manifest = reference.manifest
    model = load_keras(reference.read(manifest.keras), manifest.spec)
    return keras_scores(model, images.pixels, manifest.spec)


def test_every_artifact_decides_like_keras_on_the_304_test_images(images, keras_answers, reference):
    spec = reference.manifest.spec
    batch = normalize(images.pixels, spec.input)
    formats = set()
    for artifact in reference.manifest.artifacts:
        for record in artifact.engines:
            scores = reference.load(artifact, record.engine).run(batch)
            parity = compare(keras_answers, scores, spec)
            largest, mean, flips = LIMITS[artifact.precision]
            assert parity.flips <= flips, (artifact.name, record.engine)
            assert parity.max_abs_delta <= largest, (artifact.name, parity)
            assert parity.mean_abs_delta <= mean, (artifact.name, parity)
            # What the manifest says, up to what another CPU's rounding changes.
            assert record.data is not None
            said = record.data.max_abs_delta
            assert parity.max_abs_delta <= 1.25 * said + 5e-6, (artifact.name, parity)
            formats.add(artifact.format)
    assert formats == {"onnx", "tflite"}


def test_the_manifest_s_test_figures_are_those_of_the_bundled_model(
    images, keras_answers, reference
):
    figures = reference.manifest.provenance.test
    spec = reference.manifest.spec
    assert spec.labels == ("NORMAL", "PNEUMONIA")
    ill = keras_answers[:, 0] >= spec.threshold  # P(labels[1])
    accuracy = np.mean(ill == (images.labels == 1))
    assert figures["images"] == 304
    assert figures["accuracy"] == pytest.approx(accuracy, abs=1 / 304)


def test_native_x_rays_are_all_answered(data_root):
    paths = sorted((data_root / "native").rglob("*.jpeg"))
    assert len(paths) == 100
    results = list(Classifier.load().predict_many(paths))
    assert all(hasattr(result, "label") for result in results)
    truth = [path.parent.name for path in paths]
    right = np.mean([result.label == label for result, label in zip(results, truth, strict=True)])
    assert right > 0.8  # these are training images; this holds the labels' order, not a quality


def test_the_two_copies_of_an_x_ray_get_nearly_the_same_score(data_root):
    classifier = Classifier.load()
    deltas = []
    for path in sorted((data_root / "native/NORMAL").glob("*.jpeg"))[:25]:
        copy = data_root / "chest_xray/train/NORMAL" / path.name
        deltas.append(abs(classifier.predict(path).score - classifier.predict(copy).score))
    assert np.mean(deltas) < 0.05


def test_fast_decoding_changes_no_decision_of_the_default_file(data_root):
    paths = sorted((data_root / "native").rglob("*.jpeg"))
    fast, exact = (
        list(Classifier.load(decode=way).predict_many(paths, workers=2))
        for way in ("fast", "exact")
    )
    assert [p.label for p in fast] == [p.label for p in exact]
    deltas = [abs(a.score - b.score) for a, b in zip(fast, exact, strict=True)]
    assert np.mean(deltas) <= 0.0005 and max(deltas) <= 0.02


def test_heat_maps_of_native_x_rays_are_the_gradient_of_the_keras_model(data_root, reference):
    tensorflow = pytest.importorskip("tensorflow")
    from cxr_edge.export.artifacts import KINDS
    from cxr_edge.export.graph.lowering import lower
    from cxr_edge.export.graph.reader import read_graph

    spec = reference.manifest.spec
    paths = sorted((data_root / "native").rglob("*.jpeg"))
    assert len(paths) == 100
    batch = normalize(np.concatenate([read_pixels(path, spec) for path in paths]), spec.input)
    model = load_keras(reference.read(reference.manifest.keras), spec)

    # The Keras model itself, layer after layer, from the last convolution's ReLU to the logit.
    last = [layer.name for layer in model.layers].index("conv5") + 1
    features = tensorflow.constant(batch)
    for layer in model.layers[:last]:
        features = layer(features, training=False)
    with tensorflow.GradientTape() as tape:
        tape.watch(features)
        value = features
        for layer in model.layers[last:-1]:
            value = layer(value, training=False)
        end = model.layers[-1]
        sign = 1 if spec.positive_label == spec.labels[1] else -1
        logit = sign * (value @ end.kernel + end.bias)
    alpha = tape.gradient(logit, features).numpy().mean(axis=(1, 2), dtype=np.float64)
    expected = np.einsum("nyxc,nc->nyx", features.numpy().astype(np.float64), alpha).clip(min=0)

    explain = KINDS["onnx-explain"]
    data = explain.conversion.convert(lower(read_graph(model)), spec)
    assert expected.max() > 0.01
    for engine in ("onnxruntime", "openvino"):
        _, maps = open_engine(engine, data, spec, outputs=explain.outputs).explain(batch)
        assert np.abs(maps - expected).max() <= 1e-4 * expected.max(), engine
