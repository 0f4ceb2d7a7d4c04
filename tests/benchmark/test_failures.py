"""Whatever fails in a benchmark is a row, a problem of a row or a warning, never its end."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cxr_edge.benchmark import first_answer, passes, roofline, runner
from cxr_edge.benchmark.baselines import (
    KerasBaseline,
    baseline_cases,
    keep_stock_file,
    refuse_other_models,
)
from cxr_edge.benchmark.cases import BenchmarkCase, exported_cases, new_row
from cxr_edge.benchmark.images import draw_files, golden_inputs
from cxr_edge.benchmark.report import Report, Roofline, Row
from cxr_edge.benchmark.runner import BenchmarkRequest, run_benchmark
from cxr_edge.bundle.manifest import ArtifactRecord
from cxr_edge.bundle.reader import Bundle
from cxr_edge.classifier import Classifier
from cxr_edge.engines import Engine
from cxr_edge.engines.litert import LiteRtEngine
from cxr_edge.errors import BenchmarkError, EngineError, ImageError, MissingExtraError, ModelError
from cxr_edge.reporting import Silent
from cxr_edge.results import Failure

pytestmark = pytest.mark.slow

QUICK = BenchmarkRequest(
    with_baselines=False,
    rounds=2,
    processes=1,
    file_rounds=1,
    drawn_files=1,
    threads=(1,),
    memory_s=0.05,
)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """The reference bundle: three artifacts, five rows."""
    return Bundle.open()


def raising(error: Exception) -> Callable[..., object]:
    def fail(*arguments: object, **options: object) -> object:
        raise error

    return fail


def measured(row: Row) -> set[str]:
    """The figures that a row has."""
    figures = ("start", "parity", "latency", "end_to_end")
    return {name for name in figures if getattr(row, name) is not None}


# --- a whole benchmark in which every pass fails for one row


@pytest.fixture(scope="module")
def faulty(bundle: Bundle) -> Report:
    """One benchmark with an error injected into each pass."""
    load, invoke, stages = Bundle.load, LiteRtEngine._invoke, Classifier.predict_in_stages
    calls = 0

    def load_some(self: Bundle, artifact: ArtifactRecord, engine: str, **options: int) -> Engine:
        if (artifact.name, engine) == ("onnx-explain", "openvino"):
            raise EngineError("no memory to open it")
        return load(self, artifact, engine, **options)

    def invoke_until_timed(self: LiteRtEngine, *arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls > 34:  # it has scored 32 golden inputs by then
            raise EngineError("the sensor overheated")
        return invoke(self, *arguments)  # type: ignore[arg-type]

    def predict_some(self: Classifier, *arguments: object) -> object:
        if self.artifact == "onnx-explain":
            raise EngineError("the disk is gone")
        return stages(self, *arguments)  # type: ignore[arg-type]

    crash = (
        "import os, sys\nif (sys.argv[2], sys.argv[4]) == ('onnx-int8', 'openvino'): os.abort()\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(first_answer, "_PROGRAM", crash + first_answer._PROGRAM)
        patch.setattr(Bundle, "load", load_some)
        patch.setattr(LiteRtEngine, "_invoke", invoke_until_timed)
        patch.setattr(Classifier, "predict_in_stages", predict_some)
        patch.setattr(passes, "images_per_second", raising(EngineError("a worker died")))
        patch.setattr(passes, "slowest_operations", raising(EngineError("no room for a profile")))
        patch.setattr(roofline, "run_python", raising(EngineError("exited with 1: no numpy")))
        return run_benchmark(bundle, QUICK, Silent())


@pytest.mark.parametrize(
    ("name", "reason", "figures"),
    [
        ("onnx-int8, openvino", "was killed by signal 6", set()),
        ("onnx-explain, openvino", "no memory to open it", {"start"}),
        ("tflite-int8-dynamic, litert", "the sensor overheated", {"start", "parity"}),
    ],
)
def test_a_row_that_fails_says_why_and_keeps_its_figures(
    faulty: Report, name: str, reason: str, figures: set[str]
) -> None:
    (row,) = [row for row in faulty.rows if row.name == name]
    assert row.outcome == "failed" and reason in row.reason
    assert measured(row) == figures and row.problems == ()


def test_figures_that_cannot_be_measured_are_problems_of_the_row(faulty: Report) -> None:
    rows = {row.name: row for row in faulty.rows}
    int8, explain = rows["onnx-int8, onnxruntime"], rows["onnx-explain, onnxruntime"]
    assert int8.outcome == explain.outcome == "measured"
    assert int8.problems == (
        "throughput not measured: a worker died",
        "time per operation not measured: no room for a profile",
    )
    assert int8.end_to_end and int8.end_to_end.images_per_second is None
    assert explain.problems == (
        "end-to-end times not measured: the disk is gone",
        "time per operation not measured: no room for a profile",
    )
    assert measured(explain) == {"start", "parity", "latency"} and faulty.layers == {}


def test_a_roofline_that_cannot_be_measured_is_a_warning(faulty: Report) -> None:
    assert faulty.limits is None
    assert "no roofline: exited with 1: no numpy" in faulty.warnings


# --- single passes


class ScriptedEngine(Engine):
    """Answers with the same scores whatever the input, or raises."""

    name = "scripted"

    def __init__(self, bundle: Bundle, score: float | Exception) -> None:
        super().__init__(bundle.manifest.spec)
        self.score = score

    def _invoke(self, batch: np.ndarray, count: int) -> list[np.ndarray]:
        if isinstance(self.score, Exception):
            raise self.score
        return [np.full((len(batch), 1), self.score, np.float32)]


def scripted(bundle: Bundle, score: float | Exception, **fields: object) -> BenchmarkCase:
    load = functools.partial(ScriptedEngine, bundle, score)
    return BenchmarkCase(new_row(f"{fields} {score!r}", "stock", "scripted"), load, **fields)  # type: ignore[arg-type]


def test_scores_that_are_no_probabilities_fail_the_row(bundle: Bundle) -> None:
    good, nan, broken = cases = [
        scripted(bundle, 0.5),
        scripted(bundle, float("nan")),
        scripted(bundle, EngineError("it stopped")),
    ]
    passes.compare_scores(cases, golden_inputs(bundle), bundle.manifest.spec, Silent())
    assert good.runs and good.row.parity and good.engine
    assert nan.row.outcome == "failed" and nan.row.reason and nan.engine is None
    assert (broken.row.outcome, broken.row.reason) == ("failed", "it stopped")


def test_rows_are_compared_with_the_stock_onnx_or_with_nothing(bundle: Bundle) -> None:
    inputs, spec = golden_inputs(bundle), bundle.manifest.spec
    row, stock = scripted(bundle, 0.1), scripted(bundle, 0.2, is_baseline=True)
    assert passes.compare_latencies([row, stock], None) is None
    passes.compare_scores([row, stock], inputs, spec, Silent())
    passes.time_inference([row, stock], inputs, spec, rounds=2, repeats=1, reporter=Silent())
    assert passes.compare_latencies([row], None) is None and row.row.of_baseline is None
    assert passes.compare_latencies([row, stock], None) == stock.row.name
    assert stock.row.of_baseline == 1 and row.row.of_baseline and row.row.of_limit is None
    stock.row = dataclasses.replace(stock.row, latency=None)  # it failed
    assert passes.compare_latencies([row, stock], None) is None


def test_a_p99_needs_300_inferences() -> None:
    times = np.arange(1.0, 301.0).reshape(100, 3)
    assert passes._latency(times).p99_ms == pytest.approx(297.01)
    few = passes._latency(times[:99])
    assert (few.inferences, few.p99_ms) == (297, None)
    with pytest.raises(BenchmarkError, match="p99_ms is of 297 inferences, expected null below"):
        dataclasses.replace(few, p99_ms=297.0)


def test_a_stock_file_of_another_model_is_a_failed_row(bundle: Bundle, tmp_path: Path) -> None:
    case = scripted(bundle, 0.5, stock_file=lambda: b"", is_baseline=True)
    passes.compare_scores([case], golden_inputs(bundle), bundle.manifest.spec, Silent())
    refuse_other_models([case])
    assert case.row.outcome == "failed" and "it is another model" in case.row.reason


def test_a_stock_file_replaces_the_conversion_or_stands_in_for_it(
    bundle: Bundle, tmp_path: Path
) -> None:
    spec, path = bundle.manifest.spec, tmp_path / "stock.onnx"
    assert baseline_cases(None, path, spec) == []
    path.write_bytes(b"no model")
    (case,) = baseline_cases(None, path, spec)
    assert case.is_baseline and case.stock_file and case.stock_file() == b"no model"
    original = KerasBaseline.__new__(KerasBaseline)
    cases = [case, scripted(bundle, 0.5)]
    original.cases = lambda: iter(cases)  # type: ignore[method-assign]
    assert [c.stock_file() for c in baseline_cases(original, path, spec) if c.is_baseline] == [
        b"no model"
    ]
    path.unlink()
    keep_stock_file(cases, path)
    assert path.read_bytes() == b"no model"


def test_integer_artifacts_are_related_to_the_integer_roofline(bundle: Bundle) -> None:
    """By how they were quantized, whatever they are called."""
    artifact = bundle.manifest.artifacts[0]
    assert artifact.quantization and artifact.quantization.arithmetic == "static"
    stored_only = dataclasses.replace(artifact.quantization, arithmetic="weights")
    latency = passes._latency(np.full((2, 2), 8.0))
    limits = Roofline(1, 1.0, 1.0, float32_ms=4.0, int8_ms=1.0)
    for quantization, expected in ((artifact.quantization, 8.0), (stored_only, 2.0), (None, 2.0)):
        renamed = dataclasses.replace(artifact, precision="int8", quantization=quantization)
        (case,) = [
            c for c in exported_cases(bundle, (1,)) if c.row.name == "onnx-int8, onnxruntime"
        ]
        case.artifact = renamed
        case.row = dataclasses.replace(case.row, latency=latency)
        passes.compare_latencies([case], limits)
        assert case.row.of_limit == expected


def test_images_that_cannot_be_read_are_a_problem_of_each_row(
    bundle: Bundle, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.jpeg"
    cut.write_bytes(draw_files(tmp_path, count=1)[0].read_bytes()[:5000])
    case = next(exported_cases(bundle, (1,)))
    case.engine = case.load()
    passes.measure_files([case], bundle, [cut], decode="fast", rounds=1, reporter=Silent())
    assert case.row.end_to_end is None
    assert case.row.problems == ("end-to-end times not measured: none of the images can be read",)


def test_an_image_that_fails_later_does_not_count_as_a_fast_one(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = Failure("x.jpeg", "ImageError", "it was deleted")
    monkeypatch.setattr(Classifier, "predict_many", lambda *_, **__: iter([failure]))
    with pytest.raises(EngineError, match="failed: it was deleted"):
        passes.images_per_second(Classifier.load(), draw_files(tmp_path, count=1))


def test_an_engine_that_is_not_installed_is_skipped(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxr_edge.benchmark.cases.installed_engines", lambda: ("litert",))
    cases = list(exported_cases(bundle, (1, 2)))
    skipped = [case for case in cases if case.row.engine != "litert"]
    assert len(skipped) == 4 and len(cases) == 6  # a skipped row is not repeated with 2 threads
    for case in skipped:
        assert not case.runs
        assert (case.row.outcome, case.row.reason) == ("skipped", "the engine is not installed")


def test_an_artifact_for_another_cpu_is_skipped(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = {"portable": "it saturates"}
    monkeypatch.setattr(
        "cxr_edge.benchmark.cases.why_unsuited", lambda target: reasons.get(target, "")
    )
    outcomes = {case.row.name: case.row.reason for case in exported_cases(bundle, (1,))}
    assert outcomes["onnx-int8, onnxruntime"] == "made for portable: it saturates"
    assert outcomes["onnx-explain, onnxruntime"] == ""


# --- the original model


class BrokenKeras:
    """A Keras model that loads, and then fails at everything."""

    has_one_thread = False

    def __init__(self, bundle: Bundle, source: Path | None) -> None:
        self.bundle = bundle

    scores = raising(EngineError("Keras failed: out of memory"))

    def multiply_adds(self) -> None:
        return None

    def cases(self) -> list[BenchmarkCase]:
        return [scripted(self.bundle, EngineError("no such layer"), is_baseline=True)]


def test_an_original_model_that_fails_costs_baselines_only(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_files(tmp_path, count=1)
    monkeypatch.setattr(runner, "KerasBaseline", BrokenKeras)
    request = dataclasses.replace(QUICK, with_baselines=True, images=tmp_path)
    one_file = dataclasses.replace(bundle.manifest, artifacts=bundle.manifest.artifacts[-1:])
    report = run_benchmark(Bundle(bundle.folder, one_file), request, Silent())
    *rows, baseline = report.rows
    assert rows and all(row.latency and row.parity for row in rows)
    assert report.settings.image_count == 32
    assert (baseline.outcome, baseline.reason) == ("failed", "no such layer")
    assert report.baseline is None and report.limits and report.limits.float32_ms is None
    notes = " | ".join(report.warnings)
    assert "the original model failed on the images (Keras failed: out of memory)" in notes
    assert "multiply-adds could not be counted" in notes
    assert "TensorFlow was already running" in notes


@pytest.mark.parametrize(
    "error",
    [
        ModelError("model.keras: Keras cannot load it"),
        MissingExtraError("keras is not installed"),
        ImportError("libtensorflow.so: wrong ELF class"),
    ],
)
def test_an_original_model_that_cannot_be_loaded_is_a_warning_unless_it_was_given(
    bundle: Bundle, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "KerasBaseline", raising(error))
    warnings: list[str] = []
    request = dataclasses.replace(QUICK, with_baselines=True)
    assert runner._load_original(bundle, request, warnings) is None
    assert warnings == [f"no baselines: {error}"]
    given = dataclasses.replace(request, keras=Path("mine.keras"))
    with pytest.raises(type(error)):
        run_benchmark(bundle, given, Silent())


def test_multiply_adds_of_a_layer_that_is_used_twice_are_unknown() -> None:
    keras = pytest.importorskip("keras")
    inputs = keras.Input((8, 8, 1))
    shared = keras.layers.Conv2D(1, 3, padding="same")
    baseline = object.__new__(KerasBaseline)
    baseline.model = keras.Model(inputs, shared(shared(inputs)))
    assert baseline.multiply_adds() is None
    baseline.model = keras.Model(inputs, keras.layers.Conv2D(2, 3, padding="same")(inputs))
    assert baseline.multiply_adds() == 8 * 8 * 3 * 3 * 2
    layers = [keras.layers.Conv2D(2, 3, padding="same"), keras.layers.Flatten()]
    baseline.model = keras.Sequential([keras.Input((8, 8, 1)), *layers, keras.layers.Dense(3)])
    assert baseline.multiply_adds() == 8 * 8 * 3 * 3 * 2 + 128 * 3


def test_a_stock_conversion_that_fails_is_a_row(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ImageError("whatever the converter raises")
    monkeypatch.setattr("cxr_edge.benchmark.baselines._stock_onnx", raising(error))
    cases = KerasBaseline(bundle, None).cases()
    (case,) = [case for case in cases if case.row.name == "stock ONNX, onnxruntime"]
    passes.compare_scores([case], golden_inputs(bundle), bundle.manifest.spec, Silent())
    assert (case.row.outcome, case.row.reason) == ("failed", str(error))
