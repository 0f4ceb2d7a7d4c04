"""Closed, full and broken streams, and mistakes in the call: one line and the documented code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_edge import __version__
from cxr_edge.cli import main

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
    assert (
        done.stderr
        == "cxr-edge: stdout: cannot be written: No space left on device; free some space\n"
    )


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


# --- every command, with each stream in each state

OPEN = ("open", "open", "open")
STATES = (
    *(("open", "closed", "open"), ("open", "open", "closed"), ("closed", "closed", "closed")),
    *(("open", "full", "open"), ("open", "open", "full")),
    *(("open", "broken", "open"), ("closed", "open", "broken")),
)
"""Of stdin, stdout and stderr; see stream_states.py."""

CALLS = (
    *(("--version",), ("--help",), ("data",), ("unknown",)),
    *(("completion", "bash"), ("info",), ("doctor",), ("verify",)),
    *(("predict", "IMAGE", "nowhere"), ("predict", "IMAGE", "--out=results.csv")),
    *(("evaluate", "nowhere"), ("export", "nowhere"), ("spec", "nowhere"), ("train", "nowhere")),
    *(("tune", "nowhere"), ("benchmark", "nowhere"), ("report", "nowhere")),
)


def states_for(call):
    """A few for what takes long, and all for one of the calls that only fail."""
    if call[0] == "verify":
        return STATES[3:5]
    return STATES[1:5:3] if call[-1] == "nowhere" and call[0] not in ("predict", "tune") else STATES


@pytest.mark.slow
def test_every_command_answers_or_says_in_one_line_why_not(image, tmp_path):
    calls = [[str(image) if word == "IMAGE" else word for word in call] for call in CALLS]
    cases = [(states, call) for call in calls for states in (OPEN, *states_for(call))]
    script = Path(__file__).with_name("stream_states.py")
    done = subprocess.run(
        [sys.executable, script, json.dumps(cases)],
        capture_output=True, text=True, cwd=tmp_path, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = iter(json.loads(done.stdout))
    for call in calls:
        code, out, err = next(results)
        assert code >= 0 and "Traceback" not in err, call
        writes_to_file = any(word.startswith(("-o", "--out")) for word in call)
        for states in states_for(call):
            ended, shown, told = next(results)
            case = (call, states, told)
            assert "Traceback" not in told and "Exception ignored" not in told, case
            if states[1] == "closed" and not writes_to_file:
                assert ended == 2, case
                assert states[2] == "closed" or told == CLOSED, case
            elif states[1] == "full" and out:
                assert ended == 6, case
                assert states[2] == "full" or told.splitlines()[-1] == FULL, case
            elif states[1] == "broken" and out:
                assert ended == 141, case
            else:
                assert ended == code, case
                assert shown == ("" if states[1] == "closed" else out), case
                assert states[2] != "open" or told.count("\n") == err.count("\n"), case


CLOSED = "cxr-edge: stdout is closed; redirect it, for example to /dev/null\n"
FULL = "cxr-edge: stdout: cannot be written: No space left on device; free some space"


def test_a_program_may_call_the_command_with_streams_of_its_own(image, monkeypatch):
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "argv", ["cxr-edge", "predict", str(image), "nowhere"])
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        main()
    assert ended.value.code == 1
    assert out.getvalue().startswith("decision") and "nowhere" in err.getvalue()


WITHOUT_STREAMS = """
import sys
sys.stdin = sys.stdout = sys.stderr = None
from cxr_edge import Classifier, tune_bundle, verify_bundle
assert all(verdict.outcome == "proven" for verdict in verify_bundle())
results = list(Classifier.load().predict_many([sys.argv[1], "nowhere"], workers=2))
assert [hasattr(result, "label") for result in results] == [True, False]
assert tune_bundle(threads=1, rounds=1, profile=sys.argv[2]).chosen
from cxr_edge.extras import quiet_stderr
with quiet_stderr():
    pass
"""


@pytest.mark.slow
def test_a_program_without_streams_uses_the_library(image, tmp_path):
    """Neither objects of Python nor descriptors, whose numbers the next opened files get."""
    script = [sys.executable, "-c", WITHOUT_STREAMS, str(image), str(tmp_path / "p.json")]
    closed = ["bash", "-c", '"$@" <&- >&- 2>&-', "bash", *script]
    done = subprocess.run(closed, timeout=120, check=False)
    assert done.returncode == 0
