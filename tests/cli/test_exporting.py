"""``cxr-edge export``: every option reaches the export."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from cxr_edge.bundle.manifest import MANIFEST_NAME, dump_manifest
from cxr_edge.bundle.model_card import CARD_NAME, model_card
from cxr_edge.bundle.reader import Bundle
from cxr_edge.cli import exporting
from cxr_edge.cli.tree import application
from cxr_edge.errors import CxrEdgeError, ExportError
from cxr_edge.export import pipeline
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.report import ArtifactReport, FailedArtifact, Speed, make_report
from cxr_edge.export.request import ExportRequest


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Arguments of exports; each ends before any work is done."""
    calls: list[tuple[Any, ...]] = []

    def export(*arguments: Any) -> None:
        calls.append(arguments)
        raise ExportError("enough")

    monkeypatch.setattr(pipeline, "export", export)
    return calls


def run(*arguments: str) -> None:
    result = CliRunner().invoke(application(), ["export", *arguments])
    assert isinstance(result.exception, ExportError), result.output


def test_without_options_the_reference_is_exported_with_the_default_request(
    requested: list[tuple[Any, ...]],
) -> None:
    run()
    ((original, out, kinds, request, _),) = requested
    assert original.calibration.in_bundle and out == Path("bundle")
    assert [kind.name for kind in kinds] == ["onnx-fp32", "onnx-fp32-batch", "tflite-fp32"]
    assert request == ExportRequest(group_of=request.group_of)
    same = request.group_of(Path("person7_bacteria_1.jpeg"))
    assert request.group_of(Path("person7_bacteria_2.jpeg")) == same


def test_every_option_reaches_the_field_that_it_is_for(
    requested: list[tuple[Any, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in "cvd":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_text(folder)
    run(
        *("--int8", "--artifacts", "tflite-fp16, onnx-int8-arm64", "-o", "out", "--keep-images"),
        *("--calibration", "c", "--validation", "v", "--data", "d"),
        *("--max-flips", "3", "--max-delta-p", "0.15", "--max-auc-drop", "0.25"),
        *("--thorough", "--distill", "--patient-pattern", r"^(\d+)-"),
    )
    ((_, out, kinds, request, _),) = requested
    assert out == Path("out")
    assert [kind.name for kind in kinds] == [
        *("onnx-int8-arm64", "onnx-int8", "onnx-explain", "tflite-int8-dynamic", "tflite-fp16")
    ]
    assert request == ExportRequest(
        calibration=Path("c"),
        validation=Path("v"),
        data=Path("d"),
        budget=Budget(max_flips=3, max_delta_p=0.15, max_auc_drop=0.25),
        thorough=True,
        distill=True,
        keep_images=True,
        named=frozenset({"tflite-fp16", "onnx-int8-arm64"}),
        group_of=request.group_of,
    )
    assert request.group_of(Path("12-a.png")) == request.group_of(Path("12-b.png"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-o", "."], 6, "a folder of its own"),
        (["-o", "/"], 6, "a folder of its own"),
        (["-o", "file"], 6, "is a file"),
        (["-o", "full"], 6, "holds 'notes.txt' and no bundle"),
        (["-o", "file/bundle"], 6, "cannot be written"),
        (["-o", "x" * 300], 6, "cannot be written"),
        (["--data", "nowhere"], 2, "nowhere: does not exist, --data expects a folder"),
        (["--int8", "--validation", "file"], 2, "file: is a file, --validation expects a folder"),
        (["--artifacts", "onnx-int7"], 2, "did you mean onnx-int8"),
        (["--data", "cats"], 2, "has images in cat, dog, expected the folders NORMAL, PNEUMONIA"),
        (["--int8", "--calibration", "cats/cat", "--data", "cats/dog"], 2, "also among the images"),
    ],
)
def test_a_mistake_is_found_before_any_work(
    requested: list[tuple[Any, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    for label in ("cat", "dog"):
        (tmp_path / "cats" / label).mkdir(parents=True)
        (tmp_path / "cats" / label / "1.png").write_text("x")
    (tmp_path / "full" / "notes.txt").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    error = CliRunner().invoke(application(), ["export", *arguments]).exception
    assert isinstance(error, CxrEdgeError), error
    assert error.exit_code == code and words in str(error) and len(str(error)) <= 500
    assert requested == [] and sorted(tmp_path.rglob("*")) == before


def test_what_was_named_and_is_missing_ends_the_command_and_the_rest_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manifest = Bundle.open().manifest
    kept = manifest.artifacts[0]
    reason = "tf2onnx cannot convert the model"
    written = ArtifactReport(
        *(kept.name, kept.file.bytes, Budget(), (), None, "", (), Speed(1.5, None, reason))
    )
    failed = FailedArtifact("tflite-fp32", True, "tflite-fp32: the converter changes it", ())
    report = make_report(
        chosen_on=None,
        calibration=None,
        lowered="",
        artifacts=[written],
        failed=[failed],
        golden="32 phantoms",
        useless="the model decides NORMAL for all 40 images",
        decoding=None,
    )
    monkeypatch.setattr(pipeline, "export", lambda *given: (manifest, report))
    old = tmp_path / "my bundle" / "manifest.json"
    old.parent.mkdir()
    old.touch()
    result = CliRunner().invoke(application(), ["export", "-o", str(tmp_path / "my bundle")])
    assert isinstance(result.exception, ExportError)
    assert str(result.exception) == f"tflite-fp32 is missing, see above; written: {kept.name}"
    (row,) = [line.split() for line in result.stdout.splitlines() if reason in line]
    assert row[:5] == [
        kept.name,
        kept.engines[0].engine,
        f"{kept.file.bytes / 1e3:,.0f}",
        "1.50",
        "-",
    ]
    lines = result.stderr.splitlines()
    assert any("of no use: the model decides NORMAL for all 40 images" in line for line in lines)
    assert not any("None" in line or "{" in line or "chosen on" in line for line in lines)
    assert lines[0].startswith(f"{old.parent}: holds a bundle of 2")
    assert any(
        line.startswith(f"the bundle is {old.parent}, which replaced that of") for line in lines
    )
    assert lines[-1].startswith(f"next: cxr-edge verify '{tmp_path / 'my bundle'}'")


def test_verify_says_that_golden_inputs_of_one_label_test_no_decision(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(Bundle.open().folder, folder)
    manifest = Bundle.open().manifest
    golden = dataclasses.replace(
        manifest.golden, decisions={"NORMAL": manifest.golden.inputs, "PNEUMONIA": 0}
    )
    assert golden.only_decision == "NORMAL" and manifest.golden.only_decision is None
    changed = dataclasses.replace(manifest, golden=golden)
    (folder / MANIFEST_NAME).write_bytes(dump_manifest(changed))
    (folder / CARD_NAME).write_text(model_card(changed))
    result = CliRunner().invoke(application(), ["verify", str(folder)])
    assert f"decides NORMAL for all {golden.inputs} golden inputs" in result.stderr
    assert "The original decides NORMAL for all of them" in model_card(changed)
    assert "no other" not in CliRunner().invoke(application(), ["verify"]).stderr


@pytest.mark.parametrize(("trials", "advised"), [((), False), (("a recipe",), True)])
def test_other_images_are_advised_only_where_recipes_were_tried(
    trials: tuple[str, ...], advised: bool
) -> None:
    manifest = SimpleNamespace(artifacts=[SimpleNamespace(precision="fp32")])
    missing = SimpleNamespace(name="onnx-int8-x86-vnni", trials=trials)
    told = exporting._lost_integers(manifest, SimpleNamespace(failed=[missing]))
    assert told and told.startswith("no int8 file is in the bundle (onnx-int8-x86-vnni failed")
    assert ("your own images may help" in told) is advised
