"""A benchmark measures what runs, says why the rest does not, and finds what became slower."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from cxr_edge.benchmark import candidates, conditions, end_to_end, images, starts
from cxr_edge.benchmark.candidates import KerasBaseline
from cxr_edge.benchmark.compare import compare_reports, comparison_text
from cxr_edge.benchmark.conditions import concerns
from cxr_edge.benchmark.report import (
    Latency,
    MachineState,
    Report,
    Row,
    SuiteRow,
    dump_report,
    parse_report,
)
from cxr_edge.benchmark.runner import BenchmarkRequest, run_benchmark
from cxr_edge.benchmark.suite import read_suite
from cxr_edge.bundle.reader import Bundle
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.device.machine import this_machine
from cxr_edge.device.process import run_python
from cxr_edge.engines import ENGINES
from cxr_edge.engines.litert import LiteRtEngine
from cxr_edge.errors import BenchmarkError, DataError, EngineError
from cxr_edge.reporting import Silent

QUICK = BenchmarkRequest(with_baselines=False, rounds=2)
PAIRS = [
    "onnx-int8, onnxruntime",
    "onnx-int8, openvino",
    "onnx-fp32, onnxruntime",
    "onnx-fp32, openvino",
    "onnx-explain, onnxruntime",
    "onnx-explain, openvino",
    "onnx-fp32-batch, onnxruntime",
    "onnx-fp32-batch, openvino",
    "tflite-int8-dynamic, litert",
    "tflite-fp32, litert",
]


@pytest.fixture(scope="module")
def few_starts() -> None:
    """Processes and files cost seconds; few of each are enough here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starts, "_PROCESSES", 1)
        patch.setattr(images, "_DRAWN", 2)
        patch.setattr(end_to_end, "_ROUNDS", 2)
        yield


@pytest.fixture(scope="module")
def report(exported_bundle: Path, few_starts: None) -> Report:
    return run_benchmark(Bundle.open(exported_bundle), QUICK, Silent())


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for label in ("PNEUMONIA", "NORMAL"):
        (root / label).mkdir()
        for seed in range(3):
            image = draw_phantom(np.random.default_rng([seed, len(label)]), height=200, width=250)
            (root / label / f"{seed}.jpeg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
    return root


def test_every_file_is_measured_on_every_engine(report: Report) -> None:
    assert [row.name for row in report.rows] == PAIRS
    for row in report.rows:
        assert (row.outcome, row.reason, row.kind, row.threads) == ("measured", "", "exported", 1)
        assert row.parity and row.parity.inputs == 32 and row.parity.flips == 0
        assert row.parity.max_abs_delta < (0.05 if "int8" in row.name else 1e-4)
        latency = row.latency
        assert latency and 0 < latency.p50_ms <= latency.p90_ms <= latency.p99_ms <= latency.max_ms
        assert len(latency.samples_ms) == 3 * len(latency.rounds_ms) == 6
        start = row.start
        assert start and min(start.import_ms, start.load_ms, start.first_ms) > 0
        assert start.peak_mb and 30 < start.peak_mb < 500
        whole = row.end_to_end
        assert whole and whole.images_per_second and whole.images_per_second > 0
        stages = (
            whole.read_ms,
            whole.decode_ms,
            whole.preprocess_ms,
            whole.infer_ms,
            whole.post_ms,
        )
        assert min(stages) > 0 and 0.3 * whole.total_ms < sum(stages) < 3 * whole.total_ms


def test_what_was_not_asked_for_is_absent_and_said_so(report: Report) -> None:
    assert report.headline is None and report.truth is None
    assert all(row.of_headline is None and row.of_limit is None for row in report.rows)
    assert report.limits.multiply_adds is None and report.limits.sgemm_gflops > 1
    assert "no baselines were asked for" in report.warnings


def test_the_report_is_the_same_after_writing_and_reading(report: Report) -> None:
    assert parse_report(dump_report(report), "report.json") == report
    assert report.machine == this_machine()
    assert report.versions.keys() >= {"numpy", "onnxruntime", "litert"}
    with pytest.raises(BenchmarkError, match=r"old\.json"):
        parse_report(dump_report(report).replace(b"benchmark/2", b"benchmark/3"), "old.json")


def test_the_slowest_operations_are_named_by_layer(report: Report) -> None:
    assert set(report.layers) == {name for name in PAIRS if name.endswith("onnxruntime")}
    for layers in report.layers.values():
        assert all(a.ms >= b.ms > 0 for a, b in itertools.pairwise(layers))
        assert 0.5 < sum(layer.share for layer in layers) <= 1.0001
    assert any("conv" in layer.name for layer in report.layers["onnx-int8, onnxruntime"])


def test_beside_keras_on_labelled_images(
    exported_bundle: Path, few_starts: None, labelled: Path
) -> None:
    request = BenchmarkRequest(images=labelled, rounds=2)
    report = run_benchmark(Bundle.open(exported_bundle), request, Silent())
    rows = {row.name: row for row in report.rows}
    assert [row.name for row in report.rows if row.kind == "keras"] == [
        "Keras, compiled tf.function",
        "Keras, model(x)",
        "Keras, predict()",
    ]
    stock = [row for row in report.rows if row.kind == "stock"]
    assert [row.engine for row in stock] == ["onnxruntime", "litert"]
    for row in (*stock, rows["onnx-fp32, onnxruntime"]):
        assert row.parity and row.parity.inputs == 6 and row.parity.max_abs_delta < 1e-4
    assert report.headline == "Keras, compiled tf.function"
    assert rows[report.headline].of_headline == 1
    assert all(row.of_headline and row.of_headline > 0 for row in report.rows)
    assert report.limits.multiply_adds == 220_317_952
    assert all(row.of_limit and row.of_limit > 0 for row in report.rows)
    assert report.settings.labels == {"PNEUMONIA": 3, "NORMAL": 3}
    assert report.truth and report.truth.positive == (True,) * 3 + (False,) * 3
    assert [answers.row for answers in report.answers] == PAIRS
    for answers in report.answers:
        assert len(answers.original) == len(answers.exported) == len(answers.flipped) == 6


def test_an_engine_that_fails_in_the_middle_is_a_row_that_says_so(
    exported_bundle: Path, few_starts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke, calls = LiteRtEngine._invoke, 0

    def fail_later(self: LiteRtEngine, *arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls > 70:  # both files have answered 32 golden inputs by then
            raise EngineError("LiteRT failed: the sensor overheated")
        return invoke(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(LiteRtEngine, "_invoke", fail_later)
    report = run_benchmark(Bundle.open(exported_bundle), QUICK, Silent())
    for row in report.rows:
        if row.engine == "litert":
            assert (row.outcome, row.latency) == ("failed", None)
            assert row.reason == "LiteRT failed: the sensor overheated"
        else:
            assert row.outcome == "measured" and row.latency


def test_keras_that_fails_in_the_middle_is_a_row_that_says_so_too() -> None:
    def fail(batch: object) -> object:
        raise ValueError("out of memory\nand of words")

    with pytest.raises(EngineError, match=r"^Keras failed: out of memory$"):
        candidates._answer(fail)(np.zeros((1, 2, 2, 1), np.float32))


def test_operations_that_cannot_be_timed_are_a_warning(
    exported_bundle: Path, few_starts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(model: bytes, batch: object) -> object:
        raise EngineError("no room for a profile")

    monkeypatch.setattr("cxr_edge.benchmark.runner.slowest_operations", fail)
    report = run_benchmark(Bundle.open(exported_bundle), QUICK, Silent())
    assert report.layers == {} and all(row.latency for row in report.rows)
    assert sum("were not timed: no room for a profile" in text for text in report.warnings) == 4


def test_an_engine_that_crashes_does_not_end_the_benchmark(
    exported_bundle: Path, few_starts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = "import os, sys\nif sys.argv[3] == 'openvino': os.abort()\n"
    monkeypatch.setattr(starts, "_START", crash + starts._START)
    report = run_benchmark(Bundle.open(exported_bundle), QUICK, Silent())
    for row in report.rows:
        if row.engine == "openvino":
            assert (row.outcome, row.latency) == ("failed", None)
            assert "was ended by signal 6" in row.reason
        else:
            assert row.outcome == "measured"


def test_an_engine_that_is_not_there_is_skipped(
    exported_bundle: Path, few_starts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxr_edge.benchmark.candidates.installed_engines", lambda: ("litert",))
    report = run_benchmark(Bundle.open(exported_bundle), QUICK, Silent())
    for row in report.rows:
        if row.engine == "litert":
            assert row.outcome == "measured"
        else:
            assert (row.outcome, row.reason) == ("skipped", "the engine is not installed")


def test_a_folder_without_images_is_a_mistake(exported_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        run_benchmark(Bundle.open(exported_bundle), BenchmarkRequest(images=tmp_path), Silent())


def test_multiply_adds_are_counted_in_every_kind_of_layer(exported_bundle: Path) -> None:
    """The seed's network: 220.3 million."""
    assert KerasBaseline(Bundle.open(exported_bundle), None).multiply_adds() == 220_317_952


# --- two reports


def slowed(report: Report, factor: float, noise: float = 0.001, **changes: object) -> Report:
    """The same report with every time multiplied, and rounds that differ by a share."""

    def scale(row: Row) -> Row:
        latency = row.latency
        assert latency
        p50 = factor * latency.p50_ms
        rounds = tuple(p50 * (1 + noise * (-1) ** n) for n in range(40))
        changed = Latency(p50, p50, p50, p50, p50, 0.0, rounds, rounds)
        return dataclasses.replace(row, latency=changed)

    return dataclasses.replace(report, rows=tuple(map(scale, report.rows)), **changes)  # type: ignore[arg-type]


def test_a_row_is_slower_beyond_the_limit_and_beyond_noise(report: Report) -> None:
    old = slowed(report, 1.0)
    assert not compare_reports(old, slowed(report, 1.05), 1.1).slower
    assert not compare_reports(old, slowed(report, 0.5), 1.1).slower
    slower = compare_reports(old, slowed(report, 1.2), 1.1)
    assert [change.name for change in slower.slower] == PAIRS
    for change in slower.changes:
        assert change.ratio == pytest.approx(1.2) and 0 < change.noise < 0.01
    noisy = compare_reports(old, slowed(report, 1.2, noise=0.5), 1.1)
    assert all(change.noise > 0.2 for change in noisy.changes) and not noisy.slower
    text = comparison_text(slower, 1.1)
    assert text.count("SLOWER") == len(PAIRS) and "1.200" in text


def test_rows_that_come_and_go_are_named(report: Report) -> None:
    first, *others = report.rows
    fewer = dataclasses.replace(report, rows=tuple(others))
    assert compare_reports(report, fewer, 1.1).gone == (first.name,)
    assert compare_reports(fewer, report, 1.1).new == (first.name,)
    assert f"not measured any more: {first.name}" in comparison_text(
        compare_reports(report, fewer, 1.1), 1.1
    )
    with pytest.raises(BenchmarkError, match="no measured row in common"):
        compare_reports(dataclasses.replace(report, rows=(first,)), fewer, 1.1)


def test_another_machine_is_compared_by_shares_of_the_same_baseline(report: Report) -> None:
    elsewhere = dataclasses.replace(report.machine, key="f" * 16)
    with pytest.raises(BenchmarkError, match="no baseline in common"):
        compare_reports(report, dataclasses.replace(report, machine=elsewhere), 1.1)

    def with_headline(share: float) -> tuple[Row, ...]:
        return tuple(dataclasses.replace(row, of_headline=share) for row in report.rows)

    old = slowed(dataclasses.replace(report, rows=with_headline(0.4)), 1.0, headline=PAIRS[0])
    new = slowed(
        dataclasses.replace(report, rows=with_headline(0.6)),
        9.0,
        headline=PAIRS[0],
        machine=elsewhere,
    )
    found = compare_reports(old, new, 1.1)
    assert not found.same_machine
    assert all(change.ratio == pytest.approx(1.5) for change in found.slower)
    assert len(found.slower) == len(PAIRS)


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


# --- the machine


QUIET = MachineState(0.1, 2400.0, "performance", 45.0, False)


def notes(before: MachineState, after: MachineState = QUIET) -> list[str]:
    return list(concerns(this_machine(), before, after))


def test_what_makes_figures_doubtful_is_said() -> None:
    assert notes(QUIET) == []
    assert notes(MachineState(None, None, None, None, None)) == []
    (busy,) = notes(dataclasses.replace(QUIET, load_average=2.5))
    assert "busy" in busy and "2.50" in busy
    (throttled,) = notes(QUIET, dataclasses.replace(QUIET, throttled=True))
    assert "throttled" in throttled
    (hot,) = notes(QUIET, dataclasses.replace(QUIET, temperature_c=84.6))
    assert "85 degrees" in hot
    (saving,) = notes(dataclasses.replace(QUIET, governor="powersave"))
    assert "powersave" in saving


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("throttled=0x0", False),
        ("throttled=0x50005", True),
        ("throttled=0x50000", False),  # it was, but is not now
        ("nothing of the kind", None),
    ],
)
def test_a_raspberry_pi_says_whether_it_is_throttled(
    said: str, expected: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditions.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(
        conditions.subprocess, "run", lambda *a, **k: SimpleNamespace(stdout=said + "\n")
    )
    assert conditions.look().throttled is expected


# --- processes


def test_a_process_is_watched(few_starts: None) -> None:
    small = run_python("small", ["-c", "print('hello'); print('you')"])
    large = run_python(
        "large", ["-c", "x = bytearray(b'1') * 200_000_000; import time; time.sleep(.2)"]
    )
    assert small.output == "hello\nyou"
    assert small.peak_mb < 60 < 200 < large.peak_mb
    assert large.ms > 200


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; sys.exit('too hot')", "x exited with 1: too hot"),
        ("import os; os.abort()", "x was ended by signal 6: it said nothing"),
        ("raise SystemExit(7)", "x exited with 7: it said nothing"),
    ],
)
def test_a_process_that_fails_says_why(code: str, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        run_python("x", ["-c", code])


def test_every_engine_can_be_started(exported_bundle: Path, few_starts: None) -> None:
    bundle = Bundle.open(exported_bundle)
    for artifact in bundle.manifest.artifacts[:1]:
        for record in artifact.engines:
            assert record.engine in ENGINES
            start = starts.measure_start(bundle, artifact.name, record.engine)
            assert start.load_ms > 0
