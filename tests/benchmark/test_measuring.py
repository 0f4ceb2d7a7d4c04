"""A benchmark measures whatever runs on this machine, and needs nothing that draws reports."""

from __future__ import annotations

import dataclasses
import itertools
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_edge.benchmark.baselines import KerasBaseline, KerasEngine
from cxr_edge.benchmark.images import draw_files, pick_files
from cxr_edge.benchmark.report import Report, SuiteRow, dump_report, parse_report
from cxr_edge.benchmark.runner import BenchmarkRequest, run_benchmark
from cxr_edge.benchmark.suite import read_suite
from cxr_edge.bundle.reader import Bundle
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.device.machine import this_machine
from cxr_edge.errors import BenchmarkError, DataError, EngineError
from cxr_edge.reporting import Silent

pytestmark = pytest.mark.slow

QUICK = BenchmarkRequest(
    with_baselines=False,
    rounds=2,
    processes=1,
    memory_s=0.05,
    file_rounds=2,
    drawn_files=2,
)
ROWS = [
    "onnx-int8, onnxruntime",
    "onnx-int8, openvino",
    "onnx-explain, onnxruntime",
    "onnx-explain, openvino",
    "tflite-int8-dynamic, litert",
]


@pytest.fixture(scope="module")
def report() -> Report:
    return run_benchmark(Bundle.open(), QUICK, Silent())


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for label in ("PNEUMONIA", "NORMAL"):
        (root / label).mkdir()
        for seed in range(3):
            image = draw_phantom(np.random.default_rng([seed, len(label)]), height=200, width=250)
            (root / label / f"{seed}.jpeg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
    return root


def test_every_artifact_is_measured_on_every_engine(report: Report) -> None:
    assert [row.name for row in report.rows] == ROWS
    for row in report.rows:
        assert (row.outcome, row.reason, row.problems) == ("measured", "", ())
        assert row.kind == "exported"
        assert row.parity and row.parity.inputs == 32 and row.parity.flips == 0
        assert row.parity.max_abs_delta < (1e-4 if row.precision == "fp32" else 0.05)
        latency = row.latency
        assert latency and 0 < latency.p50_ms <= latency.p90_ms <= latency.max_ms
        assert len(latency.samples_ms) == 3 * len(latency.rounds_ms) == latency.inferences == 6
        assert latency.p99_ms is None  # six inferences have none


def test_every_row_starts_in_a_process_of_its_own(report: Report) -> None:
    for row in report.rows:
        start = row.start
        assert start and min(start.import_ms, start.load_ms, start.first_ms) > 0
        assert start.to_first_ms and start.peak_mb and start.average_mb
        assert start.to_first_ms > start.import_ms + start.load_ms + start.first_ms
        assert 30 < start.average_mb <= start.peak_mb < 500


def test_every_stage_from_file_to_prediction_is_timed(report: Report) -> None:
    for row in report.rows:
        times = row.end_to_end
        assert times and times.images_per_second and times.images_per_second > 0
        assert times.images_per_second_1 and times.images_per_second_1 > 0
        stages = (
            times.read_ms,
            times.decode_ms,
            times.preprocess_ms,
            times.infer_ms,
            times.post_ms,
        )
        assert min(stages) > 0 and 0.3 * times.total_ms < sum(stages) < 3 * times.total_ms


def test_what_was_not_asked_for_is_absent_and_said_so(report: Report) -> None:
    assert report.baseline is None and report.truth is None
    assert all(row.of_baseline is None and row.of_limit is None for row in report.rows)
    assert report.limits and report.limits.multiply_adds is None
    assert report.limits.sgemm_gflops > 1 and report.limits.copy_gb_s > 0.1
    assert "no baselines were asked for" in report.warnings


def test_the_report_is_the_same_after_writing_and_reading(report: Report) -> None:
    assert parse_report(dump_report(report), "report.json") == report
    assert report.machine == this_machine()
    assert report.versions.keys() >= {"numpy", "onnxruntime", "litert"}
    with pytest.raises(
        BenchmarkError, match=r"old\.json: schema .* reads up to 3; update cxr-edge"
    ):
        parse_report(dump_report(report).replace(b"benchmark/3", b"benchmark/4"), "old.json")


def test_the_slowest_operations_are_named_by_layer(report: Report) -> None:
    assert set(report.layers) == {"onnx-int8, onnxruntime", "onnx-explain, onnxruntime"}
    for layers in report.layers.values():
        assert all(a.ms >= b.ms > 0 for a, b in itertools.pairwise(layers))
        assert 0.5 < sum(layer.share for layer in layers) <= 1.0001
    assert any("conv" in layer.name for layer in report.layers["onnx-int8, onnxruntime"])


@pytest.mark.thorough
def test_keras_and_stock_conversions_are_measured_on_labelled_images(labelled: Path) -> None:
    request = BenchmarkRequest(
        images=labelled, rounds=2, processes=1, file_rounds=2, stock=labelled / "stock.onnx"
    )
    report = run_benchmark(Bundle.open(), request, Silent())
    kept = (labelled / "stock.onnx").read_bytes()
    given = dataclasses.replace(request, with_baselines=False, images=None)
    again = run_benchmark(Bundle.open(), given, Silent())
    assert again.baseline == report.baseline and again.rows[-1].bytes == len(kept)
    rows = {row.name: row for row in report.rows}
    assert [row.name for row in report.rows if row.kind == "keras"] == [
        "Keras, compiled tf.function",
        "Keras, model(x)",
        "Keras, predict()",
    ]
    stock = [row for row in report.rows if row.kind == "stock"]
    assert [row.engine for row in stock] == ["onnxruntime", "litert"]
    for row in (*stock, rows["onnx-explain, onnxruntime"]):
        assert row.parity and row.parity.inputs == 6 and row.parity.max_abs_delta < 1e-4
    assert report.baseline == "stock ONNX, onnxruntime"
    assert rows[report.baseline].of_baseline == 1
    assert all(row.of_baseline and row.of_baseline > 0 for row in report.rows)
    for row in stock:
        assert row.bytes and row.bytes > 1e6 and row.start and row.start.average_mb
    roofline = report.limits
    assert roofline and roofline.multiply_adds == 220_317_952
    for row in report.rows:
        best_ms = roofline.float32_ms if row.precision == "fp32" else roofline.int8_ms
        assert row.latency and best_ms
        assert row.of_limit == pytest.approx(row.latency.p50_ms / best_ms)
    assert report.settings.labels == {"PNEUMONIA": 3, "NORMAL": 3}
    assert report.truth and report.truth.positive == (False,) * 3 + (True,) * 3
    assert [answers.row for answers in report.answers] == ROWS
    for answers in report.answers:
        assert len(answers.original) == len(answers.exported) == len(answers.flipped) == 6


def test_more_threads_are_rows_of_their_own() -> None:
    whole = Bundle.open()
    one_file = dataclasses.replace(whole.manifest, artifacts=whole.manifest.artifacts[-1:])
    request = dataclasses.replace(QUICK, threads=(1, 2))
    report = run_benchmark(Bundle(whole.folder, one_file), request, Silent())
    single, double = report.rows
    assert (single.name, double.name) == (ROWS[-1], f"{ROWS[-1]}, 2 threads")
    assert double.outcome == "measured" and double.latency and double.parity
    assert single.end_to_end and double.end_to_end is None
    assert [answers.row for answers in report.answers] == ROWS[-1:]


def test_measuring_imports_nothing_that_shows() -> None:
    code = (
        "import sys, cxr_edge.benchmark.runner, cxr_edge.benchmark.compare\n"
        "shows = ('altair', 'vl_convert', 'jinja2', 'rich', 'matplotlib')\n"
        "print([name for name in sys.modules"
        " if name.startswith((*shows, 'cxr_edge.report.')) or name == 'cxr_edge.report'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- images


def test_files_are_picked_evenly_from_a_folder(tmp_path: Path) -> None:
    (image,) = draw_files(tmp_path, count=1)
    for number in range(9):
        (tmp_path / f"x{number}.jpeg").write_bytes(image.read_bytes())
    picked = [path.name for path in pick_files(tmp_path, most=4)]
    assert picked == ["phantom-0.jpeg", "x2.jpeg", "x5.jpeg", "x8.jpeg"]
    assert len(pick_files(tmp_path)) == 10


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        run_benchmark(Bundle.open(), BenchmarkRequest(images=tmp_path), Silent())


# --- Keras


def test_multiply_adds_are_counted_in_every_kind_of_layer() -> None:
    """The reference network: 220.3 million."""
    assert KerasBaseline(Bundle.open(), None).multiply_adds() == 220_317_952


def test_keras_that_fails_raises_an_error_of_an_engine() -> None:
    def fail(batch: object) -> object:
        raise ValueError("out of memory\nand of words")

    spec = Bundle.open().manifest.spec
    with pytest.raises(EngineError, match=r"^Keras failed: out of memory$"):
        KerasEngine(spec, fail).run(np.zeros((1, *spec.input_shape), np.float32))


# --- the suites

BENCHED = {
    "benchmarks": [
        {
            "group": "peers",
            "name": "test_ncnn",
            "stats": {"median": 0.005, "iqr": 1e-4, "rounds": 9},
        },
        {"group": None, "name": "test_x[a]", "stats": {"median": 1, "iqr": 0, "rounds": 1}},
    ]
}


def test_the_suites_results_are_read_in_milliseconds_by_group(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(BENCHED))
    assert read_suite(path) == (
        SuiteRow("other", "x[a]", 1000.0, 0.0, 1),
        SuiteRow("peers", "ncnn", 5.0, 0.1, 9),
    )


@pytest.mark.parametrize("text", ["", "{}", "[]", "no", '{"benchmarks": [{}]}', "[" * 100_000])
def test_another_file_is_not_taken_for_the_suites(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(text)
    with pytest.raises(BenchmarkError, match=r"bench\.json: "):
        read_suite(path)
