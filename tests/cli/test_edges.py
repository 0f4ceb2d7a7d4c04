"""Odd accounts, streams, folders and names: an answer, or one line and the documented code."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import pty
import re
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from cxr_edge.bundle.reader import Bundle
from cxr_edge.cli.output.streams import MOST_CHARACTERS, shortened
from cxr_edge.device.machine import this_machine
from cxr_edge.device.profile import profile_path
from cxr_edge.engines import installed_engines

CXR_EDGE = (sys.executable, "-m", "cxr_edge")
NOBODY = 65534
ROOT = Path(__file__).parents[2]


def run(
    *arguments: object,
    line: str = '"$@"',
    user: int | None = None,
    python: str = sys.executable,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which "$@" is cxr-edge, in an empty environment."""
    done = subprocess.run(
        ["/bin/bash", "-c", line, "bash", python, "-m", "cxr_edge", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=60, env=environment, user=user,
        errors="surrogateescape", group=user, extra_groups=None if user is None else [],
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    assert all(len(text) <= MOST_CHARACTERS for text in done.stderr.splitlines())
    return done


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may read, unlike ``tmp_path``."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def as_nobody():
    """Calls ``run`` as user 65534."""
    if os.geteuid() != 0:
        pytest.skip("only root may run a process as another user")
    # Where this Python lies in a folder of root's, the system's runs the same packages.
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    system = shutil.which(version, path="/usr/bin:/usr/local/bin") or sys.executable
    for python, environment in (
        (sys.executable, {}),
        (system, {"PYTHONPATH": os.pathsep.join([str(ROOT), *site.getsitepackages(), *sys.path])}),
    ):
        call = functools.partial(run, user=NOBODY, python=python, **environment)
        with contextlib.suppress(OSError):
            if call("--version").returncode == 0:
                return call
    pytest.skip(f"user {NOBODY} can run neither {sys.executable} nor {system}")


def test_a_service_account_predicts_in_an_empty_environment(as_nobody, image, public):
    copy = shutil.copy(image, public / "a.png")
    for environment in ({}, {"HOME": "/root"}, {"HOME": "/nonexistent"}):
        done = as_nobody("predict", copy, **environment)
        assert (done.returncode, done.stderr) == (0, ""), environment
        assert done.stdout.startswith("decision")
    closed = as_nobody("predict", copy, HOME="/root", line='"$@" >&-')
    assert (closed.returncode, closed.stderr.count("\n")) == (2, 1)


def test_what_a_service_account_may_not_read_or_write_is_one_line(as_nobody, image, public):
    closed, out = public / "closed", public / "out"
    closed.mkdir(0o700)
    out.mkdir(0o755)
    inside, copy = (shutil.copy(image, folder / "a.png") for folder in (closed, public))
    for arguments, code in (
        (("predict", inside), 4),
        (("predict", closed), 2),
        (("predict", copy, "--profile", closed / "p.json"), 5),
        (("predict", copy, "-b", closed), 5),
        (("predict", copy, "-o", out / "r.csv"), 6),
    ):
        done = as_nobody(*arguments)
        assert done.returncode == code, done.stderr
        assert done.stderr.count("\n") == 1 and done.stdout == ""
        assert "denied" in done.stderr


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"format": 1}', b"[" * 60_000])
def test_a_damaged_profile_never_stops_a_prediction(image, tmp_path, content, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = profile_path(Bundle.open().manifest, this_machine())
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    done = run("predict", image, XDG_CONFIG_HOME=str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert "profile is ignored" in done.stderr and "cxr-edge tune" in done.stderr


def test_a_profile_of_another_user_is_ignored(image, tmp_path, monkeypatch):
    if os.geteuid() != 0:
        pytest.skip("only root may give a file to another user")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = profile_path(Bundle.open().manifest, this_machine())
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{}")
    os.chown(path, NOBODY, NOBODY)
    done = run("predict", image, XDG_CONFIG_HOME=str(tmp_path))
    assert done.returncode == 0
    assert f"belongs to user {NOBODY}" in done.stderr and done.stderr.count("\n") == 1


def test_a_config_folder_that_is_a_file_does_not_matter(image, tmp_path):
    (tmp_path / "cxr-edge").write_text("")
    done = run("predict", image, XDG_CONFIG_HOME=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ('"$@" 2>/dev/full', 0, ""),
        ('"$@" nope.png 2>/dev/full', 1, ""),
        ('"$@" >&- 2>&-', 2, ""),
        ('"$@" <&-', 0, ""),
        ('"$@" -o /dev/full', 6, "is no regular file"),
        ('mkdir gone && cd gone && rmdir ../gone && "$@"', 0, ""),
        ('mkdir gone && cd gone && rmdir ../gone && "$@" --heatmap out', 2, "working folder"),
        ('mkdir gone && cd gone && rmdir ../gone && "$@" -o out', 6, "cannot be written"),
    ],
)
def test_streams_and_folders_that_are_gone(image, tmp_path, monkeypatch, line, code, words):
    monkeypatch.chdir(tmp_path)
    done = run("predict", image, line=line, PATH="/bin:/usr/bin")
    assert done.returncode == code, done.stderr
    assert words in done.stderr


def test_closed_descriptors_are_not_given_to_files(image, tmp_path, exported_bundle):
    out = tmp_path / "r.jsonl"
    given = ("-b", exported_bundle, "-e", "litert", "-f", "jsonl", "-o", out)
    done = run("predict", image, *given, line='"$@" <&- >&- 2>&-')
    assert done.returncode == 0
    assert json.loads(out.read_text())["ok"]


def test_names_of_any_bytes_are_answered_in_any_locale(image, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in (b"caf\xc3\xa9.png", b"latin\xe9.png", b"new\nline.png"):
        shutil.copy(image, os.fsencode(folder) + b"/" + name)
    for environment in ({"LANG": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {"LANG": "C.UTF-8"}):
        done = run("predict", folder, "-q", **environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) == 4
    done = run("predict", folder, "-o", tmp_path / "r.csv", "-f", "csv", "-q", LC_ALL="C")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_long_name_is_one_short_line_and_spoils_no_other(in_process, image, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(image, folder / f"{'x' * 247}.png")
    shutil.copy(image, folder / "a.png")
    alone = in_process("predict", "y" * 300)
    assert (alone.returncode, alone.stderr.count("\n")) == (4, 1)
    assert "name too long" in alone.stderr and len(alone.stderr) <= MOST_CHARACTERS + 1
    done = in_process("predict", folder, "--heatmap", tmp_path / "maps", "-f", "csv")
    assert done.returncode == 1
    assert "OutputError" in done.stdout and "1 predicted" in done.stderr.splitlines()[-1]
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["a.heatmap.png"]


def test_a_line_loses_its_middle_only_where_it_is_too_long():
    assert shortened("x" * MOST_CHARACTERS) == "x" * MOST_CHARACTERS
    assert len(shortened("a" + "x" * 1000 + "z")) <= MOST_CHARACTERS
    assert shortened("a" + "x" * 1000 + "z")[0::298] == "az"


# --- what is said, and what is not


@pytest.fixture
def noisy(tmp_path):
    """A folder with a PNG that libpng complains about: it has two palettes."""
    folder = tmp_path / "noisy"
    folder.mkdir()
    picture = np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)
    buffer = io.BytesIO()
    Pillow.fromarray(picture).quantize(16).save(buffer, "PNG")
    data = buffer.getvalue()
    start = data.index(b"PLTE") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    (folder / "a.png").write_bytes(data[:end] + data[start:end] + data[end:])
    return folder


@pytest.mark.parametrize("engine", ["onnxruntime", "litert"])
def test_libraries_write_nothing_to_stderr(noisy, engine):
    if engine not in installed_engines():
        pytest.skip(f"{engine} is not installed")
    loud = run("predict", noisy, "-e", engine, CXR_EDGE_NATIVE_STDERR="1")
    assert "libpng" in loud.stderr
    done = run("predict", noisy, "-e", engine)
    assert all(text.startswith("cxr-edge: ") for text in done.stderr.splitlines())
    assert done.stdout == loud.stdout


def test_real_odd_images_are_reported_by_us_alone(data_root, tmp_path):
    names = (
        "turbo/02517f389ed77de9.jpg",
        "turbo/1803ab3013fed611.jpg",
        "imagetestsuite/dad7098fb97441b2.png",
        "imagetestsuite/7696300798bb8a88.png",
        "pillow/aba934467a59cce6.bmp",
    )
    done = run("predict", *(data_root / "odd_images" / name for name in names))
    assert done.returncode == 1
    assert all(text.startswith("cxr-edge: ") for text in done.stderr.splitlines())


def test_what_a_folder_holds_besides_images_is_counted(in_process, image, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "IM000001", "1.2.840.10008.5"):
        shutil.copy(image, folder / name)
    (folder / "README").write_text("text")
    (folder / "notes.txt").write_text("text")
    os.mkfifo(folder / "pipe")
    done = in_process("predict", folder)
    assert done.returncode == 0
    counted, last = done.stderr.splitlines()
    assert counted == f"cxr-edge: {folder}: 3 other files not read, no images by name or content"
    assert last.startswith("cxr-edge: 3 predicted")
    assert in_process("predict", folder, "--quiet").stderr == ""
    only = tmp_path / "only"
    only.mkdir()
    (only / "a.gif").write_bytes(b"GIF89a")
    done = in_process("predict", only)
    assert done.returncode == 4 and "holds no images, but 1 other file" in done.stderr


def test_results_go_to_a_file_as_a_whole(in_process, image, tmp_path):
    out = tmp_path / "r.json"
    out.write_text("old")
    done = in_process("predict", image, image, "-o", out, "-f", "json")
    assert (done.returncode, done.stdout) == (0, "")
    assert len(json.loads(out.read_text())["results"]) == 2
    failed = in_process("predict", image, "-o", out, "-b", tmp_path / "nowhere")
    assert failed.returncode == 5 and len(json.loads(out.read_text())["results"]) == 2
    for target in (image, Path(os.path.relpath(image, tmp_path / "cwd"))):
        before = image.read_bytes()
        done = in_process("predict", image, "-o", target)
        assert done.returncode == 2 and "would replace" in done.stderr
        assert image.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cwd", "r.json"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        *(
            ([*command.split(), ""], "an empty PATH; is a variable not set?")
            for command in (
                "predict",
                "spec",
                "export",
                "data check",
                "train",
                "evaluate",
                "report",
            )
        ),
        (["predict", "x", "-o", ""], "an empty value after -o"),
        (["predict", "x", "--bundle="], "an empty value after --bundle"),
        (["train", "absent", "--about-data", ""], "no such folder"),
        (["version"], "did you mean --version?"),
        (["help"], "did you mean --help?"),
        (["verfy"], "did you mean verify?"),
        (["x" * 5000], "no command is called"),
        (["completion", "tcsh"], "'bash', 'zsh', 'fish'"),
    ],
)
def test_a_wrong_call_names_what_was_meant(in_process, arguments, words):
    done = in_process(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr and len(done.stderr) <= MOST_CHARACTERS + 1


def test_a_folder_nested_too_deep_is_one_line(in_process, image):
    done = in_process("predict", image, "-q", "--heatmap", "a/" * 1500)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "nested too deep" in done.stderr


def test_a_model_given_as_bundle_is_said_to_be_one(in_process, image, tmp_path):
    run_folder, model = tmp_path / "run", tmp_path / "m.keras"
    run_folder.mkdir()
    for path in (run_folder / "model.keras", model, tmp_path / "m.onnx"):
        path.write_bytes(b"x")
    for path, words in (
        (run_folder, f"the run folder of a training; run 'cxr-edge export {run_folder} -o bundle'"),
        (model, f"a Keras model; run 'cxr-edge export {model} -o bundle'"),
        (tmp_path / "m.onnx", f"one model file; name its folder, {tmp_path}"),
        (tmp_path / "no", "no such folder; check the path"),
        (tmp_path, "manifest.json is missing"),
    ):
        done = in_process("predict", image, "-b", path)
        assert (done.returncode, done.stderr.count("\n")) == (5, 1)
        assert words in done.stderr


# --- terminals and shells


def shown_on_a_terminal(*arguments: object, **environment: str) -> bytes:
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        [*CXR_EDGE, *map(str, arguments)], stdout=terminal, stderr=terminal, stdin=terminal,
        env={"TERM": "xterm", **environment},
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(main, 4096):
            shown += part
    except OSError:  # the terminal's other end is closed
        pass
    os.close(main)
    assert process.wait(60) in (0, 1)
    return shown


def test_without_colours_nothing_but_text_reaches_a_terminal(image, tmp_path):
    out = tmp_path / "r.csv"
    assert b"\x1b[" in shown_on_a_terminal("--help")
    calls = (["--help"], ["predict", image, image], ["predict", image, image, "-o", out], ["info"])
    for arguments in calls:
        shown = shown_on_a_terminal(*arguments, NO_COLOR="1", COLUMNS="0")
        assert shown and b"\x1b" not in shown
    assert re.search(rb"classifying, \d+/s  \[#+\]  2/2", shown_on_a_terminal(*calls[2]))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_names_commands_options_and_choices(in_process, shell, tmp_path):
    done = in_process("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("predict", "verify", "completion", "heatmap", "jsonl", "check"):
        assert re.search(rf"\b{word}\b", done.stdout), word
    if program := shutil.which(shell):
        script = tmp_path / "script"
        script.write_text(done.stdout)
        subprocess.run([program, "-n", script], check=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pr"], ["predict"]),
        (["predict", "--he"], ["--heatmap", "--help"]),
        (["predict", "-f", "j"], ["json", "jsonl"]),
        (["data", ""], ["check"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["predict", "x"], []),
    ],
)
def test_bash_completes(in_process, tmp_path, words, expected):
    script = tmp_path / "script"
    script.write_text(in_process("completion", "bash").stdout)
    line = (
        'source "$0"; COMP_WORDS=(cxr-edge "$@"); COMP_CWORD=$#; _cxr_edge; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["/bin/bash", "-c", line, script, *words], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == expected
