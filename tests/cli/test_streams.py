"""Closed, full and broken streams, and mistakes in the call: one line and the documented code."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cxr_edge import __version__

CXR_EDGE = (sys.executable, "-m", "cxr_edge")


def shell(line: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which "$@" is cxr-edge with these arguments."""
    done = subprocess.run(
        ["bash", "-c", line, "bash", *CXR_EDGE, *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_a_full_disk_behind_stdout_is_exit_code_6(image):
    done = shell('"$@" > /dev/full', "predict", image)
    assert done.returncode == 6
    assert done.stderr == "cxr-edge: stdout: cannot be written: No space left on device\n"


def test_a_reader_that_stops_ends_the_work_silently_as_sigpipe_does(image):
    done = shell('"$@" | head -n 1; echo "${PIPESTATUS[0]}"', "predict", *[image] * 50)
    assert done.stdout.splitlines()[-1] == "141"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("line", "reason"), [('"$@" >&-', "stdout is closed"), ('"$@" - <&-', "stdin is closed")]
)
def test_a_closed_stream_that_is_needed_is_said(line, reason):
    done = shell(line, "predict")
    assert done.returncode == 2
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_closed_stderr_does_not_matter(image):
    assert shell('"$@" 2>&-', "predict", image).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predict", "--fromat", "json", "x"], ("--fromat", "--format", "cxr-edge predict --help")),
        (["predict"], ("PATH", "cxr-edge predict --help")),
        (["predcit"], ("predcit", "cxr-edge --help")),
        (["benchmark", "--rounds", "many"], ("--rounds", "many")),
    ],
)
def test_a_wrong_call_is_one_line(in_process, arguments, words):
    done = in_process(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def test_escape_sequences_in_a_name_stay_text(in_process, tmp_path):
    done = in_process("predict", f"{tmp_path}/a\nb\x1b[31m.png")
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr


def test_the_version_is_shown(in_process):
    done = in_process("--version")
    assert (done.returncode, done.stdout) == (0, f"cxr-edge {__version__}\n")


def test_our_own_heat_maps_in_a_folder_are_no_input(in_process, image, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    os.link(image, folder / "a.png")
    for _ in range(2):
        done = in_process("predict", "--heatmap", folder, folder)
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["a.heatmap.png", "a.png"]
