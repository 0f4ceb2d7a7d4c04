"""A call that is read without typer is read as typer would."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import Any

import pytest
import typer

from cxr_edge.cli.inspecting import verify
from cxr_edge.cli.options import read_call
from cxr_edge.cli.predict.command import predict
from cxr_edge.cli.tree import for_typer

PLAIN = (
    ["a.jpeg"],
    ["a.jpeg", "b c.png", "-"],
    ["-q", "a.jpeg", "-f", "csv"],
    ["--format=jsonl", "a.jpeg", "--quiet", "--ids"],
    ["a.jpeg", "--bundle", "x", "-a", "onnx-int8", "--engine", "litert", "-t", "2", "-w", "3"],
    ["a.jpeg", "-o", "x.csv", "--out", "y.csv", "--max-pixels", "100", "--max-bytes=7"],
    ["a.jpeg", "--decode", "exact", "--profile=p.json", "--radiographs", "any"],
    ["a.jpeg", "--heatmap", "maps", "--dicom-out", "reports", "--bundle=a=b"],
)
LEFT_TO_TYPER = (
    [],
    ["-q"],
    ["--help"],
    ["a.jpeg", "-h"],
    ["a.jpeg", "--"],
    ["--", "-a.jpeg"],
    ["a.jpeg", "--nothing"],
    ["a.jpeg", "-qf", "csv"],
    ["a.jpeg", "-fcsv"],
    ["a.jpeg", "--format", "pdf"],
    ["a.jpeg", "--format"],
    ["a.jpeg", "--quiet=yes"],
    ["a.jpeg", "--threads", "0"],
    ["a.jpeg", "--threads", "two"],
    ["a.jpeg", "--threads", "٣"],
    ["a.jpeg", "--threads", "-1"],
    ["a.jpeg", "--max-pixels", "1_000"],
    ["a.jpeg", "--key", "no such file"],
    ["a.jpeg", "--engine", "--quiet"],
)


def read_by_typer(arguments: list[str]) -> dict[str, Any]:
    """The values that typer calls the command with."""
    calls: list[dict[str, Any]] = []

    @functools.wraps(predict)
    def note(**values: Any) -> None:
        calls.append(values)

    app = typer.Typer(add_completion=False)
    app.command()(for_typer(note))
    app(arguments, standalone_mode=False)
    return calls[0]


@pytest.mark.parametrize("arguments", PLAIN, ids=" ".join)
def test_a_plain_call_is_read_as_typer_reads_it(arguments: list[str]) -> None:
    values = read_call(predict, arguments)
    assert values is not None
    parameters = inspect.signature(predict).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    by_typer = read_by_typer(arguments)
    assert {**defaults, **values} == by_typer
    types = {name: type(value) for name, value in values.items()}
    assert types == {name: type(by_typer[name]) for name in values}


@pytest.mark.parametrize("arguments", LEFT_TO_TYPER, ids=" ".join)
def test_help_mistakes_and_rare_spellings_are_left_to_typer(arguments: list[str]) -> None:
    assert read_call(predict, arguments) is None


def test_a_key_that_can_be_read_is_plain(tmp_path: Path) -> None:
    key = tmp_path / "key.pub"
    key.touch()
    assert read_call(predict, ["a.jpeg", "--key", str(key)]) == {"paths": ["a.jpeg"], "key": key}


def test_a_command_with_options_of_typer_is_left_to_it() -> None:
    assert read_call(verify, ["bundle"]) is None
