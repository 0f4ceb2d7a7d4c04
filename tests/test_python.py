"""The functions of each stage: the commands' options, nothing printed, and the code in the docs."""

from __future__ import annotations

import dataclasses
import inspect
import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from radiographs import UIDS, draw_radiograph

import cxr_edge
from cxr_edge import documents
from cxr_edge.cli import (
    benchmarking,
    bundles,
    evaluating,
    exporting,
    inspecting,
    specifying,
    training,
)
from cxr_edge.cli import tuning as cli_tuning
from cxr_edge.errors import BundleError, ExportError, UsageError
from cxr_edge.spec import parse_spec

ROOT = Path(__file__).parent.parent

# Function, its command, and the command's options that only say what to do with the result.
STAGES: list[tuple[str, Callable[..., None], set[str]]] = [
    ("train_model", training.train, set()),
    ("evaluate_model", evaluating.evaluate, {"format"}),
    ("infer_spec", specifying.spec, set()),
    ("export_model", exporting.export, set()),
    ("verify_bundle", inspecting.verify, {"format"}),
    ("tune_bundle", cli_tuning.tune, {"format", "forget"}),
    ("benchmark_bundle", benchmarking.benchmark, {"compare", "max_slowdown"}),
    ("install_bundle", bundles.install, set()),
    ("rollback_bundle", bundles.rollback, set()),
    ("list_bundles", bundles.list_, set()),
]

# Options that are text on a command line, or have a file name where Python has the result.
DEFAULTS_DIFFER = {
    ("export_model", "artifacts"),
    *(("benchmark_bundle", n) for n in ("out", "threads")),
}


@pytest.mark.parametrize(("name", "command", "of_the_command"), STAGES)
def test_a_function_has_its_command_s_options_and_their_defaults(
    name: str, command: Callable[..., None], of_the_command: set[str]
) -> None:
    function = inspect.signature(getattr(cxr_edge, name)).parameters
    options = {
        "bundle" if option == "folder" else option: parameter.default
        for option, parameter in inspect.signature(command).parameters.items()
        if option not in of_the_command
    }
    assert {*function} - {"reporter", "command"} == {*options}
    for option, default in options.items():
        if (name, option) not in DEFAULTS_DIFFER:
            given = function[option].default
            assert given == (str(default) if isinstance(default, Path) else default), option


@pytest.mark.parametrize("name", [name for name, _, _ in STAGES])
def test_every_argument_and_error_is_documented(name: str) -> None:
    function = getattr(cxr_edge, name)
    text = inspect.getdoc(function) or ""
    for argument in inspect.signature(function).parameters:
        assert re.search(rf"^ {{4}}{argument}: \S", text, re.M), argument
    assert "\nRaises:\n" in text


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("export_model", {"artifacts": "onnx-int8"}, "expected a list of names"),
        ("export_model", {"artifacts": ["onnx-int7"]}, "did you mean onnx-int8"),
        ("export_model", {"max_flips": 1}, "--max-flips is for quantized files"),
        ("export_model", {"int8": True, "max_delta_p": 2}, "expected a number within 0..1"),
        ("export_model", {"data": "nowhere"}, "nowhere: does not exist"),
        ("export_model", {"data": "nowhere", "max_flips": 1}, "nowhere: does not exist"),
        ("export_model", {"validation": "nowhere"}, "--validation is for quantized files"),
        (
            "export_model",
            {"validation": "nowhere", "keep_images": True},
            "nowhere: does not exist",
        ),
        ("train_model", {"data": "nowhere"}, "nowhere: no such folder"),
        ("train_model", {"data": "nowhere", "recipe": "sead"}, "did you mean seed"),
        ("train_model", {"data": "nowhere", "epochs": 0}, "epochs is 0"),
        ("train_model", {"data": "nowhere", "seed": -1}, "seed is -1, expected 0 or more"),
        ("evaluate_model", {"data": ".", "model": "m", "bundle": "b"}, "leave out --bundle"),
        ("evaluate_model", {"data": ".", "model": "m", "threads": 2}, "leave out --bundle"),
        ("evaluate_model", {"data": ".", "spec": "s"}, "name it with --model"),
        ("predict_archive", {"archive": ".", "to": "r", "workers": 0}, "workers is 0"),
        ("predict_archive", {"archive": ".", "to": "r", "threads": 0}, "threads is 0"),
        (
            "predict_archive",
            {"archive": ".", "to": "r", "workers": -1, "ray_address": "auto"},
            "workers is -1",
        ),
        ("infer_spec", {"model": "m.keras", "labels": "ab"}, "at least two different names"),
        ("infer_spec", {"model": "m.keras", "size": (0, 5)}, "--size is '0x5'"),
        ("infer_spec", {"model": "m.keras", "preset": "tff"}, "did you mean tf"),
        ("infer_spec", {"model": "m.keras", "geometry": "crop"}, "did you mean center-crop"),
        ("infer_spec", {"model": "m.keras", "threshold": 2}, "within 0..1"),
        ("infer_spec", {"model": "m.keras", "out": "."}, "exists"),
        ("tune_bundle", {"threads": 0}, "--threads is 0, expected at least 1"),
        ("tune_bundle", {"rounds": 0}, "--rounds is 0, expected at least 1"),
        ("benchmark_bundle", {"rounds": 1}, "--rounds is 1, expected at least 2"),
        ("evaluate_model", {"data": ".", "threads": 0}, "--threads is 0, expected at least 1"),
        ("benchmark_bundle", {"decode": "fats"}, "did you mean fast"),
        ("benchmark_bundle", {"threads": [0]}, "--threads has 0"),
        ("benchmark_bundle", {"threads": "2"}, "--threads has '2'"),
        (
            "install_bundle",
            {"bundle": "b", "wait": float("nan")},
            "--wait is nan, expected seconds",
        ),
        ("rollback_bundle", {"wait": -1}, "--wait is -1, expected seconds, 0 or more"),
        ("benchmark_bundle", {"images": "nowhere"}, "nowhere: no such folder"),
    ],
)
def test_a_wrong_argument_is_a_usage_error_before_any_work(
    name: str, arguments: dict[str, Any], words: str, tmp_path: Path, monkeypatch: Any, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=re.escape(words)):
        getattr(cxr_edge, name)(**arguments)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_verified_and_tuned_without_a_word(tmp_path: Path, capsys: Any) -> None:
    folder = shutil.copytree(cxr_edge.Bundle.open().folder, tmp_path / "bundle")
    verdicts = cxr_edge.verify_bundle(str(folder))
    assert {"proven"} <= {verdict.outcome for verdict in verdicts}
    profile = tmp_path / "tuned.json"
    tuned = cxr_edge.tune_bundle(folder, threads=1, rounds=1, profile=str(profile))
    assert tuned.chosen in tuned.candidates and tuned.profile_file == profile
    loaded = cxr_edge.Classifier.load(folder, profile=profile)
    assert tuned.profile and loaded.artifact == tuned.profile.artifact
    next(folder.glob("*.onnx")).write_bytes(b"changed")
    with pytest.raises(BundleError):
        cxr_edge.verify_bundle(folder)
    assert capsys.readouterr() == ("", "")


def read_export(bundle: Path) -> tuple[Any, Any]:
    """Manifest and report of an export that was made before."""
    from cxr_edge.export.report import ExportReport, report_path

    path = report_path(bundle)
    report = documents.parse(path.read_bytes(), ExportReport, name=path.name, error=ExportError)
    return cxr_edge.Bundle.open(bundle).manifest, report


@pytest.mark.slow
def test_the_code_in_the_page_runs(
    drawn_data: Path,
    run_folder: Path,
    exported_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What takes minutes is replaced inside the functions by what other tests made with it."""
    from cxr_edge.benchmark import runner, tuning
    from cxr_edge.benchmark.report import read_report
    from cxr_edge.data.phantom import write_phantom
    from cxr_edge.export import pipeline as exporting_pipeline
    from cxr_edge.metrics.evaluation import EvaluationDocument
    from cxr_edge.train import pipeline as training_pipeline

    def train(data: Path, out: Path, *given: Any, **options: Any) -> Any:
        shutil.copytree(run_folder, out)
        document = (out / "evaluation.json").read_bytes()
        return documents.parse(document, EvaluationDocument, name="", error=UsageError).parts

    def tune(bundle: Any, **options: Any) -> Any:
        return quick(bundle, max_threads=1, rounds=1, repeats=1, reporter=options["reporter"])

    def export(original: Any, out: Path, *given: Any) -> Any:
        shutil.copytree(exported_bundle, out)
        return read_export(exported_bundle)

    quick = tuning.tune
    kept = read_report(ROOT / "benchmarks/report.json")
    monkeypatch.setattr(training_pipeline, "train", train)
    monkeypatch.setattr(exporting_pipeline, "export", export)
    monkeypatch.setattr(tuning, "tune", tune)
    monkeypatch.setattr(runner, "run_benchmark", lambda *given: kept)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "xrays").symlink_to(drawn_data)
    write_phantom(tmp_path / "image.jpeg")
    (tmp_path / "scan.dcm").write_bytes(draw_radiograph())
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.S)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    shown = capsys.readouterr().out
    for words in (
        *("run ", "check: threshold 0.5", "onnx-int8 ", "onnxruntime proven", "Prediction("),
        *("2 no artifact is called 'onnx-int7'; did you mean onnx-int8?", "cxr-edge: reading"),
    ):
        assert words in shown, words
    assert (tmp_path / "benchmark/report.json").is_file()
    assert pydicom.dcmread(tmp_path / "scan.sr.dcm").StudyInstanceUID == UIDS["StudyInstanceUID"]


@pytest.mark.slow
def test_the_example_exports_a_model_of_your_own(
    drawn_data: Path,
    run_folder: Path,
    exported_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The example as it is, but for the conversion itself: the bundle is another test's."""
    from cxr_edge.export import pipeline

    kinds: list[str] = []

    def export(original: Any, out: Path, wanted: Any, *given: Any) -> Any:
        kinds.extend(kind.name for kind in wanted)
        shutil.copytree(exported_bundle, out)
        return read_export(exported_bundle)

    monkeypatch.setattr(pipeline, "export", export)
    script = ROOT / "examples/export_from_python.py"
    arguments = [run_folder / "model.keras", drawn_data, tmp_path / "bundle"]
    monkeypatch.setattr("sys.argv", [script.name, *map(str, arguments)])
    runpy.run_path(str(script), run_name="__main__")
    shown = capsys.readouterr()
    assert "onnx-int8" in kinds
    assert parse_spec((tmp_path / "bundle.spec.json").read_bytes()).labels == (
        "NORMAL",
        "PNEUMONIA",
    )
    assert "onnx-int8 on onnxruntime: proven" in shown.out
    assert "bundle.spec.json: threshold = 0.5" in shown.out
    assert shown.err.splitlines()[0] == "reading the model …"
    with pytest.raises(SystemExit, match=r"bundle\.spec\.json: exists"):
        runpy.run_path(str(script), run_name="__main__")


@pytest.mark.slow
def test_what_was_named_and_is_missing_is_in_the_result(
    exported_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cxr_edge.export import pipeline
    from cxr_edge.export.report import FailedArtifact

    manifest, report = read_export(exported_bundle)
    named = FailedArtifact("tflite-fp32", True, "the converter changes it", ())
    other = FailedArtifact("onnx-int8", False, "no recipe holds the budget", ())
    report = dataclasses.replace(report, failed=(named, other))
    monkeypatch.setattr(pipeline, "export", lambda *given: (manifest, report))
    monkeypatch.setattr(pipeline, "find_original", lambda *given: None)
    result = cxr_edge.export_model(out=str(tmp_path / "out"))
    assert result.bundle == tmp_path / "out"
    assert (result.failed, result.missing) == ((named, other), (named,))
    assert result.report_file == tmp_path / "out.export-report.json"
