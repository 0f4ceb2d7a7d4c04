"""``cxr-edge report``: pages from JSON, in a process that imports neither models nor engines."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import pytest

from cxr_edge.benchmark.report import dump_report

pytestmark = pytest.mark.slow

DRAWN = runpy.run_path(str(Path(__file__).parents[1] / "benchmark/drawn.py"))


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


def test_pages_go_beside_their_files_or_into_a_folder(cli, report_json, tmp_path):
    other = report_json.with_name("other.json")
    other.write_bytes(report_json.read_bytes())
    assert cli("report", report_json, other).returncode == 0
    assert cli("report", report_json, other, "-o", tmp_path / "pages").returncode == 0
    for folder in (report_json.parent, tmp_path / "pages"):
        names = sorted(path.name for path in folder.glob("*.html"))
        assert names == ["measured.html", "other.html"]


def test_a_page_never_replaces_what_is_no_page(in_process, report_json, tmp_path):
    before = report_json.read_bytes()
    other = report_json.with_name("other.json")
    other.write_bytes(before)
    page = report_json.rename(report_json.with_suffix(".html"))
    for arguments, words in (
        ((page,), "the page would replace it"),
        ((other, "-o", other), "the page would replace it"),
        ((page.parent,), "a folder"),
        (("absent.json",), "no such file"),
        ((page, other, "-o", tmp_path / "x.html"), "need a folder"),
    ):
        done = in_process("report", *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert words in done.stderr
    assert page.read_bytes() == other.read_bytes() == before
    assert not (tmp_path / "x.html").exists()


def test_mistakes_are_one_line(cli, report_json, tmp_path):
    other = tmp_path / "there" / report_json.name
    other.parent.mkdir()
    other.write_text('{"schema": "something/1"}')
    damaged = tmp_path / "damaged.json"
    damaged.write_text('{"schema": "cxr-edge.benchmark/2"}')
    for arguments, code, reason in (
        ((other,), 2, "its schema is 'something/1'"),
        ((tmp_path / "none.json",), 2, "none.json"),
        ((damaged,), 5, "is missing"),
        ((report_json, other, "-o", tmp_path / "pages"), 2, "would share a page"),
    ):
        done = cli("report", *arguments)
        assert done.returncode == code, done.stderr
        assert done.stderr.count(os.linesep) == 1 and reason in done.stderr
    assert not (tmp_path / "pages").exists()
