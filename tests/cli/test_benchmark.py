"""``cxr-edge benchmark``: its files, its table, and an exit code for what became slower."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from cxr_edge.benchmark import runner
from cxr_edge.benchmark.report import read_report
from cxr_edge.bundle.reader import Bundle
from cxr_edge.export.commit import commit
from cxr_edge.report.benchmark.columns import figure

pytestmark = pytest.mark.slow

REPORT = Path(__file__).parents[2] / "benchmarks/report.json"


@pytest.fixture
def quick(in_process, image):
    """A short benchmark of the reference on one small image, without baselines."""
    given = ("--no-baselines", "--rounds", "2", "--images", image.parent)

    def run(*more: object):
        return in_process("benchmark", *given, *more)

    return run


@pytest.fixture
def two_rows(exported_bundle, tmp_path) -> Path:
    """A bundle of one file that two engines run: each row of a report starts three processes."""
    bundle = Bundle.open(exported_bundle)
    manifest = dataclasses.replace(bundle.manifest, artifacts=(bundle.artifact("onnx-fp32"),))
    commit(tmp_path / "two rows", manifest, {r.file: bundle.read(r) for r in manifest.files})
    return tmp_path / "two rows"


def scaled(path: Path, factor: float) -> str:
    """A report with every time of inference multiplied."""
    document = json.loads(path.read_text())
    for row in document["rows"]:
        for key, value in row["latency"].items():
            if isinstance(value, list):
                row["latency"][key] = [factor * number for number in value]
            elif isinstance(value, float):
                row["latency"][key] = factor * value
    return json.dumps(document)


def test_a_report_is_written_and_held_against_another(quick, two_rows, tmp_path, monkeypatch):
    out = tmp_path / "out"
    first = quick(two_rows, "-o", out, "--label", "this one")
    assert first.returncode == 0, first.stderr
    assert sorted(path.name for path in out.iterdir()) == [
        "report.html",
        "report.json",
        "report.md",
    ]
    head, *rows = first.stdout.splitlines()
    assert head.startswith("row ") and "flips" in head.split() and len(rows) == 2
    document = json.loads((out / "report.json").read_text())
    assert document["schema"] == "cxr-edge.benchmark/3"
    assert document["command"].startswith("cxr-edge benchmark ")
    assert document["label"] == "this one" and "p99 is left out: 6 inferences" in (
        (out / "report.md").read_text()
    )
    for row in document["rows"]:
        (line,) = [line for line in rows if line.startswith(f"{row['name']}  ")]
        assert figure(row["latency"]["p50_ms"]) in line.split()
    assert "no baselines were asked for" in first.stderr

    old = tmp_path / "old.json"
    old.write_text(scaled(out / "report.json", 1 / 20))
    measured = read_report(out / "report.json")
    monkeypatch.setattr(runner, "run_benchmark", lambda *given: measured)
    slower = quick(two_rows, "-o", tmp_path / "again", "--compare", old)
    assert slower.returncode == 1
    assert slower.stdout.count("SLOWER") == 2


def test_the_report_to_compare_with_is_not_replaced(in_process, tmp_path):
    old = tmp_path / "out/report.json"
    old.parent.mkdir()
    old.write_bytes(REPORT.read_bytes())
    done = in_process("benchmark", "-o", old.parent, "--compare", old)
    assert done.returncode == 2
    assert "would replace it" in done.stderr
    assert old.read_bytes() == REPORT.read_bytes()


def test_without_the_extra_only_the_page_is_missing(cli, tmp_path):
    """The benchmark is not measured; altair cannot be imported."""
    blocker = tmp_path / "blocker"
    blocker.mkdir()
    (blocker / "altair.py").write_text("raise ModuleNotFoundError('no altair', name='altair')")
    (blocker / "sitecustomize.py").write_text(
        "import pathlib, sys\n"
        "if 'benchmark' in sys.orig_argv:\n"
        "    from cxr_edge.benchmark import report, runner\n"
        f"    measured = report.read_report(pathlib.Path({str(REPORT)!r}))\n"
        "    runner.run_benchmark = lambda *given: measured\n"
    )
    out = tmp_path / "out"
    done = cli("benchmark", "--no-baselines", "-o", out, PYTHONPATH=str(blocker))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["report.json", "report.md"]
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("no page: ")]
    assert "pip install 'cxr-edge[report]'" in said
    assert f"cxr-edge report {out}/report.json" in said

    refused = cli("report", out / "report.json", PYTHONPATH=str(blocker))
    assert refused.returncode == 3
    assert refused.stderr.count("\n") == 1 and "cxr-edge[report]" in refused.stderr


def test_mistakes_are_one_line_and_nothing_is_measured(
    in_process, quick, exported_bundle, tmp_path
):
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    (tmp_path / "empty").mkdir()
    for arguments, code in (
        (("--compare", tmp_path / "none.json"), 5),
        (("--compare", bad), 5),
        (("--threads", "two"), 2),
        (("--threads", "0"), 2),
        (("--images", tmp_path / "empty"), 2),
        (("--max-slowdown", "0.5"), 2),
        (("--label", "x" * 41), 2),
        (("--label", "two\nlines"), 2),
        (("--stock", tmp_path / "none.onnx"), 2),
        (("--stock", tmp_path), 2),
    ):
        done = quick("-o", tmp_path / "out", *arguments)
        assert (done.returncode, done.stdout) == (code, ""), arguments
        assert not (tmp_path / "out").exists()
    done = in_process("benchmark", tmp_path / "nothing")
    assert done.returncode == 5 and done.stderr.count("\n") == 1
    text = tmp_path / "model.keras"
    text.write_text("no model")
    done = in_process("benchmark", exported_bundle, "--keras", text)
    assert done.returncode == 5 and "model.keras" in done.stderr.splitlines()[-1]
