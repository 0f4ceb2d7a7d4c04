"""The gate: a file that does not answer like the original is never written over a good one."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from cxr_edge.bundle import Bundle, Golden
from cxr_edge.engines import ENGINES, installed_engines
from cxr_edge.errors import CxrEdgeError, ExportError, MissingExtraError, ModelError, ParityError
from cxr_edge.export import golden, proof
from cxr_edge.export.artifacts import KINDS, ArtifactKind
from cxr_edge.export.golden import COUNT, draw_golden
from cxr_edge.export.pipeline import Original, export
from cxr_edge.export.proof import prove
from cxr_edge.extras import require_tensorflow
from cxr_edge.keras_model import load_keras
from cxr_edge.phantom import draw_phantom
from cxr_edge.preprocess import fit, normalize
from cxr_edge.reporting import Silent
from cxr_edge.run import UNKNOWN
from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec

GOOD = KINDS["onnx-fp32"]


@pytest.fixture(scope="module")
def opened(exported_bundle: Path) -> Bundle:
    return Bundle.open(exported_bundle)


@pytest.fixture(scope="module")
def good_file(opened: Bundle) -> bytes:
    """What the converter makes of the original."""
    return opened.read(opened.artifact("onnx-fp32").file)


@pytest.fixture(scope="module")
def spec(opened: Bundle) -> ModelSpec:
    """The bundle's spec with a threshold amid its golden scores, so that both decisions occur."""
    threshold = 1 - float(np.median(opened.golden().scores))  # the sigmoid is P(NORMAL)
    return dataclasses.replace(opened.manifest.spec, threshold=threshold)


@pytest.fixture
def few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw a quarter of the pictures: these models are small and quick, drawing is not."""
    monkeypatch.setattr(golden, "POOL", 64)


@pytest.fixture(scope="module")
def small() -> Original:
    """A Keras model of 8x8 images that makes both decisions."""
    return small_original(lambda image: image)


@pytest.fixture(scope="module")
def small_file(small: Original) -> bytes:
    """What the converter makes of it."""
    return GOOD.convert(load_keras(small.data, small.spec), small.spec)


def small_original(operation: Callable[[Any], Any]) -> Original:
    """A Keras model of 8x8 images with an operation of its own before its only layer."""
    keras, _ = require_tensorflow("export")
    spec = dataclasses.replace(SEED_SPEC, input=InputSpec(height=8, width=8))
    image = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(operation(image))
    layer = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Model(image, layer(flat))
    # The upper half against the lower one, centred on phantoms: half of them on either side.
    weights = np.repeat(np.float32([0.5, -0.5]), 32)[:, np.newaxis]
    drawn = [fit(draw_phantom(np.random.default_rng(i)), spec.input) for i in range(16)]
    contrasts = normalize(np.concatenate(drawn), spec.input).reshape(16, 64) @ weights
    layer.set_weights([weights, -np.median(contrasts, axis=0)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return Original(path.read_bytes(), spec, UNKNOWN, "small")


def rewired(data: bytes, *steps: tuple[str, np.ndarray | None]) -> bytes:
    """The network with operations behind its output: a name and a constant operand each."""
    network = onnx.load_from_string(data)
    graph = network.graph
    final = graph.node[-1]
    assert list(final.output) == ["scores"]
    final.output[0] = "step0"
    for number, (operation, operand) in enumerate(steps):
        names = [f"step{number}"]
        if operand is not None:
            names.append(f"operand{number}")
            graph.initializer.append(numpy_helper.from_array(operand, names[-1]))
        output = "scores" if number == len(steps) - 1 else f"step{number + 1}"
        graph.node.append(helper.make_node(operation, names, [output]))
    onnx.checker.check_model(network, full_check=True)
    changed: bytes = network.SerializeToString()
    return changed


def constant(value: float) -> list[tuple[str, np.ndarray | None]]:
    return [("Mul", np.float32(0)), ("Add", np.float32(value))]


def off_by_0_01(data: bytes) -> bytes:
    return rewired(data, ("Add", np.float32(0.01)))


def nan(data: bytes) -> bytes:
    return rewired(data, ("Mul", np.float32(np.nan)))


def above_one(data: bytes) -> bytes:
    return rewired(data, ("Add", np.float32(1)))


def inverted(data: bytes) -> bytes:
    return rewired(data, ("Neg", None), ("Add", np.float32(1)))


def never_positive(data: bytes) -> bytes:
    return rewired(data, *constant(1.0))


def always_positive(data: bytes) -> bytes:
    return rewired(data, *constant(0.0))


def two_columns(data: bytes) -> bytes:
    network = onnx.load_from_string(data)
    network.graph.node[-1].output[0] = "one"
    network.graph.node.append(helper.make_node("Concat", ["one", "one"], ["scores"], axis=1))
    network.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2
    changed: bytes = network.SerializeToString()
    return changed


def cut(data: bytes) -> bytes:
    return data[:-1000]


ALTERED = [off_by_0_01, nan, above_one, inverted, never_positive, always_positive, two_columns, cut]


def kind_of(alter: Callable[[bytes], bytes], good: bytes, tolerance: float) -> ArtifactKind:
    return dataclasses.replace(GOOD, convert=lambda model, spec: alter(good), tolerance=tolerance)


def export_over(bundle: Path, original: Original, *kinds: ArtifactKind) -> CxrEdgeError | None:
    """Export over an existing bundle; the error, after checking that every byte is as it was."""
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    try:
        export(original, bundle, kinds, data=None, reporter=Silent())
    except CxrEdgeError as err:
        assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
        assert len(str(err).splitlines()) == 1
        return err
    return None


def proofs_of(opened: Bundle) -> dict[str, Golden]:
    return {"golden": opened.golden()}


def test_the_unaltered_file_passes_the_gate_on_every_engine(
    opened: Bundle, spec: ModelSpec, good_file: bytes
) -> None:
    records = prove(good_file, GOOD, proofs_of(opened), spec)
    assert [record.engine for record in records] == ["onnxruntime", "openvino"]
    assert all(r.golden.flips == 0 and r.golden.inputs == COUNT for r in records)
    assert all(r.tolerance == GOOD.tolerance and r.data is None for r in records)


@pytest.mark.parametrize("alter", ALTERED, ids=lambda alter: alter.__name__)
def test_a_file_that_answers_otherwise_does_not_pass(
    opened: Bundle, spec: ModelSpec, good_file: bytes, alter: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(ParityError) as caught:
        prove(alter(good_file), GOOD, proofs_of(opened), spec)
    message = str(caught.value)
    assert caught.value.exit_code == 6
    assert message.startswith("onnx-fp32 on onnxruntime: ") and "nothing was written" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    "alter", [never_positive, always_positive, inverted, nan, above_one], ids=lambda a: a.__name__
)
def test_no_tolerance_lets_a_file_pass_that_changes_decisions(
    opened: Bundle, spec: ModelSpec, good_file: bytes, alter: Callable[[bytes], bytes]
) -> None:
    generous = dataclasses.replace(GOOD, tolerance=1.0)
    with pytest.raises(ParityError):
        prove(alter(good_file), generous, proofs_of(opened), spec)


def test_a_difference_just_within_the_tolerance_passes_and_is_recorded(
    opened: Bundle, good_file: bytes
) -> None:
    nudged = rewired(good_file, ("Add", np.float32(0.01)))
    spec = opened.manifest.spec  # all its scores lie on one side of 0.5
    generous = dataclasses.replace(GOOD, tolerance=0.011)
    for record in prove(nudged, generous, proofs_of(opened), spec):
        assert record.golden.max_abs_delta == pytest.approx(0.01, abs=1e-5)
    with pytest.raises(ParityError, match="0 decisions changed"):
        prove(nudged, dataclasses.replace(GOOD, tolerance=0.0099), proofs_of(opened), spec)


def test_images_given_besides_the_golden_inputs_must_hold_too(
    opened: Bundle, good_file: bytes
) -> None:
    held, spec = opened.golden(), opened.manifest.spec
    other = Golden(held.pixels[:7], held.scores[:7] + np.float32(0.01))
    with pytest.raises(ParityError, match="7 data inputs"):
        prove(good_file, GOOD, {"golden": held, "data": other}, spec)
    records = prove(good_file, GOOD, {"golden": held, "data": held}, spec)
    assert all(record.data == record.golden for record in records)


@pytest.mark.parametrize(
    ("alter", "tolerance"),
    [(off_by_0_01, 1e-5), (nan, 1.0), (never_positive, 1.0)],
    ids=["off by 0.01", "NaN", "constant"],
)
def test_an_export_with_such_a_converter_leaves_the_bundle_that_was_there(
    bundle: Path,
    small: Original,
    small_file: bytes,
    few_pictures: None,
    alter: Callable[[bytes], bytes],
    tolerance: float,
) -> None:
    error = export_over(bundle, small, kind_of(alter, small_file, tolerance))
    assert isinstance(error, ParityError) and error.exit_code == 6


def test_one_bad_file_among_good_ones_stops_the_whole_export(
    bundle: Path, small: Original, small_file: bytes, few_pictures: None
) -> None:
    good = kind_of(lambda data: data, small_file, 1e-5)
    bad = dataclasses.replace(kind_of(nan, small_file, 1e-5), name="onnx-fp32-batch")
    assert isinstance(export_over(bundle, small, good, bad), ParityError)
    assert export_over(bundle, small, good) is None  # and the good one alone is written
    manifest = Bundle.open(bundle).manifest
    assert [a.name for a in manifest.artifacts] == ["onnx-fp32"]
    assert all(count >= 8 for count in manifest.golden.decisions.values())
    assert len(list(bundle.iterdir())) == 4


@pytest.mark.parametrize("kind", ["onnx-fp32", "tflite-fp32"])
def test_an_operation_that_the_format_does_not_know_is_an_export_error(
    bundle: Path, few_pictures: None, kind: str
) -> None:
    keras, _ = require_tensorflow("export")
    error = export_over(bundle, small_original(lambda x: keras.ops.erfinv(x * 0.9)), KINDS[kind])
    assert isinstance(error, ExportError) and error.exit_code == 6
    assert "cannot convert the model" in str(error)


def test_a_model_that_only_answers_the_threshold_proves_nothing(
    few_pictures: None,
) -> None:
    def undecided(pixels: np.ndarray) -> np.ndarray:
        return np.full((len(pixels), 1), 0.5, np.float32)

    with pytest.raises(ExportError, match=r"threshold 0\.5"):
        draw_golden(undecided, SEED_SPEC)


def test_an_original_that_answers_nan_is_refused_as_a_model(few_pictures: None) -> None:
    def broken(pixels: np.ndarray) -> np.ndarray:
        return np.full((len(pixels), 1), np.nan, np.float32)

    with pytest.raises(ModelError, match="no probability"):
        draw_golden(broken, SEED_SPEC)


def test_a_model_of_more_labels_than_golden_inputs_still_gets_them(few_pictures: None) -> None:
    labels = tuple(f"label {number}" for number in range(100))
    spec = ModelSpec("many", InputSpec(height=4, width=4), labels, "softmax", None, None, "")

    def scattered(pixels: np.ndarray) -> np.ndarray:
        chosen = pixels.reshape(len(pixels), -1).sum(axis=1) % 100
        return np.eye(100, dtype=np.float32)[chosen]

    drawn = draw_golden(scattered, spec)
    assert 1 <= len(drawn.pixels) <= COUNT
    assert len(np.unique(drawn.scores.argmax(axis=1))) >= COUNT // 2


def test_without_an_engine_for_the_format_nothing_is_exported_unproven(
    opened: Bundle, good_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "installed_engines", lambda: ("litert",))
    with pytest.raises(MissingExtraError, match=r"onnx-fp32 cannot be proven.*openvino"):
        prove(good_file, GOOD, proofs_of(opened), opened.manifest.spec)
    assert {*ENGINES} == {*installed_engines()}
