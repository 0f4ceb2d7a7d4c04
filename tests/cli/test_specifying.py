"""``cxr-edge spec``: the spec on stdout, where its values come from on stderr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cxr_edge.bundle.reader import Bundle
from cxr_edge.cli.output.streams import MOST_CHARACTERS
from cxr_edge.cli.specifying import _explain
from cxr_edge.data.phantom import write_phantom
from cxr_edge.extras import require_keras
from cxr_edge.original.infer import Explanation, InferredSpec
from cxr_edge.spec import parse_spec

keras = require_keras("export")


def test_a_long_note_to_check_is_one_short_line(capsys: Any) -> None:
    preset = Explanation("preset", "unit", "assumed", "because " * 50)
    _explain(InferredSpec(Bundle.open().manifest.spec, (preset,)), Path("m.keras"), None)
    (check,) = [line for line in capsys.readouterr().err.splitlines() if "CHECK: " in line]
    assert check.startswith("CHECK: pixels are assumed") and len(check) <= MOST_CHARACTERS


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layers = keras.layers
    path = tmp_path_factory.mktemp("model") / "pets.keras"
    last = layers.Dense(1, activation="sigmoid")
    keras.Sequential([keras.Input((16, 20, 3)), layers.Flatten(), last]).save(path)
    return path


def test_stdout_is_a_spec_and_stderr_explains_it(in_process: Any, model: Path) -> None:
    done = in_process("spec", model)
    assert done.returncode == 0
    spec = parse_spec(done.stdout.encode())
    assert (spec.name, spec.input_shape, spec.activation) == ("pets", (16, 20, 3), "sigmoid")
    table = done.stderr.splitlines()
    rows = {line.split("  ")[0]: line for line in table}
    assert "16 x 20" in rows["input size"] and " model " in rows["input size"]
    for field in ("labels", "preset", "input.geometry", "threshold"):
        assert "assumed" in rows[field]
    checks = [line for line in table if line.startswith("CHECK: ")]
    assert len(checks) == 2 and "scaled as unit" in checks[0] and "label_0" in checks[1]
    assert table[-1] == f"next: save it as spec.json, then cxr-edge export {model} --spec spec.json"
    assert max(map(len, table)) <= 300


def test_what_is_given_is_in_the_spec_and_needs_no_check(
    in_process: Any, model: Path, tmp_path: Path
) -> None:
    for name in ("dog", "cat"):
        write_phantom(tmp_path / "pets" / "train" / name / "a.png")
    given = ["--preset", "caffe", "--geometry", "center-crop", "--interpolation", "area"]
    decision = ["--positive", "cat", "--threshold", "0.25", "--size", "16x20"]
    out = tmp_path / "given.json"
    options = [*given, *decision, "--data", tmp_path / "pets", "-o", out]
    done = in_process("spec", model, *options)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    spec = parse_spec(out.read_bytes())
    assert spec.labels == ("cat", "dog") and spec.positive_label == "cat"
    assert (spec.threshold, spec.threshold_choice) == (0.25, "given in the spec")
    assert spec.input.summary == "16 x 20 x 3, BGR, center-crop, area"
    assert "assumed" not in done.stderr and "CHECK" not in done.stderr
    again = in_process("spec", model, "-o", out)
    assert again.returncode == 2 and "exists; remove it or name another file" in again.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--labels", "a"], "--labels is 'a', expected at least two different names"),
        (["--labels", "a,,b"], "--labels is 'a,,b'"),
        (["--labels", "a,a"], "--labels is 'a,a'"),
        (["--labels", "a,b\udcff"], "the label 'b\\udcff' cannot be printed; rename it"),
        (["--labels", "a,b\nc"], "the label 'b\\nc' cannot be printed; rename it"),
        (["--size", "224"], "--size is '224', expected HxW in pixels, for example 224x224"),
        (["--size", "0x5"], "--size is '0x5'"),
        (["--preset", "imagenet"], "--preset"),
        (["--threshold", "2"], "--threshold"),
        (["--data", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_a_wrong_option_is_refused_before_tensorflow_is_loaded(
    cli_without_keras: Any, options: list[str], message: str
) -> None:
    done = cli_without_keras("spec", "absent.keras", *options)
    assert done.returncode == 2 and message in done.stderr
    assert "loading" not in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.fixture
def cli_without_keras(in_process: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    def refuse(extra: str) -> None:
        pytest.fail(f"Keras was loaded for {extra}")

    monkeypatch.setattr("cxr_edge.original.keras_model.require_keras", refuse)
    return in_process


def test_a_preset_that_the_model_contradicts_is_said_loudly(
    in_process: Any, tmp_path: Path
) -> None:
    layers = keras.layers
    first, last = layers.Rescaling(1 / 255), layers.Dense(2, activation="softmax")
    path = tmp_path / "scaled.keras"
    keras.Sequential([keras.Input((8, 8, 1)), first, layers.Flatten(), last]).save(path)
    done = in_process("spec", path, "--preset", "unit", "--labels", "a,b")
    (check,) = [line for line in done.stderr.splitlines() if line.startswith("CHECK: ")]
    assert "said to be scaled as unit" in check and "which suggests none" in check
    assert len(check) <= 300


def test_names_of_any_script_are_written_as_utf_8(
    in_process: Any, model: Path, tmp_path: Path
) -> None:
    renamed = tmp_path / "m\udcff.keras"
    renamed.write_bytes(model.read_bytes())
    done = in_process("spec", renamed, "--labels", "Bäume,樹", PYTHONIOENCODING="ascii")
    spec = parse_spec(done.stdout.encode())
    assert (spec.name, spec.labels) == ("m\\udcff", ("Bäume", "樹"))
    too_long = in_process("spec", renamed, "-o", "x" * 300)
    assert too_long.returncode == 6 and "cannot be written" in too_long.stderr.splitlines()[-1]


def test_a_model_that_does_not_fit_and_a_file_that_is_none_are_one_line(
    in_process: Any, model: Path, tmp_path: Path
) -> None:
    for arguments, code in (
        ([model, "--labels", "a,b,c"], 2),
        ([model, "--size", "20x16"], 2),
        ([tmp_path / "absent.keras"], 5),
        ([tmp_path], 5),
    ):
        done = in_process("spec", *arguments)
        (line,) = done.stderr.splitlines()
        assert (done.returncode, done.stdout) == (code, "")
        assert line.startswith("cxr-edge: ") and len(line) <= 300
