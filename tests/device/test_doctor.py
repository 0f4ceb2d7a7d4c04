"""What is said of this machine is what was measured on it."""

from __future__ import annotations

import dataclasses
import importlib.util
import shlex
import subprocess
import sys
import tomllib
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from cxr_edge.bundle.reader import Bundle
from cxr_edge.device import doctor
from cxr_edge.device.doctor import diagnose
from cxr_edge.device.machine import this_machine
from cxr_edge.engines import ENGINES
from cxr_edge.errors import EngineError

ROOT = Path(__file__).parents[2]
MEASURE = "cxr_edge.engines.onnxruntime.sums_are_exact"


@pytest.mark.parametrize(
    ("architecture", "measured", "said"),
    [
        ("x86_64", True, True),
        ("x86_64", False, False),
        ("aarch64", True, True),
        ("aarch64", False, None),  # no arm64 CPU saturates: something else is wrong
    ],
)
def test_sums_saturate_only_where_that_is_known(
    monkeypatch: pytest.MonkeyPatch, architecture: str, measured: bool, said: bool | None
) -> None:
    machine = dataclasses.replace(this_machine(), architecture=architecture)
    monkeypatch.setattr("cxr_edge.device.doctor.this_machine", lambda: machine)
    monkeypatch.setattr(MEASURE, lambda: measured)
    assert diagnose(Bundle.open()).sums_are_exact is said


@pytest.mark.parametrize("err", [EngineError("it fails"), ImportError("libgomp is missing")])
def test_what_cannot_be_measured_is_unknown(
    monkeypatch: pytest.MonkeyPatch, err: Exception
) -> None:
    def fail() -> bool:
        raise err

    monkeypatch.setattr(MEASURE, fail)
    assert diagnose(Bundle.open()).sums_are_exact is None


def test_the_command_that_it_names_compiles_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a folder" / "cxr_edge"
    folder.mkdir(parents=True)
    source = folder / "__init__.py"
    source.write_text("")
    spec = importlib.util.spec_from_file_location("cxr_edge", source)
    assert spec and spec.cached

    def find_spec(name: str) -> ModuleSpec | None:
        return spec if name == "cxr_edge" else None

    with monkeypatch.context() as patch:
        patch.setattr("cxr_edge.device.doctor.importlib.util.find_spec", find_spec)
        (advice,) = (line for line in diagnose(Bundle.open()).advice if "compileall" in line)
    assert advice.startswith("cxr_edge: not byte-compiled")
    command = shlex.split(advice.partition(": run ")[2])
    assert command[0] == sys.executable
    subprocess.run(command, check=True)
    assert Path(spec.cached).is_file()


def test_the_doctor_names_every_extra_that_is_no_engine() -> None:
    listed = set(doctor._EXTRAS)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    collections = {"device", "all", "test", "soak"}
    engines = {info.extra for info in ENGINES.values()}
    assert listed == set(project["optional-dependencies"]) - collections - engines
