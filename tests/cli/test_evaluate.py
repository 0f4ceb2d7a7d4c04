"""``cxr-edge evaluate`` as a stranger calls it: with the bundled reference, on drawn images."""

from __future__ import annotations

import json
import shutil

import pytest

pytestmark = pytest.mark.slow


def test_results_go_to_stdout_progress_to_stderr_and_the_page_is_named(
    in_process, drawn_data, tmp_path
):
    out = tmp_path / "out"
    result = in_process(
        *("evaluate", drawn_data / "test", "-o", out, "--copies", drawn_data / "test"),
        *("--baseline", drawn_data / "train"),
    )
    assert result.returncode == 0, result.stderr
    for words in (
        "95 % intervals: 1000 bootstrap samples of the 16 images",
        "model minus baseline",
        "on shifted images",
        "copies at another resolution: 16 pairs, 0 decided differently",
    ):
        assert words in result.stdout
        assert words not in result.stderr
    assert f"the page is {out / 'evaluation.html'}" in result.stderr
    document = json.loads((out / "evaluation.json").read_bytes())
    assert document["origin"]["command"].startswith("cxr-edge evaluate ")
    assert f"-o {out}" in document["origin"]["command"]
    evaluation = document["parts"]["test"]
    assert result.stdout == (out / "test-report.txt").read_text()
    assert f"accuracy {evaluation['figures']['accuracy']['value']:.4f}" in result.stdout
    for group in evaluation["gallery"]:
        for entry in group["entries"]:
            assert (drawn_data / "test" / entry["file"]).is_file()
            assert (out / entry["picture"]).is_file() and (out / entry["heatmap"]).is_file()
    assert "reference" in (out / "evaluation.html").read_text()


def test_without_a_folder_nothing_is_written_and_a_pattern_names_the_patients(
    cli, drawn_data, tmp_path
):
    result = cli(
        *("evaluate", drawn_data / "test", "--no-shifts"),
        *("--patient-pattern", r"^(?:person|IM-)\d+?(\d)[_-]"),
    )
    assert result.returncode == 0, result.stderr
    assert "of the 10 patients" in result.stdout  # by their last digit
    assert "on shifted" not in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["cwd"]
    assert not list((tmp_path / "cwd").iterdir())


def test_a_series_pattern_that_matches_no_file_is_refused(in_process, drawn_data):
    command = ["evaluate", drawn_data / "test", "--no-shifts", "--series-pattern"]
    result = in_process(*command, r"^(ward)-")
    assert result.returncode == 2
    assert "--series-pattern matches none of the 16 file names, such as IM-" in result.stderr
    result = in_process(*command, r"^(IM)-")
    assert result.returncode == 0, result.stderr
    assert "(none) " in result.stdout  # the other label, 8 images of 16


def test_an_unreadable_image_is_left_out_and_exits_1(cli, drawn_data, tmp_path):
    root = shutil.copytree(drawn_data / "test", tmp_path / "data")
    (root / "NORMAL/broken.jpeg").write_bytes(b"no image")
    result = cli("evaluate", root, "--no-shifts")
    assert result.returncode == 1
    assert "1 unreadable file is not counted" in result.stdout
    assert "images 16 " in result.stdout
    assert "broken.jpeg" in result.stderr


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--copies", "no file has the name of one in"),
        ("--baseline", "expected the folders NORMAL, PNEUMONIA"),
    ],
)
def test_a_wrong_folder_is_one_line(cli, drawn_data, tmp_path, option, words):
    (tmp_path / "other").mkdir()
    out = tmp_path / "out"
    result = cli("evaluate", drawn_data / "test", "-o", out, option, tmp_path / "other")
    assert (result.returncode, result.stdout) == (2, "")
    assert words in result.stderr.splitlines()[-1]
    assert not out.exists()


def test_several_runs_are_a_table_with_their_spread(in_process, run_folder, drawn_data, tmp_path):
    result = in_process(
        *("evaluate", drawn_data / "test", "--no-shifts", "-o", tmp_path / "out"),
        *("-m", run_folder, "-m", run_folder / "model.keras"),
    )
    assert result.returncode == 0, result.stderr
    tail = result.stdout[result.stdout.index("2 models;") :].splitlines()
    assert tail[0].endswith(
        "are not known to be of one recipe (seed v1, 2 epochs; unknown, model.keras)"
    )
    assert tail[1].split() == ["accuracy", "auc", "sensitivity", "specificity", "ece"]
    assert [line.split()[0] for line in tail[2:]] == ["1-run", "2-model.keras", "mean", "standard"]
    assert tail[-1].split()[-5:] == ["0.0000"] * 5
    assert (tmp_path / "out/1-run/evaluation.html").is_file()
    assert (tmp_path / "out/seeds.html").is_file()


def test_what_is_wrong_is_found_before_a_model_loads(in_process, run_folder, drawn_data, tmp_path):
    (tmp_path / "evaluation.json").write_text("{}")
    blocked = tmp_path / "file"
    blocked.write_text("")
    for arguments, code, words in (
        ((drawn_data / "test", "-o", tmp_path), 2, "holds an evaluation"),
        ((drawn_data / "test", "-o", blocked / "out"), 6, f"{blocked} is a file"),
        ((drawn_data, "-m", run_folder), 2, "expected the folders "),
        ((drawn_data / "test", "-m", tmp_path / "absent"), 5, "no such file"),
        ((drawn_data / "test", "--copies", tmp_path / "absent"), 2, "absent: no such folder"),
        ((drawn_data / "test", "--spec", run_folder / "spec.json"), 2, "name it with --model"),
    ):
        done = in_process("evaluate", *arguments)
        assert (done.returncode, done.stdout) == (code, ""), arguments
        assert words in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_missing_package_is_named_before_anything_is_read(in_process, tmp_path, monkeypatch):
    monkeypatch.setattr("cxr_edge.extras.is_installed", lambda module: False)
    done = in_process("evaluate", tmp_path, "--baseline", tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "cxr-edge: cxr-edge evaluate --baseline needs scikit-learn, which is not installed; "
        "run: pip install 'cxr-edge[evaluate]'\n"
    )


def test_a_model_of_no_use_is_named_loudly(in_process, drawn_data, tmp_path):
    """The reference has never seen discs; with the labels exchanged it is worse than guessing."""
    root = shutil.copytree(drawn_data / "test", tmp_path / "data")
    (root / "NORMAL").rename(root / "other")
    (root / "PNEUMONIA").rename(root / "NORMAL")
    (root / "other").rename(root / "PNEUMONIA")
    results = [
        in_process("evaluate", data, "--no-shifts", "-f", "json")
        for data in (root, drawn_data / "test")
    ]
    useless = [
        next(iter(json.loads(result.stdout)["models"].values()))["why_useless"]
        for result in results
    ]
    assert any(useless)
    for reason, result in zip(useless, results, strict=True):
        assert ("WARNING: " in result.stderr) == (reason is not None)
        assert reason is None or reason in result.stderr
