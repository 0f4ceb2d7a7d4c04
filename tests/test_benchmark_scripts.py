"""The scripts in ``benchmarks/`` say how they are called."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

pytest.importorskip("keras")  # some of them import the export
BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SCRIPTS = {
    "calibration": "RUN DATA",
    "decoding": "BUNDLE IMAGES",
    "domain_fits": "DATA",
    "fast_path": "IMAGES [DICOM]",
    "jpeg_damage": "DATA",
    "operations": "FILE.onnx",
    "out_of_domain": "RUN DATA",
    "readme_table": "REPORT.json",
}


def call(name: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(sys, "argv", [str(BENCHMARKS / f"{name}.py"), *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(sys.argv[0], run_name="__main__")
    return ended.value.code


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_missing_argument_is_answered_with_the_usage(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(name, monkeypatch=monkeypatch) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines() == [
        f"usage: python benchmarks/{name}.py {SCRIPTS[name]}",
        f"{name}.py: 0 arguments given",
    ]


def test_an_absent_path_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("readme_table", "/nowhere.json", monkeypatch=monkeypatch) == 2
    assert "REPORT.json: /nowhere.json: no such file" in capsys.readouterr().err


def test_help_shows_what_a_script_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("pictures", "--help", monkeypatch=monkeypatch) == 0
    output = capsys.readouterr().out
    assert output.startswith("usage: python benchmarks/pictures.py [OUT]\n\nDraw the pictures")
