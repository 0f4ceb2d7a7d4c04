"""Calls commands whose standard streams are closed, full or broken, each in a forked child.

``stream_states.py CASES`` takes a JSON list of ``[states, arguments]`` and prints one of
``[exit code, stdout, stderr]``. ``states`` are of stdin, stdout and stderr: ``open``, ``closed``,
``full`` or ``broken``, a pipe that nobody reads. Forks save the second that each start takes.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from typing import BinaryIO

from cxr_edge.cli import COMMANDS, main


def set_up(states: list[str], files: list[BinaryIO]) -> None:
    """Do to this process what its caller would have done, and what Python does when it starts."""
    for number, (state, file) in enumerate(zip(states, files, strict=True)):
        if state == "closed":
            os.close(number)
        elif state == "full":
            os.dup2(os.open("/dev/full", os.O_WRONLY), number)
        elif state == "broken":
            reads, writes = os.pipe()
            os.close(reads)
            os.dup2(writes, number)
        else:
            os.dup2(file.fileno(), number)
    is_closed = [state == "closed" for state in states]
    sys.stdin = None if is_closed[0] else os.fdopen(0, closefd=False)  # type: ignore[assignment]
    sys.stdout = None if is_closed[1] else os.fdopen(1, "w", closefd=False)  # type: ignore[assignment]
    sys.stderr = (  # type: ignore[assignment]
        None
        if is_closed[2]
        else os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    )


def call(states: list[str], arguments: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command; of -14 it hung."""
    with (
        tempfile.TemporaryFile() as stdin,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        child = os.fork()
        if child == 0:
            set_up(states, [stdin, out, err])
            sys.argv = ["cxr-edge", *arguments]
            main()  # exits through the interpreter's end, which flushes
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        return status, out.read().decode(), err.read().decode()


if __name__ == "__main__":
    for module in {*COMMANDS.values()}:
        importlib.import_module(f"cxr_edge.cli.{module}")
    importlib.import_module("cxr_edge.classifier")
    importlib.import_module("cxr_edge.engines.onnxruntime")
    print(json.dumps([call(*case) for case in json.loads(sys.argv[1])]))
