"""The gate: a file that does not answer like the original is never written over a good one."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from cxr_edge.bundle.embedded import Embedded
from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.bundle.parity import NearParity
from cxr_edge.bundle.proofs import Parity
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.verify import replay_bundle
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.data.samples import Samples
from cxr_edge.engines import ENGINES, installed_engines, open_engine
from cxr_edge.errors import (
    CxrEdgeError,
    DataError,
    EngineError,
    ExportError,
    MissingExtraError,
    OutputError,
    ParityError,
)
from cxr_edge.export import builder, machine
from cxr_edge.export.artifacts import KINDS, ArtifactKind, FloatConversion, QuantizedConversion
from cxr_edge.export.convert.metadata import embed
from cxr_edge.export.convert.onnx import export_onnx
from cxr_edge.export.convert.tflite import export_tflite
from cxr_edge.export.gate import EngineProof, ParityImages, prove_artifact
from cxr_edge.export.golden import COUNT, choose_golden, draw_pictures
from cxr_edge.export.golden.near import draw_near, some_of_each
from cxr_edge.export.graph.graph import Graph, build_model
from cxr_edge.export.graph.lowering import lower
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.export.pipeline import export
from cxr_edge.export.quantize import search
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.quantize.quantizer import CalibratedNetwork
from cxr_edge.export.quantize.recipe import QuantizationRecipe
from cxr_edge.export.report import report_path
from cxr_edge.export.request import CalibrationImages, ExportRequest, OriginalModel
from cxr_edge.export.speed import measure_speed
from cxr_edge.extras import require_tensorflow
from cxr_edge.original.keras_model import load_keras
from cxr_edge.original.run_folder import UNKNOWN
from cxr_edge.preprocess import Pixels, normalize, resize_to_input
from cxr_edge.reporting import Silent
from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("files_not_timed")]

GOOD = KINDS["onnx-fp32"]
EXACT = Budget(max_flips=0, max_delta_p=1e-5)
ANYTHING = Budget(max_flips=10_000, max_delta_p=1.0, max_auc_drop=1.0)
ORIGINAL = "5" * 64
"""Stands for the hash of the original model."""


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


def one_sided(opened: Bundle) -> ModelSpec:
    """The bundle's spec with a threshold below all its golden scores."""
    return dataclasses.replace(opened.manifest.spec, threshold=0.05)


REQUEST = ExportRequest(golden_pool=64)
"""A quarter of the pictures: these models are small and quick, drawing is not."""


@pytest.fixture(scope="module")
def small() -> OriginalModel:
    """A Keras model of 8x8 images that makes both decisions."""
    return small_original(lambda image: image)


@pytest.fixture(scope="module")
def small_graph(small: OriginalModel) -> Graph:
    """Its network as converters get it."""
    return lower(read_graph(load_keras(small.data, small.spec)))


@pytest.fixture(scope="module")
def small_file(small_graph: Graph) -> bytes:
    """What the converter makes of it."""
    assert isinstance(GOOD.conversion, FloatConversion)
    return GOOD.conversion.convert(small_graph)


def small_original(operation: Callable[[Any], Any]) -> OriginalModel:
    """A Keras model of 8x8 images with an operation of its own before its only layer."""
    keras, _ = require_tensorflow("export")
    spec = dataclasses.replace(SEED_SPEC, input=InputSpec(height=8, width=8))
    image = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(operation(image))
    layer = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Model(image, layer(flat))
    # The upper half against the lower one, centred on phantoms: half of them on either side.
    weights = np.repeat(np.float32([0.5, -0.5]), 32)[:, np.newaxis]
    drawn = [resize_to_input(draw_phantom(np.random.default_rng(i)), spec.input) for i in range(16)]
    contrasts = normalize(np.concatenate(drawn), spec.input).reshape(16, 64) @ weights
    layer.set_weights([weights, -np.median(contrasts, axis=0)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return OriginalModel(
            path.read_bytes(),
            spec,
            UNKNOWN,
            "small",
            calibration=CalibrationImages(Samples(np.concatenate(drawn), None, ()), "drawn here"),
        )


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
    budget = Budget(max_flips=0, max_delta_p=tolerance)
    return dataclasses.replace(GOOD, conversion=FloatConversion(lambda graph: alter(good), budget))


def export_over(
    bundle: Path,
    original: OriginalModel,
    *kinds: ArtifactKind,
    request: ExportRequest = REQUEST,
) -> CxrEdgeError | None:
    """Export kinds by name over a bundle; the error, after checking that no byte changed."""
    request = dataclasses.replace(request, named=frozenset(kind.name for kind in kinds))
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    try:
        export(original, bundle, kinds, request, Silent())
    except CxrEdgeError as err:
        assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
        assert not report_path(bundle).exists()
        assert len(str(err).splitlines()) == 1
        return err
    return None


def golden_of(opened: Bundle) -> ParityImages:
    held = opened.golden()
    return ParityImages("golden", Samples(held.pixels, None, ()), held.scores)


def prove_altered(
    alter: Callable[[bytes], bytes],
    good: bytes,
    spec: ModelSpec,
    *image_sets: ParityImages,
    budget: Budget = EXACT,
) -> tuple[EngineProof, ...]:
    """The gate, for a file that was altered after it was told what it is."""
    embedded = Embedded(ORIGINAL, spec)
    data = alter(embed(good, "onnx", embedded))
    return prove_artifact(data, GOOD, budget, image_sets, embedded, str)


def unaltered(data: bytes) -> bytes:
    return data


def test_the_unaltered_file_passes_the_gate_on_every_engine(
    opened: Bundle, spec: ModelSpec, good_file: bytes
) -> None:
    proofs = prove_altered(unaltered, good_file, spec, golden_of(opened))
    assert [each.engine for each in proofs] == ["onnxruntime", "openvino"]
    for each in proofs:
        assert set(each.decisions) == {"golden"}
        parity = each.decisions["golden"].parity
        assert (parity.flips, parity.inputs) == (0, opened.manifest.golden.inputs)


@pytest.mark.parametrize("alter", ALTERED, ids=lambda alter: alter.__name__)
def test_a_file_that_answers_otherwise_does_not_pass(
    opened: Bundle, spec: ModelSpec, good_file: bytes, alter: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(ParityError) as caught:
        prove_altered(alter, good_file, spec, golden_of(opened))
    message = str(caught.value)
    assert caught.value.exit_code == 6
    where = "onnx-fp32: cannot load the model" if alter is cut else "onnx-fp32 on onnxruntime: "
    assert message.startswith(where)
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    "alter", [never_positive, always_positive, inverted, nan, above_one], ids=lambda a: a.__name__
)
def test_no_tolerance_lets_a_file_pass_that_changes_golden_decisions(
    opened: Bundle, spec: ModelSpec, good_file: bytes, alter: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(ParityError):
        prove_altered(alter, good_file, spec, golden_of(opened), budget=ANYTHING)


def test_a_difference_just_within_the_tolerance_passes_and_is_recorded(
    opened: Bundle, good_file: bytes
) -> None:
    spec = one_sided(opened)
    golden = golden_of(opened)
    generous = dataclasses.replace(EXACT, max_delta_p=0.011)
    for each in prove_altered(off_by_0_01, good_file, spec, golden, budget=generous):
        parity = each.decisions["golden"].parity
        assert parity.max_abs_delta == pytest.approx(0.01, abs=1e-5)
        assert parity.p99_abs_delta == pytest.approx(0.01, abs=1e-5)
    close = dataclasses.replace(EXACT, max_delta_p=0.0099)
    with pytest.raises(ParityError, match=r"max \|Δscore\| 0\.01, allowed 0\.0099"):
        prove_altered(off_by_0_01, good_file, spec, golden, budget=close)


def test_images_given_besides_the_golden_inputs_must_hold_too(
    opened: Bundle, good_file: bytes
) -> None:
    golden, spec = golden_of(opened), opened.manifest.spec
    seven = Samples(golden.samples.pixels[:7], None, ())
    other = ParityImages("data", seven, golden.scores[:7] + np.float32(0.01))
    with pytest.raises(ParityError, match="7 images of --data"):
        prove_altered(unaltered, good_file, spec, golden, other)
    embedded = Embedded(ORIGINAL, spec)
    file, integer = embed(good_file, "onnx", embedded), KINDS["onnx-int8"]
    with pytest.raises(ParityError, match="choose nothing: more images to choose by") as caught:
        prove_artifact(file, integer, EXACT, (golden, other), embedded, str)
    assert len(str(caught.value)) <= 300
    same = dataclasses.replace(golden, image_set="data")
    for each in prove_altered(unaltered, good_file, spec, golden, same):
        assert each.decisions["data"] == each.decisions["golden"]


def near_the_threshold(opened: Bundle) -> tuple[ModelSpec, ParityImages, np.float32]:
    """A threshold that one image just reaches, and what added to the scores changes it alone."""
    golden = golden_of(opened)
    positive = np.sort(1 - golden.scores[:, 0].astype(np.float64))  # the sigmoid is P(NORMAL)
    gaps = np.diff(positive)
    room = np.minimum(gaps[:-1], gaps[1:])[2:-2]  # others stay on either side
    place = int(room.argmax())
    assert room[place] > 1e-4
    threshold = float(positive[place + 3] - room[place] / 4)
    spec = dataclasses.replace(opened.manifest.spec, threshold=threshold)
    return spec, dataclasses.replace(golden, image_set="data"), np.float32(room[place] / 2)


@pytest.mark.parametrize(("flips", "passes"), [(None, True), (1, True), (0, False)])
def test_on_images_given_as_many_decisions_may_change_as_the_budget_says(
    opened: Bundle, good_file: bytes, flips: int | None, passes: bool
) -> None:
    spec, data, by = near_the_threshold(opened)
    budget = Budget(max_flips=flips, max_delta_p=0.01)

    def nudge(content: bytes) -> bytes:
        return rewired(content, ("Add", by))

    if passes:
        for each in prove_altered(nudge, good_file, spec, data, budget=budget):
            assert each.decisions["data"].parity.flips == len(each.decisions["data"].flips) == 1
    else:
        with pytest.raises(ParityError, match="1 decisions changed, allowed 0"):
            prove_altered(nudge, good_file, spec, data, budget=budget)
    golden = dataclasses.replace(data, image_set="golden")
    with pytest.raises(ParityError, match=r"1 decisions changed, allowed 0.*golden inputs"):
        prove_altered(nudge, good_file, spec, golden, budget=budget)


@pytest.mark.parametrize("alter", [never_positive, always_positive], ids=lambda a: a.__name__)
def test_no_budget_lets_a_file_pass_that_decides_alike_on_all_images_given(
    opened: Bundle, spec: ModelSpec, good_file: bytes, alter: Callable[[bytes], bytes]
) -> None:
    data = dataclasses.replace(golden_of(opened), image_set="data")
    with pytest.raises(ParityError, match="for every image, which the original does not"):
        prove_altered(alter, good_file, spec, data, budget=ANYTHING)


def test_a_file_that_ranks_labelled_images_worse_does_not_pass(
    opened: Bundle, good_file: bytes
) -> None:
    golden, spec = golden_of(opened), one_sided(opened)
    labels = (golden.scores[:, 0] > np.median(golden.scores)).astype(np.intp)
    data = ParityImages("data", dataclasses.replace(golden.samples, labels=labels), golden.scores)
    for each in prove_altered(unaltered, good_file, spec, data):
        labelled = each.decisions["data"].labelled
        assert labelled is not None and labelled.auc is not None
        assert (labelled.auc.original, labelled.auc.difference) == (1.0, 0.0)

    def flattened(content: bytes) -> bytes:  # towards the same answer to all, ranked backwards
        middle = np.float32(golden.scores.mean())
        return rewired(content, ("Sub", middle), ("Mul", np.float32(-0.1)), ("Add", middle))

    lenient = Budget(max_flips=COUNT, max_delta_p=1.0, max_auc_drop=0.005)
    told = rf"AUC fell by 1, allowed 0\.005, on {len(labels)} images of --data"
    with pytest.raises(ParityError, match=told):
        prove_altered(flattened, good_file, spec, data, budget=lenient)
    prove_altered(flattened, good_file, spec, data, budget=ANYTHING)


@pytest.mark.parametrize(
    "stale",
    [Embedded("0" * 64, SEED_SPEC), None],
    ids=["another model", "another spec"],
)
def test_a_file_made_from_another_model_or_spec_does_not_pass_though_it_answers_alike(
    opened: Bundle, good_file: bytes, stale: Embedded | None
) -> None:
    spec = opened.manifest.spec
    other = Embedded(ORIGINAL, dataclasses.replace(spec, threshold=0.25))
    with pytest.raises(ParityError, match=r"onnx-fp32: was made from another model") as caught:
        prove_altered(
            lambda data: embed(data, "onnx", stale or other), good_file, spec, golden_of(opened)
        )
    assert caught.value.exit_code == 6


def test_a_file_that_says_nothing_of_itself_does_not_pass(opened: Bundle, good_file: bytes) -> None:
    def silent(data: bytes) -> bytes:
        network = onnx.load_from_string(data)
        del network.metadata_props[:]
        cleared: bytes = network.SerializeToString()
        return cleared

    with pytest.raises(ParityError, match="no metadata"):
        prove_altered(silent, good_file, opened.manifest.spec, golden_of(opened))


@pytest.mark.parametrize(
    ("alter", "tolerance"),
    [(off_by_0_01, 1e-5), (nan, 1.0), (never_positive, 1.0)],
    ids=["off by 0.01", "NaN", "constant"],
)
def test_an_export_with_such_a_converter_leaves_the_bundle_that_was_there(
    bundle: Path,
    small: OriginalModel,
    small_file: bytes,
    alter: Callable[[bytes], bytes],
    tolerance: float,
) -> None:
    error = export_over(bundle, small, kind_of(alter, small_file, tolerance))
    assert isinstance(error, ParityError) and error.exit_code == 6


def answering(graph: Graph, kind: str, change: Callable[[Any], Any]) -> bytes:
    """The network in a format, its scores changed by an operation."""
    keras, _ = require_tensorflow("export")
    network = build_model(graph, batch=1)
    altered = keras.Model(network.inputs, change(network.outputs[0]))
    return export_tflite(altered) if kind.startswith("tflite") else export_onnx(altered)


def searched(kind: str, data: bytes) -> ArtifactKind:
    """The kind, with a quantizer that builds this file by every recipe."""

    class OneFile:
        def __init__(self, network: CalibratedNetwork) -> None:
            assert len(network.batch)

        def build(self, recipe: QuantizationRecipe) -> bytes:
            return data

    conversion = KINDS[kind].conversion
    assert isinstance(conversion, QuantizedConversion)
    altered = dataclasses.replace(conversion, quantizer=OneFile, smallest=0)
    return dataclasses.replace(KINDS[kind], conversion=altered)


QUANTIZED = INTEGER, DYNAMIC = ("onnx-int8", "tflite-int8-dynamic")


@pytest.mark.parametrize(
    ("kind", "change", "budget", "said"),
    [
        (INTEGER, lambda p: p + 0.1, Budget(max_flips=1000), r"max \|Δscore\| 0\.1, allowed 0\.05"),
        (INTEGER, lambda p: p * np.nan, ANYTHING, "no file answered|no probability"),
        (INTEGER, lambda p: p * 0 + 1, ANYTHING, "decisions changed, allowed 0, on golden inputs"),
        (INTEGER, lambda p: p * 0, ANYTHING, "decisions changed, allowed 0, on golden inputs"),
        (DYNAMIC, lambda p: p * np.nan, ANYTHING, "no file answered|no probability"),
        (DYNAMIC, lambda p: p * 0 + 1, ANYTHING, "decisions changed, allowed 0, on golden inputs"),
    ],
    ids=[
        *("off by 0.1", "NaN", "stuck on NORMAL", "stuck on PNEUMONIA"),
        *("NaN by LiteRT", "stuck on NORMAL by LiteRT"),
    ],
)
def test_a_quantized_file_that_no_recipe_makes_right_leaves_the_bundle_that_was_there(
    bundle: Path,
    small: OriginalModel,
    small_graph: Graph,
    kind: str,
    change: Callable[[Any], Any],
    budget: Budget,
    said: str,
) -> None:
    bad = searched(kind, answering(small_graph, kind, change))
    error = export_over(bundle, small, bad, request=dataclasses.replace(REQUEST, budget=budget))
    assert isinstance(error, ParityError) and error.exit_code == 6
    message = str(error)
    assert message.startswith(f"{kind}: none of ") and message.endswith("; nothing was written")
    assert len(message) <= 300
    assert re.search(said, message), message


def mirrored(p: Any, reach: float = 0.02) -> Any:
    """The original's scores, but mirrored at the threshold close to it."""
    keras, _ = require_tensorflow("export")
    return keras.ops.where(keras.ops.abs(p - 0.5) < reach, 1 - p, p)


def flat(p: Any) -> Any:
    """The original's scores, but constant close to the threshold."""
    keras, _ = require_tensorflow("export")
    return keras.ops.where(keras.ops.abs(p - 0.5) < 0.02, 0.5 + 0 * p, p)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("onnx-fp32", mirrored),
        ("onnx-int8", mirrored),
        ("onnx-int8", flat),
        ("tflite-int8-dynamic", mirrored),
    ],
)
def test_a_file_that_is_wrong_only_near_the_threshold_is_refused(
    bundle: Path, small: OriginalModel, small_graph: Graph, kind: str, change: Callable[[Any], Any]
) -> None:
    """Golden inputs lie further away, and no score moves by more than the budget of integers."""
    data = answering(small_graph, kind, change)
    if kind in QUANTIZED:
        bad, said = searched(kind, data), "across the decision its scores change by -?[01].* allow"
    else:
        conversion = FloatConversion(lambda graph: data, EXACT)
        bad, said = dataclasses.replace(KINDS[kind], conversion=conversion), r"max \|Δscore\| 0\.0"
    # A recipe is searched on drawn inputs, some of which lie near the threshold, too.
    request = dataclasses.replace(REQUEST, budget=Budget(max_flips=1000))
    error = export_over(bundle, small, bad, request=request)
    assert isinstance(error, ParityError) and error.exit_code == 6
    assert re.search(f"{said}.*on 12 inputs near a decision", str(error)), str(error)


def test_images_given_show_what_is_wrong_near_the_threshold_too(
    small: OriginalModel, small_graph: Graph, small_file: bytes
) -> None:
    """Blends of them are drawn; by how far a score moves there is of no account, its way is."""
    exact = open_engine("onnxruntime", small_file, small.spec)

    def score(pixels: Pixels) -> np.ndarray:
        return exact.run(normalize(pixels, small.spec.input))

    pixels = draw_pictures(small.spec, 0, 48)
    near = draw_near(some_of_each(GoldenSet(pixels, score(pixels)), small.spec), score, small.spec)
    assert near and len(near.scores) == 12
    for change, tolerance in ((mirrored, 1e-5), (lambda p: p, 1e-9), (lambda p: p + 0.04, 1e-9)):
        embedded = Embedded(ORIGINAL, small.spec)
        data = embed(answering(small_graph, "onnx-fp32", change), "onnx", embedded)
        outcome = pytest.raises(ParityError, match="across the decision")
        with outcome if change is mirrored else contextlib.nullcontext():
            budget = Budget(max_delta_p=tolerance)
            proofs = prove_artifact(data, GOOD, budget, (), embedded, str, near_data=near)
            assert all(p.near_data and p.near_data.slope_close for p in proofs)


def test_inputs_near_the_threshold_are_kept_and_replayed_on_the_device(
    tmp_path: Path, small: OriginalModel, small_graph: Graph
) -> None:
    out = tmp_path / "bundle"
    good = searched("onnx-int8", answering(small_graph, "onnx-int8", lambda p: p))
    manifest, report = export(small, out, (GOOD, good), REQUEST, Silent())
    assert manifest.golden.source.endswith("; 12 more near a change of decision")
    golden = Bundle.open(out).golden()
    assert golden.near and len(golden.near.scores) == 12 and len(golden.scores) <= COUNT
    distances = np.abs(golden.near.scores[:, 0] - 0.5)
    assert distances[:8].max() <= 0.02 and distances.max() <= 0.06 and distances.min() >= 0.005
    for artifact in report.artifacts:
        for proof in artifact.proofs:
            assert proof.near and proof.near.slope_close == pytest.approx(1, abs=1e-2)
    assert {verdict.outcome for verdict in replay_bundle(Bundle.open(out))} == {"proven"}


def test_a_bundle_whose_file_is_wrong_near_the_threshold_does_not_verify(
    tmp_path: Path, small: OriginalModel, small_graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by an engine that computes otherwise on the device than where the file was proven."""
    bad = searched("onnx-int8", answering(small_graph, "onnx-int8", mirrored))
    out = tmp_path / "bundle"
    with monkeypatch.context() as patch:
        patch.setattr(NearParity, "excess", lambda *_: "")
        request = dataclasses.replace(REQUEST, budget=Budget(max_flips=1000))
        manifest, _ = export(small, out, (bad,), request, Silent())
    assert "onnx-int8" in {artifact.name for artifact in manifest.artifacts}
    verdicts = list(replay_bundle(Bundle.open(out)))
    verdicts = [verdict for verdict in verdicts if verdict.artifact == "onnx-int8"]
    assert {verdict.outcome for verdict in verdicts} == {"failed"}
    assert all("12 inputs near a decision" in verdict.reason for verdict in verdicts)
    with monkeypatch.context() as patch:  # an older bundle, without such inputs
        golden = Bundle.open(out).golden()
        patch.setattr(Bundle, "golden", lambda _: dataclasses.replace(golden, near=None))
        assert {v.outcome for v in replay_bundle(Bundle.open(out))} == {"proven"}


@pytest.mark.parametrize(("kind", "named"), [(INTEGER, False), (DYNAMIC, True)])
def test_a_bad_quantized_file_is_left_out_of_what_is_written_and_named(
    tmp_path: Path, small: OriginalModel, small_graph: Graph, kind: str, named: bool
) -> None:
    bad = searched(kind, answering(small_graph, kind, lambda p: p * np.nan))
    request = dataclasses.replace(REQUEST, named=frozenset({kind} if named else ()))
    said = Said()
    manifest, report = export(small, tmp_path / "bundle", (GOOD, bad), request, said)
    assert [artifact.name for artifact in manifest.artifacts] == ["onnx-fp32"]
    (missing,) = report.failed
    assert (missing.name, missing.named) == (kind, named)
    assert missing.trials and len(missing.why) <= 300
    assert f"{'missing' if named else 'left out'}: {missing.why}" in said.lines
    written = json.loads(report_path(tmp_path / "bundle").read_bytes())
    assert written["failed"][0]["why"] == missing.why and written["format"] == "2.1"


@pytest.mark.parametrize("kind", QUANTIZED)
def test_a_quantized_file_that_holds_its_budget_is_written_with_its_recipe(
    bundle: Path,
    small: OriginalModel,
    small_graph: Graph,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cxr_edge.export.pipeline.measure_speed", measure_speed)
    good = searched(kind, answering(small_graph, kind, lambda p: p))
    assert export_over(bundle, small, good) is None
    (artifact,) = Bundle.open(bundle).manifest.artifacts
    assert artifact.name == kind and artifact.quantization is not None
    assert artifact.quantization.calibration is not None
    assert artifact.quantization.calibration.source == "drawn here"
    assert {record.tolerance for record in artifact.engines} == {0.05}
    report = json.loads(report_path(bundle).read_bytes())
    assert report["proves"].startswith("numbers on drawn inputs only")
    assert report["chosen_on"].endswith(" drawn inputs")
    (entry,) = report["artifacts"]
    assert entry["name"] == kind and 0 <= entry["taken"] < len(entry["trials"])
    assert entry["trials"][entry["taken"]]["excess"] == ""
    assert entry["speed"]["p50_ms"] > 0


@pytest.mark.parametrize("kind", ["onnx-fp32", DYNAMIC])  # by either of those that embed it
def test_an_export_of_a_file_made_from_another_model_leaves_the_bundle_that_was_there(
    bundle: Path,
    small: OriginalModel,
    small_graph: Graph,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    def stale(data: bytes, format: Any, embedded: Embedded) -> bytes:
        return embed(data, format, Embedded("0" * 64, embedded.spec))

    monkeypatch.setattr(builder, "embed", stale)
    monkeypatch.setattr(search, "embed", stale)
    made = KINDS[kind]
    if kind in QUANTIZED:
        made = searched(kind, answering(small_graph, kind, lambda p: p))
    error = export_over(bundle, small, made)
    assert isinstance(error, ParityError) and error.exit_code == 6
    assert "was made from another model" in str(error)


@pytest.mark.parametrize("kind", ["onnx-int8-x86-vnni", "onnx-int8-arm64"])
def test_a_file_for_other_cpus_is_refused_before_any_work_where_it_cannot_be_proven(
    bundle: Path, small: OriginalModel, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(
        machine,
        "why_unsuited",
        lambda target: "" if target in ("any", "portable") else "it saturates",
    )
    monkeypatch.setattr("cxr_edge.export.pipeline.ArtifactBuilder", None)
    error = export_over(bundle, small, KINDS[kind])
    assert isinstance(error, ParityError) and "cannot be proven here" in str(error)
    assert "onnx-int8, which is right everywhere" in str(error)


def test_what_cannot_be_proven_here_does_not_hold_up_the_others(
    bundle: Path, small: OriginalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        machine, "why_unsuited", lambda target: target == "arm64" and "it saturates"
    )
    kinds = GOOD, KINDS["onnx-int8-arm64"]
    request = dataclasses.replace(REQUEST, named=frozenset(kind.name for kind in kinds))
    manifest, report = export(small, bundle, kinds, request, Silent())
    assert [artifact.name for artifact in manifest.artifacts] == ["onnx-fp32"]
    (failed,) = report.failed
    assert failed.named and "cannot be proven here: it saturates" in failed.why


def test_images_that_decide_must_not_be_scored(
    bundle: Path, small: OriginalModel, small_file: bytes, tmp_path: Path
) -> None:
    for label in SEED_SPEC.labels:
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(2):
            picture = draw_phantom(np.random.default_rng([number, *label.encode()]))
            cv2.imwrite(str(tmp_path / "images" / label / f"{number}.png"), picture)
    folder = tmp_path / "images"
    kind = searched("onnx-int8", small_file)
    for options, shared in (
        (("calibration", "data"), "4 calibration images are also among the images to check"),
        (("calibration", "validation"), "4 calibration images are also among the validation"),
        (("validation", "data"), "4 validation images are also among the images to check parity"),
    ):
        request = dataclasses.replace(REQUEST, **dict.fromkeys(options, folder))
        with pytest.raises(DataError, match=shared):  # before the model is loaded
            request.check_folders(SEED_SPEC)
        error = export_over(bundle, small, kind, request=request)
        assert isinstance(error, DataError) and error.exit_code == 2
        assert str(error).startswith(shared)


def test_of_a_good_and_a_bad_file_the_good_one_is_written(
    bundle: Path, small: OriginalModel, small_file: bytes
) -> None:
    good = kind_of(lambda data: data, small_file, 1e-5)
    bad = dataclasses.replace(kind_of(nan, small_file, 1e-5), name="onnx-fp32-batch")
    assert export_over(bundle, small, good, bad) is None
    manifest = Bundle.open(bundle).manifest
    assert [a.name for a in manifest.artifacts] == ["onnx-fp32"]
    assert all(count >= 8 for count in manifest.golden.decisions.values())
    assert len(list(bundle.iterdir())) == 5  # keras, golden, file, manifest, card
    assert Bundle.open(bundle).card_is_current()


def test_a_set_of_files_without_a_float32_one_gets_that_of_the_other_format(
    tmp_path: Path, small: OriginalModel, small_file: bytes
) -> None:
    bad = kind_of(off_by_0_01, small_file, 1e-5)
    manifest, report = export(small, tmp_path / "bundle", (bad,), REQUEST, Silent())
    assert [artifact.name for artifact in manifest.artifacts] == ["tflite-fp32"]
    assert [missing.name for missing in report.failed] == ["onnx-fp32"]


@pytest.mark.parametrize("loose", [False, True], ids=["default budget", "any budget"])
def test_no_budget_for_quantization_lets_a_wrong_float32_conversion_through(
    tmp_path: Path, small: OriginalModel, small_graph: Graph, small_file: bytes, loose: bool
) -> None:
    """What is asked for is the integer file; its float32 one is wrong, so it is not even tried."""
    wrong = kind_of(off_by_0_01, small_file, 1.0)
    integer = searched("onnx-int8", answering(small_graph, "onnx", lambda p: p))
    request = dataclasses.replace(REQUEST, budget=ANYTHING) if loose else REQUEST
    manifest, report = export(small, tmp_path / "bundle", (integer, wrong), request, Silent())
    assert [artifact.name for artifact in manifest.artifacts] == ["tflite-fp32"]
    assert [missing.name for missing in report.failed] == ["onnx-int8", "onnx-fp32"]
    for missing in report.failed:
        assert "the onnx converter changes this network: in float32" in missing.why
        assert "differ by 0.01" in missing.why and "--max-delta-p" not in missing.why
        assert not missing.trials


def test_a_time_that_cannot_be_measured_is_null_with_the_reason(
    tmp_path: Path, small: OriginalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object) -> bytes:
        raise ExportError("tf2onnx cannot convert the model: Erfinv")

    monkeypatch.setattr("cxr_edge.export.pipeline.measure_speed", measure_speed)
    monkeypatch.setattr(builder.ArtifactBuilder, "stock_onnx", refuse)
    _, report = export(small, tmp_path / "bundle", (GOOD,), REQUEST, Silent())
    (written,) = report.artifacts
    assert written.speed.p50_ms is not None and written.speed.of_stock is None
    assert "cannot convert the model: Erfinv" in written.speed.why


@pytest.mark.parametrize("kind", ["onnx-fp32", "tflite-fp32"])
def test_an_operation_that_the_format_does_not_know_is_an_export_error(
    bundle: Path, kind: str
) -> None:
    keras, _ = require_tensorflow("export")
    error = export_over(bundle, small_original(lambda x: keras.ops.erfinv(x * 0.9)), KINDS[kind])
    assert isinstance(error, ExportError) and error.exit_code == 6
    assert "cannot convert the operation Erfinv" in str(error)


@pytest.mark.parametrize("name", ["onnx-fp32", "onnx-fp32-batch", "tflite-fp32", "tflite-fp16"])
def test_a_network_converted_again_in_the_same_process_gives_the_same_bytes(name: str) -> None:
    """Keras counts models and layers in a process; its counts must not be in the files."""
    keras, _ = require_tensorflow("export")
    image = keras.Input((8, 8, 1), name="image")
    hidden = keras.layers.Conv2D(3, 3, activation="relu", name="conv")(image)
    hidden = keras.layers.Conv2D(2, 3, activation="relu", name="more")(hidden)
    flat = keras.layers.Flatten(name="flat")(hidden)
    model = keras.Model(image, keras.layers.Dense(1, activation="sigmoid", name="end")(flat))
    conversion = KINDS[name].conversion
    assert isinstance(conversion, FloatConversion)
    first = conversion.convert(lower(read_graph(model)))
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="relu")])
    assert conversion.convert(lower(read_graph(model))) == first


def drawn(spec: ModelSpec) -> Pixels:
    return draw_pictures(spec, 0, 64)


def test_a_model_that_only_answers_the_threshold_proves_nothing() -> None:
    pixels = drawn(SEED_SPEC)
    undecided = GoldenSet(pixels, np.full((len(pixels), 1), 0.5, np.float32))
    with pytest.raises(ExportError, match=r"threshold 0\.5"):
        choose_golden(undecided, SEED_SPEC, 0.05)


def test_an_original_that_answers_nan_is_refused(bundle: Path) -> None:
    pixels = drawn(SEED_SPEC)
    broken = GoldenSet(pixels, np.full((len(pixels), 1), np.nan, np.float32))
    with pytest.raises(EngineError, match="no probability"):
        choose_golden(broken, SEED_SPEC, 0.05)
    error = export_over(bundle, small_original(lambda image: image * np.nan), GOOD)
    assert error is not None and "no probability" in str(error)


def test_a_model_of_more_labels_than_golden_inputs_still_gets_them() -> None:
    labels = tuple(f"label {number}" for number in range(100))
    spec = ModelSpec("many", InputSpec(height=4, width=4), labels, "softmax", None, None, "")
    pixels = drawn(spec)
    scattered = np.eye(100, dtype=np.float32)[pixels.reshape(len(pixels), -1).sum(axis=1) % 100]
    chosen, margin = choose_golden(GoldenSet(pixels, scattered), spec, 0.05)
    assert 1 <= len(chosen.pixels) <= COUNT
    assert len(np.unique(chosen.scores.argmax(axis=1))) >= COUNT // 2
    assert margin == 0.5  # half the lead of a certain answer


def test_without_an_engine_for_the_format_nothing_is_exported_unproven(
    opened: Bundle, good_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "installed_engines", lambda: ("litert",))
    with pytest.raises(MissingExtraError, match=r"onnx-fp32 cannot be proven.*openvino"):
        prove_altered(unaltered, good_file, opened.manifest.spec, golden_of(opened))
    assert {*ENGINES} == {*installed_engines()}


def test_a_report_that_cannot_be_written_leaves_the_old_bundle(
    small: OriginalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bundle"
    export(small, out, (GOOD,), REQUEST, Silent())
    before = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.parent == tmp_path:  # where the report is
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        export(small, out, (KINDS["tflite-fp32"],), REQUEST, Silent())
    after = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_rounding_that_swaps_two_equal_scores_does_not_refuse_a_float32_file() -> None:
    assert isinstance(GOOD.conversion, FloatConversion)
    assert GOOD.conversion.budget
    swapped = 1 / (189 * 115)  # one pair of the 304 test images
    assert not GOOD.conversion.budget.excess(Parity(304, 1e-7, 1e-8, 1e-7, 0), swapped)


def test_a_network_too_small_to_be_quantized_is_not_called_int8(small_graph: Graph) -> None:
    conversion = KINDS["tflite-int8-dynamic"].conversion
    assert isinstance(conversion, QuantizedConversion)
    with pytest.raises(ExportError, match="no layer has 1024 weights"):
        conversion.first_recipe(small_graph)  # its only layer has 64


class Said(Silent):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        """Keep it."""
        self.lines.append(message)


def test_such_a_file_is_left_out_with_a_line_and_missing_where_it_was_named(
    tmp_path: Path, small: OriginalModel
) -> None:
    kinds = (KINDS["onnx-fp32"], KINDS["tflite-int8-dynamic"])
    said = Said()
    manifest, _ = export(small, tmp_path / "set", kinds, REQUEST, said)
    assert [artifact.name for artifact in manifest.artifacts] == ["onnx-fp32"]
    line = "left out: tflite-int8-dynamic: no layer has 1024 weights"
    assert [text.startswith(line) for text in said.lines if "left out" in text] == [True]
    named = dataclasses.replace(REQUEST, named=frozenset({"tflite-int8-dynamic"}))
    _, report = export(small, tmp_path / "named", kinds, named, Silent())
    (missing,) = report.failed
    assert missing.named and missing.why.startswith(
        "tflite-int8-dynamic: no layer has 1024 weights"
    )
    with pytest.raises(ExportError, match=r"1024 weights, .*; nothing was written$"):
        export(small, tmp_path / "alone", kinds[1:], named, Silent())
    assert not (tmp_path / "alone").exists()
