"""Running the command line: in a process of its own as a user does, or in this one."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cxr_edge.cli import main
from cxr_edge.data.phantom import write_phantom

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Call ``cxr-edge`` in an empty folder; the process must never show a traceback."""
    folder = tmp_path / "cwd"
    folder.mkdir(exist_ok=True)

    def call(
        *arguments: str | Path, stdin: bytes = b"", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "cxr_edge", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": "", **environment},
            timeout=300,
            check=False,
        )
        result = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )
        assert "Traceback" not in result.stderr, result.stderr
        return result

    return call


@pytest.fixture
def in_process(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Call ``cxr-edge`` as ``cli`` does, but in this process, where libraries are loaded already.

    For what a process has no part in: TensorFlow takes ten seconds to import.
    """
    folder = tmp_path / "cwd"
    folder.mkdir(exist_ok=True)
    threshold = gc.get_threshold()

    def call(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        given = ["cxr-edge", *map(str, arguments)]
        capfd.readouterr()
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.chdir(folder)
            patch.setattr(sys, "argv", given)
            patch.setattr(gc, "freeze", lambda: None)
            for name, value in environment.items():
                patch.setenv(name, value)
            try:
                main()
            finally:  # main() sets up the garbage collector for a process that ends soon
                gc.set_threshold(*threshold)
        shown = capfd.readouterr()
        code = ended.value.code or 0
        assert isinstance(code, int)
        return subprocess.CompletedProcess(given, code, shown.out, shown.err)

    return call


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom as PNG."""
    path = tmp_path_factory.mktemp("image") / "phantom.png"
    write_phantom(path)
    return path
