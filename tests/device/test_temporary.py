"""Temporary folders and files go: at their end, at a process's end, or by the next run's sweep."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cxr_edge.device import temporary
from cxr_edge.device.temporary import (
    delete_process_folder,
    owned_process,
    process_folder,
    redirect_libraries,
    temporary_folder,
    unfinished_file,
)
from cxr_edge.files import write_file

KILLED = """
import os, signal, sys
from pathlib import Path
from cxr_edge.device import temporary
temporary.process_folder().joinpath("keras.json").touch()
with temporary.temporary_folder() as folder, temporary.unfinished_file(Path(sys.argv[1])) as file:
    (folder / "model").mkdir()
    (folder / "model/weights").write_bytes(b"half")
    file.write_bytes(b"half")
    if sys.argv[2] == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A process that has swept nothing yet, and its folder for temporary files."""
    root = tmp_path / "tmp"
    root.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(root))
    monkeypatch.setattr(temporary, "_swept", set())
    monkeypatch.setattr(temporary, "_process_folder", None)
    return root


def start(root: Path, output: Path, how: str) -> subprocess.Popen[str]:
    """A process with two temporary folders and an unfinished file."""
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, output, how],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(root)},
    )  # fmt: skip


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_private_and_goes_also_after_an_error(fresh: Path) -> None:
    with pytest.raises(KeyError), temporary_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.parent == fresh
        (folder / "file").touch()
        raise KeyError
    assert not names(fresh)


def test_what_a_killed_process_left_is_swept_by_the_next(fresh: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    with start(fresh, output, "dies") as process:
        pass
    assert process.returncode == -9
    assert len(names(fresh)) == 2
    assert [name.endswith(".csv") for name in names(tmp_path)] == [True, False]
    write_file(output, b"whole")
    assert names(tmp_path) == ["out.csv", "tmp"]
    with temporary_folder() as folder:
        assert names(fresh) == [folder.name]


def test_what_a_running_process_uses_is_left_alone(fresh: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    with start(fresh, output, "lives") as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        before = names(fresh), names(tmp_path)
        write_file(tmp_path / "other.csv", b"")
        with temporary_folder():
            assert len(names(fresh)) == 3
        assert (names(fresh), [name for name in names(tmp_path) if name != "other.csv"]) == before
        process.stdin.close()
    assert process.returncode == 0
    assert (names(fresh), names(tmp_path)) == ([], ["other.csv", "tmp"])


def test_nothing_else_is_swept(fresh: Path, tmp_path: Path) -> None:
    folders = ("cxr-edge-results", "cxr-edge-0123456789abcdef", "0123456789abcdef.tmp")
    files = (".cxr-edge-mine.csv", ".cxr-edge-0123456789abcdef_old.csv", "a.csv")
    for name in folders:
        (fresh / name).mkdir()
    for name in files:
        (tmp_path / name).touch()
    target = tmp_path / "target"
    target.mkdir()
    (target / "kept").touch()
    link = fresh / "cxr-edge-0123456789abcdef.tmp"
    link.symlink_to(target)
    with temporary_folder():
        pass
    write_file(tmp_path / "out.csv", b"")
    assert names(fresh) == sorted((*folders, link.name))
    assert names(tmp_path) == sorted((*files, "out.csv", "target", "tmp"))
    assert names(target) == ["kept"]


def test_folders_of_another_user_are_left_alone(fresh: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a folder to another user")
    folder = fresh / "cxr-edge-0123456789abcdef.tmp"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    with temporary_folder():
        pass
    assert names(fresh) == [folder.name]


def test_a_folder_that_is_swept_before_it_is_locked_is_made_again(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, swept = temporary._open, []

    def sweep_first(path: Path) -> int:
        descriptor = lock(path)
        if not swept:
            swept.append(path)
            path.rmdir()
        return descriptor

    monkeypatch.setattr(temporary, "_open", sweep_first)
    with temporary_folder() as folder:
        assert folder != swept[0] and folder.is_dir()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of Python 3.12
def test_the_folder_of_a_process_outlives_its_children(fresh: Path) -> None:
    folder = process_folder()
    assert process_folder() == folder
    child = os.fork()
    if child == 0:
        delete_process_folder()
        os._exit(0)
    os.waitpid(child, 0)
    assert folder.is_dir()
    delete_process_folder()
    assert not names(fresh)


def test_libraries_are_redirected_in_a_process_of_our_own_only(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "elsewhere")  # tempfile.tempdir goes before it
    redirect_libraries()
    assert tempfile.gettempdir() == str(fresh)
    with owned_process():
        redirect_libraries()
        assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(process_folder())
        with temporary_folder() as folder:
            assert folder.parent == process_folder()
    assert (tempfile.gettempdir(), os.environ["TMPDIR"]) == (str(fresh), "elsewhere")
    delete_process_folder()


def test_an_unfinished_file_has_the_suffix_and_may_be_renamed(tmp_path: Path) -> None:
    with unfinished_file(tmp_path / "a.keras") as file:
        assert file.suffix == ".keras"
        file.replace(tmp_path / "a.keras")
    assert names(tmp_path) == ["a.keras", "tmp"]
