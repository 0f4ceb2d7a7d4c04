"""README, help and documents say what is there."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

import pytest

from cxr_edge import Bundle
from cxr_edge.benchmark.report import parse_report
from cxr_edge.cli import COMMANDS
from cxr_edge.cli.bundles import bundle
from cxr_edge.cli.data import data
from cxr_edge.data.phantom import write_phantom

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MEASURED = (ROOT / "docs/measured.md").read_text()


def commands() -> set[str]:
    groups = {group.info.name: group for group in (data, bundle)}
    below = {
        f"{name} {(command.name or command.callback.__name__)}"
        for name, group in groups.items()
        for command in group.registered_commands
    }
    return {*COMMANDS} - {*groups} | below


def test_every_command_is_in_the_readme():
    assert commands()
    for name in commands():
        assert f"cxr-edge {name}" in README, name


def test_every_command_in_the_readme_exists():
    mentioned = set(re.findall(r"cxr-edge ((?:data|bundle) \w+|\w+)", README))
    assert mentioned <= commands(), mentioned - commands()


def test_every_make_target_in_the_documents_exists():
    makefile = (ROOT / "Makefile").read_text()
    texts = README + (ROOT / "CONTRIBUTING.md").read_text()
    targets = set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", texts, re.M))
    assert {"demo", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_every_extra_in_the_readme_exists():
    pyproject = (ROOT / "pyproject.toml").read_text()
    for extra in set(re.findall(r"cxr-edge\[(\w+)\]", README)):
        assert re.search(rf"^{extra} = \[", pyproject, re.M), extra


def test_every_extra_for_users_is_in_the_table():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rows = re.findall(r"^\| `'\.\[([\w,]+)\]'` \|", README, re.M)
    named = {extra for row in rows for extra in row.split(",")}
    assert named == pyproject["optional-dependencies"].keys() - {"test", "soak"}


def test_the_python_in_the_readme_runs(tmp_path, monkeypatch, capsys):
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    monkeypatch.chdir(tmp_path)
    write_phantom(tmp_path / "image.png")
    exec(compile(block, "README.md", "exec"), {})
    assert "PNEUMONIA" in capsys.readouterr().out or "NORMAL" in capsys.readouterr().out


def test_the_readme_says_what_it_is_not():
    assert "not a medical device" in README


@pytest.mark.parametrize("part", ["validation", "test"])
def test_the_model_s_figures_in_the_readme_are_the_manifest_s(part):
    figures = getattr(Bundle.open().manifest.provenance, part)
    names = ("accuracy", "auc", "recall PNEUMONIA", "recall NORMAL")
    for text in (README, MEASURED):
        row = next(line for line in text.splitlines() if line.startswith(f"| {part} "))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[1] == str(int(figures["images"]))
        assert cells[2:6] == [f"{figures[name]:.3f}" for name in names]


def test_the_files_figures_are_the_manifest_s():
    expected = [
        f"| {artifact.name} | {record.engine} | {data.inputs} | "
        f"{data.max_abs_delta:.1e} | {data.mean_abs_delta:.1e} | {data.flips} |"
        for artifact in Bundle.open().manifest.artifacts
        for record in artifact.engines
        if (data := record.data)
    ]
    lines = MEASURED.splitlines()
    start = lines.index(expected[0])
    assert lines[start : start + len(expected) + 1] == [*expected, ""]


@pytest.mark.parametrize("name", ["README.md", "docs/measured.md"])
def test_the_tables_of_times_are_the_kept_report_s(name):
    program = runpy.run_path(str(ROOT / "benchmarks/readme_table.py"))
    report = parse_report(program["KEPT"].read_bytes(), "report.json")
    text = (ROOT / name).read_text()
    assert program["with_table"](ROOT / name, report) == text
    assert text.count("| onnx-int8") >= 1


def test_links_between_documents_lead_somewhere():
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), (path.name, target)
