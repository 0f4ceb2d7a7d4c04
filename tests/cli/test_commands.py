"""The commands besides ``predict``, on drawn images."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest

from cxr_edge.bundle.reader import Bundle


def test_verify_proves_the_bundled_reference(cli):
    result = cli("verify")
    assert result.returncode == 0
    assert {"onnxruntime", "litert"} <= set(result.stdout.split())
    assert "failed" not in result.stdout
    assert result.stdout.count("proven") >= 2


def test_verify_names_files_that_the_manifest_does_not_list(in_process, bundle):
    (bundle / "stray.bin").write_bytes(b"x")
    result = in_process("verify", bundle)
    assert result.returncode == 0
    assert "stray.bin: is not listed" in result.stderr


def test_verify_refuses_a_changed_file(in_process, bundle):
    (path,) = bundle.glob("golden.*")
    path.write_bytes(path.read_bytes()[:-1])
    result = in_process("verify", bundle)
    assert (result.returncode, result.stdout) == (5, "")
    assert "golden" in result.stderr


def test_verify_proves_a_bundle_of_float_and_integer_files(in_process, exported_bundle):
    result = in_process("verify", exported_bundle)
    assert result.returncode == 0, result.stderr
    rows = [line.split()[:3] for line in result.stdout.splitlines()[1:]]
    assert len(rows) == 11 and {row[2] for row in rows} == {"proven"}
    assert {"onnx-int8", "tflite-int8-dynamic"} <= {row[0] for row in rows}
    assert result.stderr.count("is not listed") == 0


def test_info_says_what_it_is_and_is_not(cli):
    result = cli("info")
    assert result.returncode == 0
    assert "not a medical device" in result.stdout
    assert f"P(PNEUMONIA) >= {Bundle.open().manifest.spec.threshold:g}" in result.stdout
    assert "onnx-int8" in result.stdout


def test_export_of_a_run_writes_a_bundle_that_predicts(
    in_process, run_folder, drawn_data, tmp_path
):
    out = tmp_path / "out"
    result = in_process(
        "export", run_folder, "-o", out, "--artifacts", "onnx-fp32", "--data", drawn_data / "test"
    )
    assert result.returncode == 0, result.stderr
    manifest = Bundle.open(out).manifest
    assert [a.name for a in manifest.artifacts] == ["onnx-fp32"]
    assert manifest.artifacts[0].engines[0].data.inputs == 16
    assert Bundle.open(out).card_is_current()
    report = json.loads((tmp_path / "out.export-report.json").read_text())
    assert report["proves"] == "decisions on 16 labelled images"
    assert report["decoding"]["images"] == 16
    assert report["decoding"]["default"] == manifest.default_decoding == "fast"
    assert f"the report is {tmp_path / 'out.export-report.json'}" in result.stderr
    assert "proven: decisions on 16 labelled images" in result.stderr
    assert "16" in result.stdout
    assert f"next: cxr-edge verify {out}" in result.stderr
    assert in_process("verify", out).returncode == 0


@pytest.mark.long
def test_export_without_a_run_exports_the_reference(cli, tmp_path):
    out = tmp_path / "out"
    result = cli("export", "-o", out, "--artifacts", "tflite-fp32")
    assert result.returncode == 0, result.stderr
    assert Bundle.open(out).manifest.spec == Bundle.open().manifest.spec


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--artifacts", "onnx-int7"], 2, "did you mean"),
        (["nowhere"], 5, "no such file"),
        (["--artifacts", "onnx-fp32", "-o", "/dev/null/x"], 6, "cannot be written"),
        (["--thorough"], 2, "--thorough is for quantized files"),
        (["--fp16", "--validation", "."], 2, "--validation is for quantized files"),
        (["--artifacts", "onnx-fp32", "--calibration", "."], 2, "add --int8"),
        (["--int8", "--max-flips", "-1"], 2, "--max-flips is -1"),
        (["--int8", "--max-delta-p", "1.5"], 2, "--max-delta-p is 1.5"),
        (["--int8", "--max-auc-drop", "nan"], 2, "--max-auc-drop is nan"),
    ],
    ids=[
        "unknown artifact",
        "no run",
        "unwritable",
        "thorough, nothing searched",
        "validation, nothing searched",
        "calibration, nothing searched",
        "negative flips",
        "delta beyond 1",
        "drop that is no number",
    ],
)
def test_export_mistakes_are_one_line(in_process, arguments, code, words):
    result = in_process("export", *arguments)
    assert result.returncode == code
    assert words in result.stderr.splitlines()[-1]
    assert result.stdout == ""


def test_evaluate_scores_an_exported_file(in_process, exported_bundle, drawn_data, tmp_path):
    out = tmp_path / "evaluation"
    result = in_process(
        "evaluate", drawn_data / "test", "-b", exported_bundle, "-e", "litert", "-o", out
    )
    assert result.returncode == 0, result.stderr
    evaluation = json.loads((out / "evaluation.json").read_text())["parts"]["test"]
    assert evaluation["data"]["images"] == 16
    assert sum(map(sum, evaluation["confusion"])) == 16
    assert f"accuracy {evaluation['figures']['accuracy']['value']:.4f}" in result.stdout
    for name in (
        "test-confusion.png",
        "test-roc.png",
        "test-scores-1.png",
        "evaluation.html",
        "test-scores.csv",
    ):
        assert (out / name).stat().st_size > 500


def test_evaluate_agrees_between_keras_and_the_exported_file(
    in_process, run_folder, exported_bundle, drawn_data
):
    by_keras = in_process("evaluate", drawn_data / "test", "-m", run_folder)
    by_onnx = in_process("evaluate", drawn_data / "test", "-b", exported_bundle, "-a", "onnx-fp32")
    assert by_keras.returncode == 0, by_keras.stderr
    said, *figures = by_keras.stdout.splitlines()
    onnx_said, *onnx_figures = by_onnx.stdout.splitlines()
    assert figures == onnx_figures
    assert said.endswith("run by Keras") and "onnx-fp32 of bundle, run by onnxruntime" in onnx_said


def test_evaluate_refuses_two_models(in_process, run_folder, drawn_data):
    result = in_process("evaluate", drawn_data / "test", "-m", run_folder, "-e", "litert")
    assert result.returncode == 2


@pytest.mark.parametrize(
    ("command", "expected"),
    [("train", "a folder for each class"), ("evaluate", "the folders ")],
)
def test_a_folder_without_classes_is_one_line_and_nothing_is_written(
    in_process, tmp_path, command, expected
):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    result = in_process(command, data, "-o", out)
    assert (result.returncode, result.stdout) == (2, "")
    assert f"expected {expected}" in result.stderr
    assert not out.exists()


def test_an_unknown_recipe_exits_2(in_process, drawn_data):
    result = in_process("train", drawn_data, "--recipe", "sead")
    assert result.returncode == 2
    assert "seed" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--recipe", "sead"], 2, "did you mean seed?"),
        (["--epochs", "0"], 2, "--epochs"),
        (["--patient-pattern", "("], 2, "is malformed"),
        (["--positive", "CAT"], 2, "no label is called 'CAT'"),
        (["--use-val-folder"], 2, "val: no such folder"),
        (["-o", "/dev/null/run"], 6, "/dev/null/run: cannot be written"),
    ],
)
def test_train_finds_mistakes_before_it_loads_keras(
    in_process, drawn_data, monkeypatch, arguments, code, words
):
    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("Keras is loaded")

    monkeypatch.setattr("cxr_edge.extras.check_keras", never)
    result = in_process("train", drawn_data, *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert words in result.stderr and len(result.stderr.splitlines()) == 1


def test_train_names_missing_packages_before_it_reads_images(in_process, drawn_data, monkeypatch):
    monkeypatch.setattr("cxr_edge.extras.is_installed", lambda module: module != "sklearn")
    result = in_process("train", drawn_data)
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr == (
        "cxr-edge: cxr-edge train needs scikit-learn, which is not installed; "
        "run: pip install 'cxr-edge[train]'\n"
    )


def test_data_check_counts_and_is_content_with_a_clean_set(in_process, drawn_data):
    result = in_process("data", "check", drawn_data)
    assert result.returncode == 0, result.stdout
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[:3] == [
        ["split", "NORMAL", "PNEUMONIA", "patients"],
        ["train", "40", "40", "80"],
        ["test", "8", "8", "16"],
    ]
    assert ["patients", "in", "both", "train/test", "0"] in lines


def test_data_check_finds_damage_duplicates_and_shared_patients(in_process, drawn_data, tmp_path):
    root = shutil.copytree(drawn_data, tmp_path / "data")
    first = sorted((root / "train/NORMAL").iterdir())[0]
    shutil.copy(first, root / "test/NORMAL/IM-9999-0001.jpeg")
    moved = sorted((root / "train/PNEUMONIA").iterdir())[0]
    other = cv2.imencode(".jpg", np.full((60, 60), 90, np.uint8))[1].tobytes()
    (root / "test/PNEUMONIA" / moved.name.replace("_0", "_77")).write_bytes(other)
    (root / "train/NORMAL/broken.jpeg").write_bytes(first.read_bytes()[:400])
    table = in_process("data", "check", root)
    assert table.returncode == 1
    for text in ("broken.jpeg", first.name, "IM-9999-0001.jpeg"):
        assert text in table.stdout
    result = in_process("data", "check", root, "-f", "json")
    assert result.returncode == 1
    report = json.loads(result.stdout)
    assert next(iter(report.items())) == ("schema", "cxr-edge.data/1")
    assert len(report["unreadable"]) == 1
    assert "broken.jpeg" in report["unreadable"][0]
    (group,) = report["contradictions"]
    assert {name.rsplit("/", 1)[1] for name in group} == {first.name, "IM-9999-0001.jpeg"}
    assert report["shared_patients"]["train/test"] == [
        f"bacteria-{moved.name.removeprefix('person').split('_')[0]}"
    ]
