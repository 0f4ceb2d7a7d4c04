"""``cxr-edge evaluate`` as a stranger calls it: with the bundled reference, on drawn images."""

from __future__ import annotations

import json
import shutil

import pytest

pytestmark = pytest.mark.slow


def test_results_go_to_stdout_progress_to_stderr_and_the_page_is_named(cli, drawn_data, tmp_path):
    out = tmp_path / "out"
    result = cli(
        *("evaluate", drawn_data / "test", "-o", out, "--copies", drawn_data / "test"),
        *("--baseline", drawn_data / "train"),
    )
    assert result.returncode == 0, result.stderr
    for words in (
        "95 % intervals: 1000 bootstrap samples of the 16 patients",
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


def test_an_unreadable_image_is_left_out_and_exits_1(cli, drawn_data, tmp_path):
    root = shutil.copytree(drawn_data / "test", tmp_path / "data")
    (root / "NORMAL/broken.jpeg").write_bytes(b"no image")
    result = cli("evaluate", root, "--no-shifts")
    assert result.returncode == 1
    assert "1 unreadable files are not counted" in result.stdout
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
    tail = result.stdout[result.stdout.index("2 models\n") :].splitlines()
    assert tail[1].split() == ["accuracy", "auc", "sensitivity", "specificity", "ece"]
    assert [line.split()[0] for line in tail[2:]] == ["1-run", "2-model.keras", "mean", "standard"]
    assert tail[-1].split()[-5:] == ["0.0000"] * 5
    assert (tmp_path / "out/1-run/evaluation.html").is_file()
    assert (tmp_path / "out/seeds.html").is_file()
