"""The exported files: the names, shapes and metadata they promise, the same bytes every time."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from cxr_edge.bundle import Bundle
from cxr_edge.decision import positive_scores, probabilities
from cxr_edge.errors import UsageError
from cxr_edge.export import golden
from cxr_edge.export.artifacts import KINDS, find_kinds
from cxr_edge.export.golden import COUNT, draw_golden
from cxr_edge.keras_model import keras_scores, load_keras
from cxr_edge.run import open_run
from cxr_edge.spec import SEED_SPEC, parse_spec


@pytest.fixture(scope="module")
def opened(exported_bundle: Path) -> Bundle:
    return Bundle.open(exported_bundle)


def network(bundle: Bundle, name: str) -> onnx.ModelProto:
    return onnx.load_from_string(bundle.read(bundle.artifact(name).file))


def sides(port: onnx.ValueInfoProto) -> list[int | str]:
    dims = port.type.tensor_type.shape.dim
    return [dim.dim_param if dim.HasField("dim_param") else dim.dim_value for dim in dims]


@pytest.mark.parametrize(("name", "batch"), [("onnx-fp32", 1), ("onnx-fp32-batch", "N")])
def test_an_onnx_file_maps_image_to_scores_with_the_batch_it_promises(
    opened: Bundle, name: str, batch: int | str
) -> None:
    graph = network(opened, name).graph
    assert [port.name for port in graph.input] == ["image"]
    assert [port.name for port in graph.output] == ["scores"]
    assert sides(graph.input[0]) == [batch, 150, 150, 1]
    assert sides(graph.output[0]) == [batch, 1]
    for port in (*graph.input, *graph.output):
        assert port.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert opened.artifact(name).dynamic_batch is (batch == "N")


@pytest.mark.parametrize("name", ["onnx-fp32", "onnx-fp32-batch"])
def test_an_onnx_file_is_opset_17_of_the_standard_domain_and_carries_the_spec(
    opened: Bundle, name: str
) -> None:
    model = network(opened, name)
    used = {node.domain for node in model.graph.node}
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    assert used == {""} and opsets[""] == 17
    (entry,) = model.metadata_props
    assert entry.key == "cxr_edge.spec"
    assert parse_spec(entry.value.encode()) == opened.manifest.spec
    onnx.checker.check_model(model, full_check=True)


def test_a_tflite_file_is_also_a_zip_archive_with_the_spec(opened: Bundle) -> None:
    data = opened.read(opened.artifact("tflite-fp32").file)
    assert data[4:8] == b"TFL3"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["metadata.json"]
        assert archive.testzip() is None
        assert parse_spec(archive.read("metadata.json")) == opened.manifest.spec


def test_the_bundle_carries_the_model_and_the_spec_of_the_run(
    opened: Bundle, run_folder: Path
) -> None:
    run = open_run(run_folder)
    assert opened.read(opened.manifest.keras) == run.model.read_bytes()
    assert opened.manifest.spec == run.spec
    assert opened.manifest.provenance.recipe == "seed v1"
    assert opened.manifest.provenance.seed == 3
    assert {"tensorflow", "tf2onnx", "onnxruntime"} <= set(opened.manifest.provenance.tools)


def test_every_kind_is_in_the_bundle_in_the_order_of_preference(opened: Bundle) -> None:
    assert [a.name for a in opened.manifest.artifacts] == list(KINDS)
    for artifact in opened.manifest.artifacts:
        kind = KINDS[artifact.name]
        assert (artifact.format, artifact.precision) == (kind.format, kind.precision)
        assert artifact.file.file.startswith(f"{kind.name}.")
        assert artifact.file.file.endswith(f".{kind.format}")


def test_kinds_are_found_by_name_in_the_order_of_preference_each_once() -> None:
    found = find_kinds(("tflite-fp32", "onnx-fp32", "tflite-fp32"))
    assert [kind.name for kind in found] == ["onnx-fp32", "tflite-fp32"]
    assert [kind.name for kind in find_kinds(())] == list(KINDS)
    with pytest.raises(UsageError, match=r"did you mean tflite-fp32\?"):
        find_kinds(("onnx-fp32", "tflite"))


EXPORT = """
import sys
from pathlib import Path
from cxr_edge.export.artifacts import find_kinds
from cxr_edge.export.pipeline import export, original_of_run
from cxr_edge.reporting import Silent
from cxr_edge.run import open_run

original = original_of_run(open_run(Path(sys.argv[1])))
export(original, Path(sys.argv[2]), find_kinds(()), data=None, reporter=Silent())
"""


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


def test_the_golden_answers_are_what_the_original_answers(opened: Bundle) -> None:
    spec, held = opened.manifest.spec, opened.golden()
    model = load_keras(opened.read(opened.manifest.keras), spec)
    answered = keras_scores(model, held.pixels, spec)
    np.testing.assert_allclose(answered, held.scores, atol=1e-6)
    assert held.pixels.shape == (COUNT, 150, 150, 1)
    assert len(np.unique(held.pixels.reshape(COUNT, -1), axis=0)) == COUNT  # no picture twice
    counted = opened.manifest.golden.decisions
    positive = positive_scores(probabilities(held.scores, spec), spec) >= 0.5
    assert counted == {"PNEUMONIA": positive.sum(), "NORMAL": (~positive).sum()}


def brightness(pixels: np.ndarray, middle: float, steepness: float) -> np.ndarray:
    """A model that answers P(NORMAL) by the mean grey level."""
    level = pixels.reshape(len(pixels), -1).mean(axis=1, dtype=np.float64)
    answers: np.ndarray = 1 / (1 + np.exp(-steepness * (level - middle)))
    return answers.astype(np.float32)[:, np.newaxis]


@pytest.fixture(scope="module")
def pool() -> Iterator[np.ndarray]:
    """Every picture that golden inputs are chosen from: a quarter of them, to be quick."""
    seen: list[np.ndarray] = []

    def remember(pixels: np.ndarray) -> np.ndarray:
        seen.append(pixels)
        return np.linspace(0, 1, len(pixels), dtype=np.float32)[:, np.newaxis]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(golden, "POOL", 64)
        draw_golden(remember, SEED_SPEC)
        yield seen[0]


@pytest.mark.parametrize(
    ("quantile", "steepness"),
    [(0.5, 0.1), (0.5, 1e-3), (0.5, 10.0), (0.05, 0.1), (0.95, 0.1)],
    ids=["balanced", "all close to the threshold", "all 0 or 1", "few NORMAL", "few PNEUMONIA"],
)
def test_golden_inputs_hold_both_decisions_and_none_at_the_threshold(
    pool: np.ndarray, quantile: float, steepness: float
) -> None:
    middle = float(np.quantile(pool.reshape(len(pool), -1).mean(axis=1), quantile))
    asked: list[np.ndarray] = []

    def answer(pixels: np.ndarray) -> np.ndarray:
        asked.append(pixels)
        return brightness(pixels, middle, steepness)

    drawn = draw_golden(answer, SEED_SPEC)
    np.testing.assert_array_equal(asked[0], pool)  # the same pictures every time
    np.testing.assert_array_equal(drawn.scores, brightness(drawn.pixels, middle, steepness))
    assert (np.abs(drawn.scores - 0.5) > 1e-3).all()
    clear = np.abs(brightness(pool, middle, steepness) - 0.5) > 1e-3
    positives = (brightness(pool, middle, steepness) <= 0.5) & clear
    available = int(positives.sum()), int(clear.sum() - positives.sum())
    assert min(available) >= 1
    chosen = int((drawn.scores <= 0.5).sum()), int((drawn.scores > 0.5).sum())
    assert sum(chosen) == min(COUNT, sum(available))
    for have, taken in zip(available, chosen, strict=True):
        assert taken >= min(have, COUNT // 2)  # the rarer decision is not left out
