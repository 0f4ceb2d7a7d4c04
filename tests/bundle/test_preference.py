"""What a machine runs where nothing was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from cxr_edge import Bundle
from cxr_edge.bundle.manifest import ArtifactRecord
from cxr_edge.bundle.preference import in_order_of_preference
from cxr_edge.classifier import Classifier
from cxr_edge.device.doctor import diagnose

RULE = "cxr_edge.bundle.preference.is_arm64"
ON_X86 = [
    ("onnx-int8", "onnxruntime"),
    ("onnx-int8", "openvino"),
    ("tflite-int8-dynamic", "litert"),
    ("onnx-explain", "onnxruntime"),
    ("onnx-explain", "openvino"),
]
ON_ARM64 = [ON_X86[2], *ON_X86[:2], *ON_X86[3:]]


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def pretend(architecture: str) -> None:
        for module in ("bundle.preference", "device.doctor"):
            monkeypatch.setattr(f"cxr_edge.{module}.is_arm64", lambda: architecture == "arm64")

    return pretend


def names(artifacts: tuple[ArtifactRecord, ...]) -> list[tuple[str, str]]:
    return [(artifact.name, engine) for artifact, engine in in_order_of_preference(artifacts)]


@pytest.mark.parametrize(("architecture", "order"), [("x86", ON_X86), ("arm64", ON_ARM64)])
def test_integers_on_litert_come_first_on_arm64_only(
    on: Callable[[str], None], architecture: str, order: list[tuple[str, str]]
) -> None:
    on(architecture)
    bundle = Bundle.open()
    assert names(bundle.manifest.artifacts) == order
    artifact, engine = bundle.choose(None, None)
    assert (artifact.name, engine) == order[0]


def test_a_float_file_on_litert_does_not_come_first(on: Callable[[str], None]) -> None:
    on("arm64")
    artifacts = [
        dataclasses.replace(artifact, precision="fp16")
        for artifact in Bundle.open().manifest.artifacts
    ]
    assert names(tuple(artifacts)) == ON_X86


def test_on_arm64_without_litert_the_rest_keeps_its_order(
    on: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    on("arm64")
    monkeypatch.setattr("cxr_edge.bundle.reader.installed_engines", lambda: ("onnxruntime",))
    artifact, engine = Bundle.open().choose(None, None)
    assert (artifact.name, engine) == ON_X86[0]


def test_what_is_asked_for_is_taken_on_every_machine(on: Callable[[str], None]) -> None:
    on("arm64")
    bundle = Bundle.open()
    assert bundle.choose(None, "onnxruntime")[0].name == "onnx-int8"
    assert bundle.choose("onnx-int8", None)[1] == "onnxruntime"
    artifact, engine = bundle.choose(None, None, heatmap=True)
    assert (artifact.name, engine) == ("onnx-explain", "onnxruntime")


@pytest.mark.parametrize(("architecture", "order"), [("x86", ON_X86), ("arm64", ON_ARM64)])
def test_doctor_names_what_predict_takes(
    on: Callable[[str], None], tmp_path, monkeypatch, architecture, order
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))  # nothing was tuned
    on(architecture)
    advice = " ".join(diagnose(Bundle.open()).advice)
    classifier = Classifier.load()
    assert (classifier.artifact, classifier.engine) == order[0]
    assert f"predict uses {order[0][0]} on {order[0][1]}, which may" in advice


def test_doctor_says_what_litert_would_bring_on_arm64(
    on: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("bundle.reader", "device.doctor"):
        monkeypatch.setattr(f"cxr_edge.{module}.installed_engines", lambda: ("onnxruntime",))
    said = {}
    for architecture in ("x86", "arm64"):
        on(architecture)
        advice = diagnose(Bundle.open()).advice
        (said[architecture],) = (line for line in advice if line.startswith("litert"))
    assert said["x86"].startswith("litert is not installed and may be faster: pip install")
    assert "runs tflite-int8-dynamic, by published times the fastest on arm64" in said["arm64"]
