"""``cxr-edge report``: pages from JSON, in a process that imports neither models nor engines."""

from __future__ import annotations

import dataclasses
import os
import runpy
from pathlib import Path

import pytest

from cxr_edge import documents
from cxr_edge.benchmark.report import dump_report, read_report

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
DRAWN = runpy.run_path(str(TESTS / "benchmark/drawn.py"))
EVALUATED = runpy.run_path(str(TESTS / "metrics/drawn.py"))


@pytest.fixture
def report_json(tmp_path) -> Path:
    path = tmp_path / "here" / "measured.json"
    path.parent.mkdir()
    path.write_bytes(dump_report(DRAWN["one_row"](DRAWN["draw_report"]())))
    return path


def test_a_page_is_drawn_without_any_engine_or_model(cli, report_json, tmp_path):
    blocker = tmp_path / "blocker"
    blocker.mkdir()
    for name in ("onnxruntime", "openvino", "tensorflow", "keras", "sklearn", "ai_edge_litert"):
        (blocker / f"{name}.py").write_text(f"raise ModuleNotFoundError(name={name!r})")
    page = tmp_path / "page.html"
    done = cli("report", report_json, "-o", page, PYTHONPATH=str(blocker))
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", f"the page is {page}\n")
    assert page.read_bytes().startswith(b"<!DOCTYPE html>")


@pytest.fixture
def seeds_json(tmp_path) -> Path:
    path = tmp_path / "here" / "seeds.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(documents.dump(EVALUATED["draw_seeds"]()))
    return path


@pytest.fixture
def other_json(report_json) -> Path:
    """Another machine's report of the same bundle."""
    report = read_report(report_json)
    machine = dataclasses.replace(report.machine, processor="Another", key="f" * 16)
    path = report_json.with_name("other.json")
    path.write_bytes(dump_report(dataclasses.replace(report, machine=machine, label="ward")))
    return path


def test_pages_go_beside_their_files_or_into_a_folder(in_process, seeds_json, tmp_path):
    other = seeds_json.with_name("other.json")
    other.write_bytes(seeds_json.read_bytes())
    assert in_process("report", seeds_json, other).returncode == 0
    assert in_process("report", seeds_json, other, "-o", tmp_path / "pages").returncode == 0
    for folder in (seeds_json.parent, tmp_path / "pages"):
        names = sorted(path.name for path in folder.glob("*.html"))
        assert names == ["other.html", "seeds.html"]


def test_two_benchmarks_share_a_page_and_are_printed(in_process, report_json, other_json):
    done = in_process("report", report_json, other_json)
    assert done.returncode == 0, done.stderr
    folder = report_json.parent
    assert done.stderr.splitlines() == [
        f"the Markdown is {folder / 'machines.md'}",
        f"the page is {folder / 'machines.html'}",
    ]
    lines = done.stdout.splitlines()
    assert lines[0] == "Benchmark of chest-xray-reference: 2 machines"
    assert any(line.split()[:5] == ["row", "A:", "p50,", "ms", "B:"] for line in lines)
    assert any(line.startswith("Processor") and "Another" in line for line in lines)
    assert (folder / "machines.html").read_bytes().startswith(b"<!DOCTYPE html>")
    assert (folder / "machines.md").read_text().startswith("# Benchmark of chest-xray-reference")


def test_markdown_of_two_benchmarks_needs_no_extra(cli, report_json, other_json, tmp_path):
    blocker = tmp_path / "blocker"
    blocker.mkdir()
    for name in ("altair", "jinja2", "vl_convert", "onnxruntime", "tensorflow"):
        (blocker / f"{name}.py").write_text(f"raise ModuleNotFoundError(name={name!r})")
    given = ("report", report_json, other_json, "-o")
    done = cli(*given, tmp_path / "both.md", PYTHONPATH=str(blocker))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "both.md").read_text().count("## ") >= 5
    refused = cli(*given, tmp_path / "both.html", PYTHONPATH=str(blocker))
    assert refused.returncode == 3 and refused.stdout == ""
    assert refused.stderr.count("\n") == 1 and "cxr-edge[report]" in refused.stderr


def test_what_cannot_be_shown_side_by_side_is_one_line(
    in_process, report_json, other_json, seeds_json, tmp_path
):
    newer = report_json.with_name("newer.json")
    newer.write_bytes(report_json.read_bytes().replace(b"benchmark/3", b"benchmark/4"))
    cut = report_json.with_name("cut.json")
    cut.write_bytes(report_json.read_bytes()[:-9])
    deep = report_json.with_name("deep.json")
    deep.write_bytes(b"[" * 1_000_000)
    for arguments, code, words in (
        ((report_json, seeds_json), 2, "measured.json is a benchmark, "),
        ((seeds_json, report_json), 2, "is several runs' evaluation"),
        ((report_json, report_json), 2, "the same report as"),
        ((report_json, newer), 5, "reads up to 3; update cxr-edge"),
        ((report_json, cut), 2, "is not JSON"),
        ((report_json, deep), 2, "is not JSON"),
        ((report_json, tmp_path / "none.json"), 2, "no such file"),
        ((report_json, other_json, "-o", tmp_path / "no" / "x.html"), 6, "no"),
        ((report_json, other_json, "-o", other_json), 2, "the page would replace it"),
    ):
        done = in_process("report", *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), arguments
        assert words in done.stderr and len(done.stderr) < 400
    assert not [*tmp_path.rglob("*.html"), *tmp_path.rglob("*.md")]


def test_a_page_never_replaces_what_is_no_page(in_process, report_json, seeds_json, tmp_path):
    before = report_json.read_bytes()
    more = seeds_json.with_name("more.json")
    more.write_bytes(seeds_json.read_bytes())
    other = report_json.with_name("other.json")
    other.write_bytes(before)
    page = report_json.rename(report_json.with_suffix(".html"))
    for arguments, words in (
        ((page,), "the page would replace it"),
        ((other, "-o", other), "the page would replace it"),
        ((page.parent,), "a folder"),
        (("absent.json",), "no such file"),
        ((seeds_json, more, "-o", tmp_path / "x.html"), "need a folder"),
    ):
        done = in_process("report", *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert words in done.stderr
    assert page.read_bytes() == other.read_bytes() == before
    assert not (tmp_path / "x.html").exists()


def test_mistakes_are_one_line(in_process, report_json, seeds_json, tmp_path):
    other = tmp_path / "there" / report_json.name
    other.parent.mkdir()
    other.write_text('{"schema": "something/1"}')
    twin = tmp_path / "there" / seeds_json.name
    twin.write_bytes(seeds_json.read_bytes())
    damaged = tmp_path / "damaged.json"
    damaged.write_text('{"schema": "cxr-edge.benchmark/2"}')
    for arguments, code, reason in (
        ((other,), 2, "its schema is 'something/1'"),
        ((tmp_path / "none.json",), 2, "none.json"),
        ((damaged,), 5, "is missing"),
        ((seeds_json, twin, "-o", tmp_path / "pages"), 2, "would share a page"),
    ):
        done = in_process("report", *arguments)
        assert done.returncode == code, done.stderr
        assert done.stderr.count(os.linesep) == 1 and reason in done.stderr
    assert not (tmp_path / "pages").exists()
