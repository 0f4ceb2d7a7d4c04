"""``cxr-edge bundle``: what it prints, and its exit codes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cxr_edge.bundle.bundled import REFERENCE
from cxr_edge.bundle.installed import DEFAULT_FOLDER
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.upgrade import LONGEST_WAIT_S
from cxr_edge.cli import bundles

SMALL = Path(__file__).parents[1] / "bundle/data/2.0"


def name_of(folder: Path) -> str:
    return Bundle.open(folder).manifest.sha256[:16]


@pytest.mark.slow
def test_bundles_are_installed_listed_and_rolled_back(cli, tmp_path):
    into = tmp_path / "bundles"
    nothing = cli("bundle", "list", "--into", into)
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "no bundle is installed" in nothing.stderr

    first = cli("bundle", "install", SMALL, "--into", into)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == f"{name_of(SMALL)} is current, and no service uses this folder\n"
    again = cli("bundle", "install", SMALL, "--into", into)
    assert again.returncode == 0 and "is current already" in again.stdout
    second = cli("bundle", "install", REFERENCE, "--into", into, "--wait", "1")
    assert f"'cxr-edge bundle rollback' goes back to {name_of(SMALL)}" in second.stdout

    rows = [line.split() for line in cli("bundle", "list", "--into", into).stdout.splitlines()[1:]]
    assert [row[:2] for row in rows] == [
        [name_of(REFERENCE), "current"],
        [name_of(SMALL), "previous"],
    ]
    assert cli("bundle", "rollback", "--into", into).stdout.startswith(name_of(SMALL))
    assert name_of(into / "current") == name_of(SMALL)


def test_mistakes_are_one_line_with_their_code(in_process, tmp_path):
    into = tmp_path / "bundles"
    damaged = Path(shutil.copytree(SMALL, tmp_path / "damaged"))
    (golden,) = damaged.glob("golden*")
    golden.write_bytes(golden.read_bytes()[:-1])
    file = tmp_path / "file"
    file.touch()
    for code, words, arguments in (
        (5, "no bundle here", ["install", tmp_path / "nowhere", "--into", into]),
        (5, "the file changed", ["install", damaged, "--into", into]),
        (5, "no previous bundle", ["rollback", "--into", into]),
        (6, "cannot be written", ["install", SMALL, "--into", file]),
        (6, "cannot be written", ["install", SMALL, "--into", "/proc/bundles"]),
        (2, "--wait is -1", ["install", SMALL, "--into", into, "--wait", "-1"]),
        (2, "no such file", ["install", SMALL, "--into", into, "--key", tmp_path / "key"]),
    ):
        result = in_process("bundle", *arguments)
        assert (result.returncode, result.stdout) == (code, ""), (arguments, result.stderr)
        assert words.lower() in result.stderr.lower() and result.stderr.count("\n") == 1, (
            result.stderr
        )


def test_the_defaults_are_the_library_s():
    assert str(bundles.DEFAULT_INTO) == DEFAULT_FOLDER
    assert bundles.DEFAULT_WAIT_S == LONGEST_WAIT_S
