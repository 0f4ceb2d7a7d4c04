"""``cxr-edge export``: every option reaches the export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cxr_edge.cli import application
from cxr_edge.errors import ExportError
from cxr_edge.export import pipeline
from cxr_edge.export.quantize.budget import Budget
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
    requested: list[tuple[Any, ...]],
) -> None:
    run(
        *("--int8", "--artifacts", "tflite-fp16, onnx-int8-arm64", "-o", "out"),
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
        named=frozenset({"tflite-fp16", "onnx-int8-arm64"}),
        group_of=request.group_of,
    )
    assert request.group_of(Path("12-a.png")) == request.group_of(Path("12-b.png"))
