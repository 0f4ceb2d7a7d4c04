"""Ctrl-C while modules load: exit code 130, and no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

INTERRUPT = "import os, signal, time; os.write(2, b'noise'); os.kill(os.getpid(), signal.SIGINT)\n"


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call ``cxr-edge`` where modules of ``folder`` come first."""
    return subprocess.run(
        [sys.executable, "-m", "cxr_edge", *arguments],
        capture_output=True, text=True, check=False, timeout=60, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), **environment},
        # Tests that run in the background of a shell inherit an ignored Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def test_while_a_backend_loads(tmp_path: Path) -> None:
    (tmp_path / "slow_backend.py").write_text(INTERRUPT + "time.sleep(20)")
    with zipfile.ZipFile(tmp_path / "any.keras", "w") as archive:  # looks like a model from outside
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", b"")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = run(
        tmp_path, "spec", "any.keras", KERAS_BACKEND="slow_backend", TMPDIR=str(temporary)
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "cxr-edge: loading slow_backend …\n"
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("module", ["typer", "cv2"])
def test_while_the_command_line_loads(tmp_path: Path, module: str) -> None:
    (tmp_path / f"{module}.py").write_text(INTERRUPT.replace("os.write(2, b'noise'); ", ""))
    done = run(tmp_path, "predict", "x.png")
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "")
