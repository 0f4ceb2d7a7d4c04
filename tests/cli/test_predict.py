from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_edge import Classifier
from cxr_edge.bundle.bundled import REFERENCE
from cxr_edge.bundle.reader import Bundle
from cxr_edge.cli.output.formats import Tally
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.results import SCHEMA, Prediction

PREDICTION_KEYS = {
    "ok", "source", "label", "score", "scores", "threshold", "uncertain", "out_of_domain",
    "engine", "artifact", "heatmap",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, image: Path) -> Path:
    """Two good images around a bad one, in names that sort."""
    root = tmp_path / "images"
    (root / "sub").mkdir(parents=True)
    (root / "a.png").write_bytes(image.read_bytes())
    (root / "b.jpeg").write_bytes(b"this is text")
    (root / "sub" / "c.PNG").write_bytes(image.read_bytes())
    (root / "notes.txt").write_text("not an image by its name")
    return root


def test_an_image_gives_a_table_with_the_library_s_prediction(cli, image):
    result = cli("predict", image)
    expected = Classifier.load().predict(image)
    assert result.returncode == 0
    head, row = result.stdout.splitlines()
    threshold = f"{Classifier.load().spec.threshold:.4g}"
    assert head.split() == ["decision", "P(PNEUMONIA),", "threshold", threshold, "file"]
    assert expected.out_of_domain and not expected.uncertain  # it is a drawing
    remark = ["(out", "of", "domain)"]
    assert row.split() == [expected.label, f"{expected.score:.4f}", str(image), *remark]
    assert result.stderr == ""


def test_json_follows_the_documented_schema(cli, image):
    document = json.loads(cli("predict", image, "--format", "json").stdout)
    assert document["schema"] == SCHEMA
    (entry,) = document["results"]
    assert set(entry) == PREDICTION_KEYS
    assert entry["scores"][entry["label"]] >= 0.5
    assert sum(entry["scores"].values()) == pytest.approx(1)
    text = (Path(__file__).parents[2] / "docs/predictions.md").read_text()
    keys = PREDICTION_KEYS | {"error", "message", "sop_instance_uid", "LeftOut", SCHEMA}
    assert all(f"`{key}`" in text for key in keys)


def test_stdin_is_an_image_when_asked_for(cli, image):
    piped = json.loads(cli("predict", "-", "-f", "json", stdin=image.read_bytes()).stdout)
    named = json.loads(cli("predict", image, "-f", "json").stdout)
    assert piped["results"][0]["score"] == named["results"][0]["score"]
    assert piped["results"][0]["source"] is None
    damaged = cli("predict", "-", "-f", "json", stdin=b"this is text")
    (failure,) = json.loads(damaged.stdout)["results"]
    assert failure["source"] is None and damaged.returncode == 4
    assert damaged.stderr == f"cxr-edge: {failure['message']}\n"
    assert failure["message"].startswith("<stdin>: not an image")


def test_one_bad_file_in_a_folder_never_stops_the_rest(cli, folder):
    result = cli("predict", folder)
    assert result.returncode == 1
    rows = result.stdout.splitlines()[1:]
    assert [Path(row.split()[2]).name for row in rows] == ["a.png", "c.PNG"]
    assert "b.jpeg: not an image" in result.stderr
    last = r"cxr-edge: 2 predicted, \d uncertain, \d out of domain, 1 failed, \d+\.\d s"
    assert re.fullmatch(last, result.stderr.splitlines()[-1])


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_failures_stand_among_the_results_in_order(cli, folder, kind):
    text = cli("predict", folder, "-f", kind).stdout
    if kind == "jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
        assert [row["ok"] for row in rows] == [True, False, True]
        assert {row["schema"] for row in rows} == {SCHEMA}
        assert set(rows[1]) == {"ok", "source", "error", "message", "schema"}
    else:
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["error"] for row in rows] == ["", "ImageError", ""]
        total = float(rows[0]["P(PNEUMONIA)"]) + float(rows[0]["P(NORMAL)"])
        assert total == pytest.approx(1)
    assert [Path(row["source"]).name for row in rows] == ["a.png", "b.jpeg", "c.PNG"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"", "empty"), (b"hello", "not an image")],
    ids=["missing", "empty", "text"],
)
def test_the_only_image_being_bad_is_one_line_and_exit_4(cli, tmp_path, content, words):
    path = tmp_path / "bad.jpeg"
    if content is not None:
        path.write_bytes(content)
    result = cli("predict", path)
    assert result.returncode == 4
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "bad.jpeg" in result.stderr
    assert words in result.stderr


def test_a_truncated_jpeg_is_refused(cli, tmp_path):
    whole = cv2.imencode(".jpg", draw_phantom(np.random.default_rng(0)))[1].tobytes()
    path = tmp_path / "cut.jpeg"
    path.write_bytes(whole[: len(whole) // 2])
    result = cli("predict", path, "-f", "json")
    assert result.returncode == 4
    assert "cut" in json.loads(result.stdout)["results"][0]["message"]


def test_the_last_line_counts_only_what_the_model_can_tell():
    def count(out_of_domain, *, has_band):
        tally = Tally(has_band=has_band)
        prediction = Prediction("a", "x", 0.9, {}, 0.5, False, out_of_domain, "e", "f")
        assert len(list(tally.count([prediction]))) == 1
        return str(tally)

    assert count(None, has_band=False) == "1 predicted, 0 failed"
    assert count(True, has_band=False) == "1 predicted, 1 out of domain, 0 failed"
    assert count(None, has_band=True) == "1 predicted, 0 uncertain, 0 failed"


def test_an_empty_folder_says_so(cli, tmp_path):
    (tmp_path / "empty").mkdir()
    result = cli("predict", tmp_path / "empty")
    assert (result.returncode, result.stdout) == (4, "")
    assert "holds no images" in result.stderr


def test_limits_are_settable_and_checked(cli, image):
    assert cli("predict", image, "--max-pixels", 480 * 600).returncode == 0
    over = cli("predict", image, "--max-pixels", 480 * 600 - 1)
    assert over.returncode == 4
    assert "288,000" in over.stderr or "288000" in over.stderr
    assert "--max-pixels" in over.stderr
    assert cli("predict", image, "--max-pixels", 0).returncode == 2


@pytest.mark.parametrize(
    ("old", "state"), [("old\n", "is as it was"), (None, "was not written")], ids=["old", "new"]
)
def test_ctrl_c_says_that_the_file_is_as_it_was(
    image, tmp_path, monkeypatch, in_process, old, state
):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    out = tmp_path / "r.csv"
    if old:
        out.write_text(old)
    monkeypatch.setattr("cxr_edge.cli.predict.command.print_results", interrupt)
    done = in_process("predict", image, "-o", out)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == f"cxr-edge: interrupted; {out} {state}\n"
    assert (out.read_text() if out.exists() else None) == old


def test_ctrl_c_is_one_line_in_any_command(monkeypatch, in_process):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Bundle, "open", interrupt)
    for arguments in (("info",), ("verify",), ("doctor",)):
        done = in_process(*arguments)
        assert (done.returncode, done.stdout) == (130, ""), arguments
        assert done.stderr == "cxr-edge: interrupted\n"


def test_a_file_in_a_folder_that_is_not_there_is_refused_and_the_folder_not_made(
    in_process, image, tmp_path
):
    out = tmp_path / "nodir" / "r.csv"
    expected = "cannot be written: no such folder; make it, or check the path"
    for command in ("predict", "spec", "report"):
        done = in_process(command, image, "-o", out)
        assert (done.returncode, done.stdout) == (6, ""), command
        assert done.stderr == f"cxr-edge: {out}: {expected}\n"
        assert not out.parent.exists()


@pytest.mark.parametrize("engine", ["onnxruntime", "litert", "openvino"])
def test_every_engine_gives_the_same_decision(cli, image, engine):
    result = cli("predict", image, "-e", engine, "-f", "json")
    (entry,) = json.loads(result.stdout)["results"]
    expected = Classifier.load().predict(image)
    assert entry["engine"] == engine
    assert entry["label"] == expected.label
    # Each is within its tolerance of the original model.
    tolerances = {
        (artifact.name, record.engine): record.tolerance
        for artifact in Bundle.open().manifest.artifacts
        for record in artifact.engines
    }
    apart = tolerances[entry["artifact"], engine]
    apart += tolerances[expected.artifact, expected.engine]
    assert entry["score"] == pytest.approx(expected.score, abs=apart)


def test_every_engine_gives_nearly_the_same_score_in_float32(cli, image, exported_bundle):
    scores = []
    for artifact, engine in (
        ("onnx-fp32", "onnxruntime"),
        ("onnx-fp32", "openvino"),
        ("tflite-fp32", "litert"),
        ("ncnn-fp32", "ncnn"),
    ):
        named = ("-b", exported_bundle, "-a", artifact, "-e", engine, "-f", "json")
        (entry,) = json.loads(cli("predict", image, *named).stdout)["results"]
        assert (entry["artifact"], entry["engine"]) == (artifact, engine)
        scores.append(entry["score"])
    assert scores == pytest.approx([scores[0]] * 4, abs=5e-5)


def test_an_unknown_artifact_names_the_nearest_and_exits_2(cli, image):
    result = cli("predict", image, "-a", "onnx-int9")
    assert result.returncode == 2
    assert "did you mean onnx-int8?" in result.stderr


def test_a_changed_byte_in_the_bundle_exits_5_before_any_prediction(cli, image, bundle):
    (path,) = bundle.glob("onnx-int8.*.onnx")  # what is run by default
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    result = cli("predict", image, "-b", bundle)
    assert (result.returncode, result.stdout) == (5, "")
    assert "sha256" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_folder_that_is_no_bundle_exits_5(cli, image, tmp_path):
    assert cli("predict", image, "-b", tmp_path).returncode == 5


def test_a_name_with_newline_and_foreign_bytes_stays_on_one_line(cli, image, tmp_path):
    name = os.fsencode(tmp_path) + b"/new\nline \xff.png"
    Path(os.fsdecode(name)).write_bytes(image.read_bytes())
    result = cli("predict", Path(os.fsdecode(name)), PYTHONIOENCODING="ascii")
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 2
    assert "new\\nline" in result.stdout


def test_foreign_bytes_of_a_name_are_escaped_in_documents_which_stay_unicode(cli, image, tmp_path):
    good, bad = (tmp_path / os.fsdecode(name) for name in (b"g\xff.png", b"b\xff.png"))
    good.write_bytes(image.read_bytes())
    bad.write_bytes(b"text")
    result = cli("predict", good, bad, "--heatmap", tmp_path / "maps", "--format", "jsonl")
    sources = [json.loads(line) for line in result.stdout.splitlines()]
    expected = [str(tmp_path / name) for name in ("g\\udcff.png", "b\\udcff.png")]
    assert [row["source"] for row in sources] == expected
    assert sources[0]["heatmap"] == str(tmp_path / "maps" / "g\\udcff.heatmap.png")
    assert str(expected[1]) in sources[1]["message"]
    table = cli("predict", good, "--format", "csv").stdout
    assert next(csv.DictReader(io.StringIO(table)))["source"] == expected[0]


def test_works_without_home_writable_folder_or_locale(cli, image):
    result = cli("predict", image, HOME="/nonexistent", LC_ALL="C", PYTHONUTF8="0")
    assert result.returncode == 0


def test_a_reader_that_stops_early_is_quiet(image):
    command = f"{sys.executable} -m cxr_edge predict {' '.join([str(image)] * 20)} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("decision")
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["--help", "predict --help"])
def test_help_whose_reader_stops_early_exits_141(command):
    line = f"{sys.executable} -m cxr_edge {command} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["/bin/bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("141\n", "")


def test_ctrl_c_exits_130_with_a_valid_prefix(image):
    command = [sys.executable, "-m", "cxr_edge", "predict", *[str(image)] * 3000, "-f", "jsonl"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Tests that run in the background of a shell inherit an ignored Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        lines = [process.stdout.readline() for _ in range(3)]
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert re.fullmatch(rb"cxr-edge: interrupted; [\d,]+ images were predicted\n", errors)
    complete = (b"".join(lines) + rest).split(b"\n")[:-1]
    assert 3 <= len(complete) < 3000
    assert all(json.loads(line)["ok"] for line in complete)


@pytest.mark.parametrize("engine", ["onnxruntime", "litert", "openvino", "ncnn"])
def test_predict_imports_no_training_stack_and_writes_and_connects_nothing(
    tmp_path, image, engine, exported_bundle
):
    named = ["-b", str(exported_bundle)] if engine == "ncnn" else []  # the reference has no file
    script = (
        "import sys, os\n"
        "opened = []\n"
        "def watch(event, args):\n"
        "    writing = os.O_WRONLY | os.O_RDWR\n"
        "    if event == 'open' and isinstance(args[2], int) and args[2] & writing:\n"
        "        opened.append(args[0])\n"
        "    if event.startswith('socket.'):\n"
        "        opened.append(event)\n"
        "sys.addaudithook(watch)\n"
        f"sys.argv = ['cxr-edge', 'predict', {str(image)!r}, '-e', {engine!r}, *{named}]\n"
        "from cxr_edge.cli import main\n"
        "try:\n    main()\n"
        "finally:\n"
        "    heavy = {'tensorflow', 'keras', 'sklearn', 'matplotlib', 'pydantic'}\n"
        "    print(sorted(heavy & set(sys.modules)), opened, file=sys.stderr)\n"
    )
    home, cwd = tmp_path / "home", tmp_path / "cwd"
    home.mkdir()
    cwd.mkdir()
    environment = {**os.environ, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=cwd, env=environment, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == "[] []"  # LiteRT says above that it is there
    assert list(home.rglob("*")) == list(cwd.rglob("*")) == []


def test_the_reference_is_what_predict_uses_by_default(cli, image):
    ours = cli("predict", image, "-f", "json").stdout
    named = cli("predict", image, "-f", "json", "-b", REFERENCE).stdout
    assert ours == named


def test_heat_maps_are_drawn_where_asked_and_named_in_the_results(
    cli, folder, exported_bundle, tmp_path
):
    out = tmp_path / "maps"
    result = cli("predict", folder, "-b", exported_bundle, "--heatmap", out, "-f", "json")
    assert result.returncode == 1  # of the bad file among them
    assert "shows what moved the score, not where a disease is" in result.stderr.splitlines()[0]
    entries = json.loads(result.stdout)["results"]
    assert [entry["ok"] for entry in entries] == [True, False, True]
    assert [entry["heatmap"] for entry in entries if entry["ok"]] == [
        str(out / "a.heatmap.png"),
        str(out / "c.heatmap.png"),
    ]
    assert {entry["artifact"] for entry in entries if entry["ok"]} == {"onnx-explain"}
    for entry in (entries[0], entries[2]):
        picture = cv2.imread(entry["heatmap"])
        assert picture.shape[0] > 480 and picture.shape[1:] == (600, 3)  # the caption is below
    assert sorted(path.name for path in out.iterdir()) == ["a.heatmap.png", "c.heatmap.png"]
    library = Classifier.load(exported_bundle, heatmap=True).explain(folder / "a.png").prediction
    assert entries[0]["score"] == library.score
    (out / "c.heatmap.png").rename(out / "C.HEATMAP.PNG")  # as some file systems store it
    again = cli("predict", out)
    assert (again.returncode, again.stdout) == (4, "") and "holds no images" in again.stderr


def test_a_file_that_explains_nothing_does_not_run_and_the_one_that_does_is_named(
    cli, image, exported_bundle, tmp_path
):
    out = tmp_path / "maps"
    named = ("-b", exported_bundle, "-a", "onnx-int8", "--heatmap", out)
    result = cli("predict", image, *named)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "cxr-edge: onnx-int8 has no heat map; onnx-explain has one\n"
    assert not out.exists()


def test_several_workers_write_the_same_in_the_same_order(cli, folder, exported_bundle):
    given = ("predict", *[folder] * 5, "-b", exported_bundle, "-f", "csv")
    one, three = (cli(*given, "-w", number) for number in ("1", "3"))
    assert one.returncode == three.returncode == 1  # of the bad file among them
    assert one.stdout == three.stdout and one.stdout.count("\n") == 16


def test_progress_is_shown_on_a_terminal_while_results_go_to_a_file(image, tmp_path):
    names = []
    for number in range(30):
        (tmp_path / f"{number}.png").write_bytes(image.read_bytes())
        names.append(tmp_path / f"{number}.png")
    main, terminal = pty.openpty()
    with (tmp_path / "results").open("wb") as results:
        process = subprocess.Popen(
            [sys.executable, "-m", "cxr_edge", "predict", *names], stdout=results, stderr=terminal
        )
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal's other end is closed
            while part := os.read(main, 4096):
                shown += part
    assert process.wait(60) == 0
    os.close(main)
    assert re.search(rb"classifying, \d+/s  \[#+\]  30/30", shown)
    assert (tmp_path / "results").read_text().count("\n") == 31
