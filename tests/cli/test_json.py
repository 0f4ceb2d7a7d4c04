"""``--format json``: one document on stdout, as its dataclass says, also where a command fails."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.verify import Verdict
from cxr_edge.cli.output import schemas
from cxr_edge.data import check

pytestmark = pytest.mark.slow
DOCS = (Path(__file__).parents[2] / "docs/json.md").read_text()


def read(result: Any, document: type) -> dict[str, Any]:
    """The document on stdout, which must hold nothing else and have the dataclass's keys."""
    value: dict[str, Any] = json.loads(result.stdout)
    assert list(value) == [field.name for field in dataclasses.fields(document)]
    return value


def test_info(in_process, exported_bundle):
    result = in_process("info", exported_bundle, "-f", "json")
    assert (result.returncode, result.stderr) == (0, "")
    value = read(result, schemas.InfoDocument)
    manifest = Bundle.open(exported_bundle).manifest
    assert value["schema"] == "cxr-edge.info/1" and value["sha256"] == manifest.sha256
    assert value["spec"]["labels"] == list(manifest.spec.labels)
    assert [a["name"] for a in value["artifacts"]] == [a.name for a in manifest.artifacts]


def test_verify_of_a_good_bundle(in_process):
    result = in_process("verify", "-f", "json")
    assert result.returncode == 0
    value = read(result, schemas.VerifyDocument)
    assert (value["schema"], value["ok"], value["error"]) == ("cxr-edge.verify/1", True, None)
    assert value["bundle"] == "the bundled reference"
    artifacts = Bundle.open().manifest.artifacts
    files = {artifact.name: artifact.file.file for artifact in artifacts}
    assert {check["artifact"]: check["file"] for check in value["checks"]} == files
    assert {check["outcome"] for check in value["checks"]} == {"proven"}
    table = in_process("verify")
    assert all(name in table.stdout for name in files.values())


def test_verify_of_a_changed_file_is_a_document_too(in_process, bundle):
    (path,) = bundle.glob("golden.*")
    path.write_bytes(path.read_bytes()[:-1])
    result = in_process("verify", bundle, "-f", "json")
    assert result.returncode == 5
    value = read(result, schemas.VerifyDocument)
    assert (value["ok"], value["error"], value["checks"]) == (False, "BundleError", [])
    assert f"cxr-edge: {value['message']}\n" == result.stderr


def verdict(engine: str, outcome: Any, reason: str = "it differs") -> Verdict:
    return Verdict("onnx-explain", engine, outcome, 1e-4, None, reason)


def test_verify_needs_no_model_card(in_process, bundle):
    card = bundle / "MODEL_CARD.md"
    card.unlink()
    card.mkdir()
    result = in_process("verify", bundle, "-f", "json")
    assert result.returncode == 0
    value = read(result, schemas.VerifyDocument)
    assert (value["ok"], value["card_is_current"]) == (True, False)
    assert {check["outcome"] for check in value["checks"]} == {"proven"}
    assert "MODEL_CARD.md cannot be read" in result.stderr


def test_verify_of_other_decisions_is_a_document_too(in_process, monkeypatch):
    verdicts = [verdict("onnxruntime", "failed"), verdict("openvino", "failed")]
    monkeypatch.setattr("cxr_edge.bundle.verify.replay_bundle", lambda bundle: iter(verdicts))
    result = in_process("verify", "-f", "json")
    assert result.returncode == 6
    value = read(result, schemas.VerifyDocument)
    assert value["error"] == "ParityError" and len(value["checks"]) == 2
    file = Bundle.open().artifact("onnx-explain").file.file
    assert value["message"] == f"{file}: onnx-explain on onnxruntime: it differs; 1 more failed"


@pytest.mark.parametrize(
    ("outcomes", "code", "words"),
    [
        (["not-for-this-cpu"], 5, "onnx-explain is not made for this CPU; see"),
        (["not-installed"], 3, "onnxruntime is not installed; see"),
        (["not-for-this-cpu", "not-installed"], 3, "this CPU and openvino is not installed"),
    ],
)
def test_verify_says_why_nothing_could_be_checked(in_process, monkeypatch, outcomes, code, words):
    engines = ("onnxruntime", "openvino")
    verdicts = [verdict(*pair, "") for pair in zip(engines, outcomes, strict=False)]
    monkeypatch.setattr("cxr_edge.bundle.verify.replay_bundle", lambda bundle: iter(verdicts))
    result = in_process("verify", "-f", "json")
    assert result.returncode == code
    assert words in read(result, schemas.VerifyDocument)["message"]


def test_tune_then_doctor(in_process, tmp_path, monkeypatch):
    monkeypatch.setattr("os.getloadavg", lambda: (3.0, 3.0, 3.0))
    settings = {"XDG_CONFIG_HOME": str(tmp_path)}
    result = in_process("tune", "--rounds", "1", "-t", "1", "-f", "json", **settings)
    assert result.returncode == 0, result.stderr
    value = read(result, schemas.TuneDocument)
    assert value["chosen"]["load_average"] == 3.0
    assert "the machine was busy" in value["warnings"][0]
    assert f"note: {value['warnings'][0]}" in result.stderr
    chosen = (value["chosen"]["artifact"], value["chosen"]["engine"])
    assert chosen in {(c["artifact"], c["engine"]) for c in value["candidates"]}
    result = in_process("doctor", "-f", "json", **settings)
    assert (result.returncode, result.stderr) == (0, "")
    diagnosis = read(result, schemas.DoctorDocument)
    assert diagnosis["tuned"] == value["chosen"]
    assert any("busy machine (load average 3.0)" in line for line in diagnosis["advice"])
    assert diagnosis["startup"] is None


def test_evaluate(in_process, drawn_data):
    result = in_process("evaluate", drawn_data / "test", "--no-shifts", "-f", "json")
    assert result.returncode == 0, result.stderr
    value = read(result, schemas.EvaluateDocument)
    (model,) = value["models"].values()
    assert model["evaluation"]["data"]["images"] == 16
    assert value["spread"] is None and value["one_recipe"] is None


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("info", "nowhere"), 5),
        (("doctor", "nowhere"), 5),
        (("tune", "nowhere"), 5),
        (("tune", "nowhere", "--forget"), 5),
        (("evaluate", "nowhere"), 2),
        (("data", "check", "nowhere"), 2),
        (("predict", "-b", "nowhere", "image.png"), 5),
        (("predict", "-e", "litert", "-a", "onnx-int8", "image.png"), 2),
    ],
)
def test_an_error_is_a_document_too(in_process, arguments, code):
    result = in_process(*arguments, "-f", "json")
    assert result.returncode == code
    value = read(result, schemas.ErrorDocument)
    assert (value["schema"], value["exit_code"]) == ("cxr-edge.error/1", code)
    assert result.stderr.endswith(f"cxr-edge: {value['message']}\n")


@pytest.mark.parametrize(
    "document",
    [
        *(schemas.InfoDocument, schemas.VerifyDocument, schemas.Check, schemas.DoctorDocument),
        *(schemas.TunedChoice, schemas.TuneDocument, schemas.TimedCandidate),
        *(schemas.EvaluateDocument, schemas.EvaluatedModel, schemas.ErrorDocument),
        check.DataReport,
    ],
)
def test_every_key_is_documented(document):
    for field in dataclasses.fields(document):
        assert f"`{field.name}`" in DOCS, field.name


def test_every_schema_is_documented():
    own = (schemas.INFO, schemas.VERIFY, schemas.DOCTOR, schemas.TUNE, schemas.EVALUATE)
    for name in (*own, schemas.ERROR, check.SCHEMA):
        assert f"`{name}`" in DOCS
