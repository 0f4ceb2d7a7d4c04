"""Tables: coloured on a terminal, plain elsewhere, and never cut."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_edge.cli.output.formats import prediction_columns, prediction_rows
from cxr_edge.cli.output.tables import Cell, Column, Styled, print_table, stream_table
from cxr_edge.results import Failure, Prediction
from cxr_edge.spec import SEED_SPEC

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?3[1-7]m")
LONG_NAME = "ward 3/" + "very long name of a file " * 8 + ".png"

Terminal = Callable[..., str]


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """Run ``python ARGUMENTS`` with stdout and stderr on a terminal, and return what it showed."""

    def run(*arguments: str | Path, columns: int = 100, **environment: str) -> str:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in OVERRIDES}
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            cwd=tmp_path,
            env={**kept, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment},
        )
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the process has closed its end
            while part := os.read(ours, 4096):
                shown += part
        os.close(ours)
        process.wait(60)
        text = shown.decode().replace("\r\n", "\n")
        assert "Traceback" not in text, text
        return text

    return run


OVERRIDES = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"}

PREDICTION = Prediction("a.png", "NORMAL", 0.25, {}, 0.5, False, None, "onnxruntime", "onnx-int8")
DRAW_REMARKS = f"""
import dataclasses
from cxr_edge.cli.output.formats import print_results
from cxr_edge.results import Prediction
from cxr_edge.spec import SEED_SPEC
plain = {PREDICTION!r}
changes = dict(uncertain=True), dict(out_of_domain=True), dict(source={LONG_NAME!r})
print_results([plain, *(dataclasses.replace(plain, **c) for c in changes)], SEED_SPEC, "table")
"""


def test_a_terminal_shows_uncertain_and_out_of_domain_in_different_colours(
    terminal: Terminal,
) -> None:
    heading, plain, uncertain, outside, _ = terminal("-c", DRAW_REMARKS, columns=300).splitlines()
    assert ESCAPES.sub("", heading).split() == [
        *("decision", "P(PNEUMONIA),", "threshold", "0.5", "file"),
    ]
    assert not COLOUR.search(plain)
    assert "\x1b[1;33m(uncertain)" in uncertain
    assert "\x1b[1;31m(out of domain)" in outside


@pytest.mark.parametrize(
    "environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"]
)
def test_colours_can_be_refused(terminal: Terminal, environment: dict[str, str]) -> None:
    text = terminal("-c", DRAW_REMARKS, columns=300, **environment)
    assert not COLOUR.search(text)
    assert "(uncertain)" in text and "(out of domain)" in text
    assert "\x1b" not in text  # neither bold nor faint


@pytest.mark.parametrize("columns", [20, 60, 300])
def test_a_long_file_name_is_whole_in_a_narrow_terminal(terminal: Terminal, columns: int) -> None:
    text = ESCAPES.sub("", terminal("-c", DRAW_REMARKS, columns=columns))
    assert LONG_NAME in text  # the terminal breaks the line, not the program
    assert len(text.splitlines()) == 5


def test_without_a_terminal_a_table_is_plain_columns_and_rich_is_not_imported() -> None:
    script = f"import sys{DRAW_REMARKS}\nprint('rich' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "decision   P(PNEUMONIA), threshold 0.5  file",
        "NORMAL                          0.2500  a.png",
        "NORMAL                          0.2500  a.png  (uncertain)",
        "NORMAL                          0.2500  a.png  (out of domain)",
        f"NORMAL                          0.2500  {LONG_NAME}",
        "False",
    ]


@pytest.mark.parametrize("format", ["table", "json", "jsonl", "csv"])
def test_predict_into_a_pipe_imports_no_rich(image: Path, format: str) -> None:
    script = (
        "import sys\n"
        "from cxr_edge.cli import main\n"
        f"sys.argv = ['cxr-edge', 'predict', {str(image)!r}, '--format', {format!r}]\n"
        "try:\n    main()\n"
        "finally:\n    print('rich' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout and done.stderr == "False\n"


def test_predict_colours_an_image_out_of_domain_on_a_terminal(
    terminal: Terminal, tmp_path: Path
) -> None:
    assert cv2.imwrite(str(tmp_path / "blank.png"), np.zeros((200, 200), np.uint8))
    text = terminal("-m", "cxr_edge", "predict", "blank.png")
    assert "\x1b[1;31m(out of domain)" in text
    assert "blank.png" in text.splitlines()[1]


def test_verify_shows_proven_rows_in_green_on_a_terminal(terminal: Terminal) -> None:
    text = terminal("-m", "cxr_edge", "verify")
    assert re.search(r"onnx-int8 .*\x1b\[32mproven", text)


@pytest.mark.parametrize("columns", [40, 200])
def test_info_on_a_terminal_cuts_nothing(terminal: Terminal, columns: int) -> None:
    text = ESCAPES.sub("", terminal("-m", "cxr_edge", "info", columns=columns))
    assert "…" not in text and "..." not in text
    assert max(map(len, text.splitlines())) <= columns
    plain = subprocess.run(
        [sys.executable, "-m", "cxr_edge", "info"], capture_output=True, text=True, check=True
    ).stdout
    allowed = set(" \n─")
    assert sorted(set(text) - allowed) == sorted(set(plain) - allowed)
    for character in sorted(set(plain) - allowed):
        assert text.count(character) == plain.count(character)


def test_columns_are_as_wide_as_their_longest_cell(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [Column("name"), Column("ms", align="right"), Column("note", 8)]
    rows: list[list[Cell]] = [["a", "1.5", ""], ["longer", Styled("12.25", "bad"), "fast"]]
    print_table(columns, rows)
    assert capsys.readouterr().out == (
        "name       ms  note\n"
        "a         1.5\n"
        "longer  12.25  fast\n"
    )  # fmt: skip


def test_a_table_without_titles_has_no_heading(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([Column(), Column()], [["model", "x"], ["input", "y"]])
    assert capsys.readouterr().out == "model  x\ninput  y\n"


def test_a_table_without_rows(capsys: pytest.CaptureFixture[str]) -> None:
    stream_table([Column("name")], [])
    assert capsys.readouterr().out == ""


def test_a_row_is_printed_before_the_next_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []

    def rows():
        for number in range(3):
            yield [str(number)]
            printed.append(capsys.readouterr().out)

    stream_table([Column("n", 3, align="right")], rows())
    assert printed == ["  n\n  0\n", "  1\n", "  2\n"]


def test_failures_and_nameless_images_in_the_table_of_predictions() -> None:
    stdin = Prediction(None, "NORMAL", 0.25, {}, 0.5, False, None, "onnxruntime", "onnx-int8")
    failure = Failure("b.png", "ImageError", "b.png: no image", 4)
    (row,) = prediction_rows([failure, stdin])
    assert row[:3] == ["NORMAL", "0.2500", "-"]
    assert len(row) == len(prediction_columns(SEED_SPEC))
