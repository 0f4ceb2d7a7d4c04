"""Ctrl-C and SIGTERM: exit code 130 or 143 and no traceback, while modules load and later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CODES = {"SIGINT": 130, "SIGTERM": 143}


def interrupt(name: str) -> str:
    """Python code that sends its own process a signal."""
    return f"import os, signal, time; os.kill(os.getpid(), signal.{name})\n"


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call ``cxr-edge`` where modules of ``folder`` come first."""
    return subprocess.run(
        [sys.executable, "-m", "cxr_edge", *arguments],
        capture_output=True, text=True, check=False, timeout=60, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), **environment},
        # Tests that run in the background of a shell inherit an ignored Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


@pytest.mark.parametrize("name", CODES)
def test_while_a_backend_loads(tmp_path: Path, name: str) -> None:
    noise = "import os; os.write(2, b'noise')\n"
    (tmp_path / "slow_backend.py").write_text(noise + interrupt(name) + "time.sleep(20)")
    with zipfile.ZipFile(tmp_path / "any.keras", "w") as archive:  # looks like a model from outside
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", b"")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = run(
        tmp_path, "spec", "any.keras", KERAS_BACKEND="slow_backend", TMPDIR=str(temporary)
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (CODES[name], "")
    assert done.stderr == "cxr-edge: loading slow_backend …\n"
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("module", ["typer", "onnxruntime"])
def test_while_the_command_line_loads(tmp_path: Path, module: str, name: str) -> None:
    (tmp_path / f"{module}.py").write_text(interrupt(name))
    done = run(tmp_path, *(["info"] if module == "typer" else ["predict", "x.png"]))
    assert (done.returncode, done.stdout, done.stderr.strip()) == (CODES[name], "", "")


@pytest.mark.parametrize("name", CODES)
def test_while_a_native_module_loads_that_makes_an_import_error_of_it(
    tmp_path: Path, name: str
) -> None:
    body = "".join(f"    {line}\n" for line in interrupt(name).splitlines())
    (tmp_path / "onnxruntime.py").write_text(
        f"try:\n{body}    time.sleep(1)\nexcept BaseException:\n    raise ImportError('failed')"
    )
    done = run(tmp_path, "predict", "x.png")
    assert (done.returncode, done.stdout, done.stderr) == (CODES[name], "", "")


@pytest.mark.parametrize("name", CODES)
def test_while_an_object_is_deleted_where_python_ignores_exceptions(
    tmp_path: Path, name: str
) -> None:
    body = "".join(f"        {line}\n" for line in interrupt(name).splitlines())
    code = f"class Object:\n    def __del__(self):\n{body}\nObject()\nprint('goes on')\n"
    (tmp_path / "onnxruntime.py").write_text(code)
    done = run(tmp_path, "predict", "x.png")
    assert (done.returncode, done.stdout, done.stderr) == (CODES[name], "", "")


def test_a_signal_that_the_caller_ignores_stays_ignored(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text(
        "".join(map(interrupt, CODES)) + "import no_such_module"
    )
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "import runpy; runpy.run_module('cxr_edge', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "predict", "x.png"],
        capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert "no_such_module" in done.stderr and done.returncode == 1


def test_nothing_slow_is_imported_before_signals_are_handled() -> None:
    code = "import sys; before = {*sys.modules}; import cxr_edge; print({*sys.modules} - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "{'cxr_edge'}\n"
