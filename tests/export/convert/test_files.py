"""The exported files: the names, shapes and metadata they promise, the same bytes every time."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from cxr_edge import documents
from cxr_edge.bundle.embedded import Embedded, read_embedded
from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.bundle.reader import Bundle
from cxr_edge.decision import decision_margins, positive_scores, probabilities
from cxr_edge.errors import UsageError
from cxr_edge.export.artifacts import FP16, FP32, INT8, KINDS, find_kinds
from cxr_edge.export.golden import COUNT, choose_golden, draw_pictures
from cxr_edge.export.report import report_path
from cxr_edge.files import sha256
from cxr_edge.original.keras_model import keras_scores, load_keras
from cxr_edge.original.run_folder import open_run
from cxr_edge.preprocess import Pixels
from cxr_edge.spec import SEED_SPEC


@pytest.fixture(scope="module")
def opened(exported_bundle: Path) -> Bundle:
    return Bundle.open(exported_bundle)


def network(bundle: Bundle, name: str) -> onnx.ModelProto:
    return onnx.load_from_string(bundle.read(bundle.artifact(name).file))


def sides(port: onnx.ValueInfoProto) -> list[int | str]:
    dims = port.type.tensor_type.shape.dim
    return [dim.dim_param if dim.HasField("dim_param") else dim.dim_value for dim in dims]


@pytest.mark.parametrize(
    ("name", "batch"),
    [("onnx-int8", 1), ("onnx-fp32", 1), ("onnx-explain", 1), ("onnx-fp32-batch", "N")],
)
def test_an_onnx_file_maps_image_to_scores_with_the_batch_it_promises(
    opened: Bundle, name: str, batch: int | str
) -> None:
    graph = network(opened, name).graph
    assert [port.name for port in graph.input] == ["image"]
    assert [port.name for port in graph.output] == list(opened.artifact(name).outputs)
    assert ("heatmap" in opened.artifact(name).outputs) == (name == "onnx-explain")
    assert sides(graph.input[0]) == [batch, 50, 50, 1]
    assert [sides(port) for port in graph.output] == [[batch, 1], [batch, 4, 4]][
        : len(graph.output)
    ]
    for port in (*graph.input, *graph.output):
        assert port.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert opened.artifact(name).dynamic_batch is (batch == "N")


@pytest.mark.parametrize("name", ["onnx-int8", "onnx-fp32", "onnx-explain", "onnx-fp32-batch"])
def test_an_onnx_file_is_opset_17_of_the_standard_domain_and_says_what_it_is(
    opened: Bundle, name: str
) -> None:
    model = network(opened, name)
    used = {node.domain for node in model.graph.node}
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    assert used == {""} and opsets[""] == 17
    (entry,) = model.metadata_props
    assert entry.key == "cxr_edge"
    assert entry.value.encode() == documents.dump(expected(opened))
    onnx.checker.check_model(model, full_check=True)


def expected(bundle: Bundle) -> Embedded:
    """What each file of a bundle says of itself."""
    return Embedded(bundle.manifest.keras.sha256, bundle.manifest.spec)


def test_every_file_says_which_model_it_was_made_from(opened: Bundle) -> None:
    model = sha256(opened.read(opened.manifest.keras))
    for artifact in opened.manifest.artifacts:
        found = read_embedded(opened.read(artifact.file), artifact.format)
        assert found == expected(opened) and found.original_sha256 == model


@pytest.mark.parametrize("name", ["tflite-int8-dynamic", "tflite-fp32"])
def test_a_tflite_file_is_also_a_zip_archive_with_what_it_is(opened: Bundle, name: str) -> None:
    data = opened.read(opened.artifact(name).file)
    assert data[4:8] == b"TFL3"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["metadata.json"]
        assert archive.testzip() is None
        assert archive.read("metadata.json") == documents.dump(expected(opened))


def test_the_bundle_carries_the_model_and_the_spec_of_the_run(
    opened: Bundle, run_folder: Path
) -> None:
    run = open_run(run_folder)
    assert opened.read(opened.manifest.keras) == run.model.read_bytes()
    assert opened.manifest.spec == run.spec
    assert opened.manifest.provenance.recipe == "seed v1, 2 epochs"
    assert opened.manifest.provenance.seed == 3
    assert {"tensorflow", "tf2onnx", "onnxruntime"} <= set(opened.manifest.provenance.tools)


def test_the_kinds_asked_for_are_in_the_bundle_in_the_order_of_preference(opened: Bundle) -> None:
    asked = {*FP32, *INT8, "ncnn-fp32"}
    assert [a.name for a in opened.manifest.artifacts] == [n for n in KINDS if n in asked]
    for artifact in opened.manifest.artifacts:
        kind = KINDS[artifact.name]
        assert (artifact.format, artifact.precision) == (kind.format, kind.precision)
        assert (artifact.target, artifact.dynamic_batch) == (kind.target, kind.dynamic_batch)
        assert artifact.outputs == kind.outputs
        assert artifact.file.file.startswith(f"{kind.name}.")
        assert artifact.file.file.endswith(f".{kind.format}")


def test_kinds_are_found_by_name_in_the_order_of_preference_each_once() -> None:
    found = find_kinds(("tflite-fp32", "onnx-fp32", "tflite-fp32"))
    assert [kind.name for kind in found] == ["onnx-fp32", "tflite-fp32"]
    assert [kind.name for kind in find_kinds(())] == list(FP32)
    assert {*FP32, *INT8, *FP16} <= set(KINDS)
    fallback = {"onnx-fp32", "onnx-explain"}
    assert all(fallback & {*names} for names in (FP32, INT8, FP16))  # to fall back on
    with pytest.raises(UsageError, match=r"did you mean tflite-fp32\?"):
        find_kinds(("onnx-fp32", "tflite"))


EXPORT = """
import sys
from pathlib import Path
from cxr_edge.export.artifacts import FP32, INT8, find_kinds
from cxr_edge.export.pipeline import export, original_of_run
from cxr_edge.export.request import ExportRequest
from cxr_edge.reporting import Silent
from cxr_edge.original.run_folder import open_run

original = original_of_run(open_run(Path(sys.argv[1])))
request = ExportRequest(strengths=(0.5,), golden_pool=128)  # as the fixture's
export(original, Path(sys.argv[2]), find_kinds((*FP32, *INT8, "ncnn-fp32")), request, Silent())
"""


@pytest.mark.long
def test_the_same_export_in_a_fresh_process_gives_the_same_bytes_as_in_this_one(
    run_folder: Path, exported_bundle: Path, tmp_path: Path
) -> None:
    script = [sys.executable, "-c", EXPORT, str(run_folder), str(tmp_path / "bundle")]
    environment = {**os.environ, "PYTHONHASHSEED": "5"}  # another order of every set
    done = subprocess.run(
        script, capture_output=True, cwd=tmp_path, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    expected = {path.name: path.read_bytes() for path in exported_bundle.iterdir()}
    found = {path.name: path.read_bytes() for path in (tmp_path / "bundle").iterdir()}
    assert sorted(found) == sorted(expected)
    assert [name for name in found if found[name] != expected[name]] == []


def test_the_report_is_beside_the_bundle_and_says_what_was_tried(
    exported_bundle: Path, opened: Bundle
) -> None:
    assert report_path(exported_bundle) == exported_bundle.parent / "bundle.export-report.json"
    report = json.loads(report_path(exported_bundle).read_bytes())
    assert report["notice"] == opened.manifest.notice
    assert report["proves"].startswith("numbers on drawn inputs only")
    assert report["chosen_on"].endswith(" validation images of held-out patients")
    assert report["calibration"]["source"] == "training images that the training kept"
    assert report["decoding"] is None
    assert [entry["name"] for entry in report["artifacts"]] == [
        artifact.name for artifact in opened.manifest.artifacts
    ]
    for entry, artifact in zip(report["artifacts"], opened.manifest.artifacts, strict=True):
        assert entry["bytes"] == artifact.file.bytes and entry["speed"]["p50_ms"] > 0
        assert [each["engine"] for each in entry["proofs"]] == [e.engine for e in artifact.engines]
        assert (entry["taken"] is None) == (artifact.quantization is None)
        if artifact.quantization:
            taken = entry["trials"][entry["taken"]]
            assert taken["excess"] == "" and taken["parity"]["inputs"] == 8
            assert (taken["recipe"]["equalization"] or {}) == artifact.quantization.equalization
            means = [t["parity"]["mean_abs_delta"] for t in entry["trials"] if not t["excess"]]
            assert taken["parity"]["mean_abs_delta"] == min(means)


def test_the_golden_answers_are_what_the_original_answers(opened: Bundle) -> None:
    spec, held = opened.manifest.spec, opened.golden()
    model = load_keras(opened.read(opened.manifest.keras), spec)
    answered = keras_scores(model, held.pixels, spec)
    np.testing.assert_allclose(answered, held.scores, atol=1e-6)
    count = opened.manifest.golden.inputs
    assert held.pixels.shape == (count, 50, 50, 1) and count <= COUNT
    assert len(np.unique(held.pixels.reshape(count, -1), axis=0)) == count  # no picture twice
    counted = opened.manifest.golden.decisions
    positive = positive_scores(probabilities(held.scores, spec), spec) >= 0.5
    assert counted == {"PNEUMONIA": positive.sum(), "NORMAL": (~positive).sum()}
    nearest = decision_margins(probabilities(held.scores, spec), spec).min()
    assert opened.manifest.golden.margin == pytest.approx(nearest)


def brightness(pixels: np.ndarray, middle: float, steepness: float) -> np.ndarray:
    """A model that answers P(NORMAL) by the mean grey level."""
    level = pixels.reshape(len(pixels), -1).mean(axis=1, dtype=np.float64)
    answers: np.ndarray = 1 / (1 + np.exp(-steepness * (level - middle)))
    return answers.astype(np.float32)[:, np.newaxis]


@pytest.fixture(scope="module")
def pool() -> Pixels:
    """Pictures that golden inputs are chosen from: a quarter of them, to be quick."""
    return draw_pictures(SEED_SPEC, 0, 64)


def test_a_number_is_always_the_same_picture(pool: Pixels) -> None:
    told: list[tuple[int, int]] = []
    again = draw_pictures(SEED_SPEC, 3, 4, lambda done, total: told.append((done, total)))
    np.testing.assert_array_equal(again, pool[3:7])
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert len(np.unique(pool.reshape(len(pool), -1), axis=0)) == len(pool)


@pytest.mark.parametrize(
    ("quantile", "steepness"),
    [(0.5, 0.1), (0.5, 1e-3), (0.5, 10.0), (0.05, 0.1), (0.95, 0.1)],
    ids=["balanced", "all close to the threshold", "all 0 or 1", "few NORMAL", "few PNEUMONIA"],
)
@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_golden_inputs_hold_both_decisions_and_none_at_the_threshold(
    pool: Pixels, quantile: float, steepness: float, margin: float
) -> None:
    middle = float(np.quantile(pool.reshape(len(pool), -1).mean(axis=1), quantile))
    scores = brightness(pool, middle, steepness)
    chosen, nearest = choose_golden(GoldenSet(pool, scores), SEED_SPEC, margin)
    np.testing.assert_array_equal(chosen.scores, brightness(chosen.pixels, middle, steepness))
    distances = np.abs(chosen.scores.astype(np.float64) - 0.5)
    assert nearest == pytest.approx(distances.min()) and nearest > 1e-3
    usable = 0
    for positive in (True, False):
        decided, taken = ((s <= 0.5) == positive for s in (scores, chosen.scores))
        clear = decided & (np.abs(scores - 0.5) > 1e-3)
        far = clear & (np.abs(scores - 0.5) > margin)
        if far.any():  # none nearer stands for a decision that has such
            assert distances[taken[:, 0]].min() > margin
        have = int(far.sum() or clear.sum())
        assert have >= 1
        usable += have
        # The rarer decision is not left out, and takes what the other one leaves.
        assert int(taken.sum()) >= min(have, COUNT // 2)
    assert len(chosen.pixels) == min(COUNT, usable)


def test_golden_inputs_fill_up_with_the_commoner_decision(pool: Pixels) -> None:
    middle = float(np.quantile(pool.reshape(len(pool), -1).mean(axis=1), 0.05))
    chosen, _ = choose_golden(GoldenSet(pool, brightness(pool, middle, 0.1)), SEED_SPEC, 0.0)
    assert len(chosen.pixels) == COUNT
    assert 1 <= int((chosen.scores <= 0.5).sum()) < COUNT // 4
