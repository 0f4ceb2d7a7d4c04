"""The examples do what they say."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_edge.bundle.manifest import FORMAT
from cxr_edge.data.phantom import write_phantom

EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.slow


def run(name: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, EXAMPLES / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    write_phantom(images / "a.png")
    (images / "b.png").write_bytes(b"no image")
    write_phantom(images / "c.jpeg")
    return images


def test_every_example_is_listed_and_without_arguments_says_how_to_call_it():
    scripts = sorted(path.name for path in EXAMPLES.glob("*.py"))
    assert scripts
    listing = (EXAMPLES / "README.md").read_text()
    for script in scripts:
        assert f"[`{script}`]({script})" in listing
        done = run(script)
        assert done.returncode != 0
        assert "usage: " in done.stderr and "Traceback" not in done.stderr


def test_the_cpp_example_is_listed_short_and_reads_the_newest_format():
    """Whoever raises FORMAT looks whether main.cpp needs the new key; tests/system runs it."""
    source = (EXAMPLES / "cpp/main.cpp").read_text()
    assert "[`cpp/`](cpp/README.md)" in (EXAMPLES / "README.md").read_text()
    assert len(source.splitlines()) < 200
    assert f'format != "{FORMAT}"' in source


def test_a_folder_becomes_a_table(folder, tmp_path):
    done = run("predict_folder.py", folder, tmp_path / "scores.csv")
    assert done.returncode == 1, done.stderr
    assert "3 images, 1 of them unreadable" in done.stdout
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["a.png", "b.png", "c.jpeg"]
    assert [bool(row["label"]) for row in rows] == [True, False, True]
    assert "b.png" in rows[1]["problem"]


def test_a_loop_moves_what_it_classified(folder):
    done = run("embed_in_a_loop.py", folder, "--once")
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (folder / "done").iterdir()) == ["a.png", "c.jpeg"]
    assert [p.name for p in (folder / "failed").iterdir()] == ["b.png"]
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.models
def test_your_own_model_takes_five_steps(tmp_path):
    done = run("export_your_own_model.py", tmp_path / "work")
    assert done.returncode == 0, done.stderr
    manifest = (tmp_path / "work/bundle/manifest.json").read_text()
    assert '"onnx-int8"' in manifest, done.stderr
    assert "/disc/" in done.stdout and "/square/" in done.stdout
