"""``cxr-edge predict ARCHIVE --to DIR``: what it prints, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from drawn_archive import draw_archive

from cxr_edge.cli import main


def call(*arguments: object) -> int:
    sys.argv = ["cxr-edge", "predict", *map(str, arguments)]
    with pytest.raises(SystemExit) as exit:
        main()
    return int(str(exit.value.code or 0))


@pytest.mark.slow
def test_a_run_says_what_it_found_and_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = draw_archive(tmp_path / "archive", 4, bad=1)
    results = tmp_path / "results"
    assert call(archive, "--to", results, "-w", 1) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "000/image-00000.jpeg: the JPEG " in captured.err
    assert "3 predicted, " in captured.err
    assert "1 failed, " in captured.err
    assert f"{results} has 4 images, 1 of them failed" in captured.err
    assert "--retry-failed tries what failed again" in captured.err
    assert call(archive, "--to", results, "-w", 1) == 1
    assert "0 predicted, 0 uncertain, 0 failed; 4 were there before, " in capsys.readouterr().err
    (archive / "000/image-00000.jpeg").unlink()
    assert call(archive, "--to", tmp_path / "others", "-w", 1, "-q", "--format", "jsonl") == 0
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "others/part-000001.jsonl").read_text().count("\n") == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--retry-failed"], "--retry-failed needs --to, the folder of the results"),
        (["--ray"], "--ray needs --to"),
        (["--ray-address", "auto"], "--ray-address needs --to"),
        (["--format", "parquet"], "--format parquet needs --to"),
        (["--to", "r", "--out", "x.csv"], "--out cannot be given with --to"),
        (["--to", "r", "--heatmap", "x"], "--heatmap cannot be given with --to"),
        (["--to", "r", "--format", "csv"], "--format csv cannot be written with --to"),
        (["--to", "r", "--ray", "--format", "jsonl"], "--ray writes parquet only"),
        (
            ["--to", "r", "--ray-address", "ray://h:10001"],
            "Ray Data does not run through Ray Client",
        ),
        (["--to", "r", "other"], "2 paths, expected one folder with --to"),
        (["--to", "archive.json"], "archive.json: is no folder; name one for --to"),
    ],
)
def test_what_contradicts_is_refused_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    draw_archive(tmp_path / "archive", 1)
    (tmp_path / "archive.json").write_text("{}")
    code = call("archive", *options)
    errors = capsys.readouterr().err
    assert message in errors
    assert code in (2, 6)
    assert not (tmp_path / "r").exists()


def test_without_the_extras_one_line_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("pyarrow", "ray"):
        monkeypatch.setitem(sys.modules, module, None)
    assert call(tmp_path, "--to", tmp_path / "r") == 3
    assert (
        "pyarrow is not installed; run: pip install 'cxr-edge[archive]'" in capsys.readouterr().err
    )
    monkeypatch.setattr("cxr_edge.extras.is_installed", lambda name: name != "ray")
    assert call(tmp_path, "--to", tmp_path / "r", "--ray") == 3
    assert (
        "ray, which is not installed; run: pip install 'cxr-edge[ray]'" in capsys.readouterr().err
    )


def test_stdin_and_a_file_are_no_archive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("-", "--to", tmp_path / "r") == 2
    assert "stdin, expected one folder with --to" in capsys.readouterr().err
    (tmp_path / "x.png").touch()
    assert call(tmp_path / "x.png", "--to", tmp_path / "r") == 2
    assert "x.png: is no folder, --to needs one" in capsys.readouterr().err
    assert call(tmp_path / "absent", "--to", tmp_path / "r") == 2
    assert "absent: no such folder; check the path" in capsys.readouterr().err


def test_a_ray_that_does_not_start_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ray = pytest.importorskip("ray")

    def fail(*arguments: object, **options: object) -> None:
        raise Exception("The current node timed out during startup.\nMore lines")

    monkeypatch.setattr(ray, "init", fail)
    draw_archive(tmp_path / "a", 1)
    assert call(tmp_path / "a", "--to", tmp_path / "r", "--ray") == 2
    assert (
        "Ray does not start on this machine: The current node timed out during startup.; try again,"
        " or leave --ray out\n" in capsys.readouterr().err
    )


@pytest.mark.parametrize("options", [[], ["--ray"]])
def test_an_archive_without_images_is_refused_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/notes.txt").touch()
    assert call(tmp_path / "a", "--to", tmp_path / "r", *options) == 4
    assert "a: holds no images, but 1 other file; name a folder" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()  # another run may write there as it likes
