"""The command line: parses arguments, calls the library, prints.

Results go to stdout, messages and progress to stderr.
"""

from __future__ import annotations

import gc
import importlib
import sys
import warnings
from pathlib import Path
from types import FunctionType

from cxr_edge.cli import interrupts
from cxr_edge.cli.options import read_call
from cxr_edge.cli.output import streams
from cxr_edge.device.temporary import owned_process
from cxr_edge.errors import CxrEdgeError, OutputError, UsageError, unknown_name
from cxr_edge.files import printable, why
from cxr_edge.reporting import listening

PIPE_CLOSED = 141
"""Exit code where the reader of stdout has stopped, as of a process that SIGPIPE ended."""

COMMANDS = {
    "predict": "predict.command",
    "verify": "inspecting",
    "info": "inspecting",
    "tune": "tuning",
    "doctor": "tuning",
    "benchmark": "benchmarking",
    "report": "reports",
    "export": "exporting",
    "spec": "specifying",
    "train": "training",
    "evaluate": "evaluating",
    "data": "data",
    "serve": "serving",
    "results": "results",
    "bundle": "bundles",
    "completion": "completing",
}
"""Every command, in the order of the help, and its module in this package."""


_MAY_BE_EMPTY = ("--about-data", "--about-limits", "--artifacts")
"""Options of text whose default is an empty text."""


def main() -> None:
    """Run the command line and exit with a code documented in ``cxr_edge.errors``."""
    try:
        with streams.prepared(), owned_process():
            code = _run()
        sys.exit(code)
    finally:
        gc.freeze()  # skips a last collection of 25 ms at exit


def _run() -> int:
    """Run the command; every mistake ends as one line on stderr.

    Returns:
        The exit code.
    """
    arguments = sys.argv[1:]
    if not streams.results_can_be_written(arguments):
        return _fail(UsageError("stdout is closed; redirect it, for example to /dev/null"))
    warnings.filterwarnings("ignore", module=r"keras\.")  # they name lines of Keras, not the model
    # Imports create 100,000 lasting objects; collecting garbage among them takes 10 ms.
    gc.set_threshold(50_000)
    try:
        with interrupts.raised(), listening(_announce):
            code = _call(arguments)
        if code == interrupts.INTERRUPTED:  # what typer makes of KeyboardInterrupt
            streams.tell("cxr-edge: interrupted")
        sys.stdout.flush()  # a full disk is found here, not while the interpreter ends
    except CxrEdgeError as err:
        return _fail(err)
    except interrupts.Interrupted as err:
        streams.tell(f"cxr-edge: {err}")
        return interrupts.INTERRUPTED
    except KeyboardInterrupt:
        streams.tell("cxr-edge: interrupted")
        return interrupts.INTERRUPTED
    except BrokenPipeError:
        streams.stop_writing()
        return PIPE_CLOSED
    except OSError as err:
        return _fail_for_system(err)
    except RecursionError:
        return _fail(UsageError("a path or a document is nested too deep"))
    except MemoryError:
        return _fail(CxrEdgeError("out of memory; use fewer --workers, or lower --max-pixels"))
    except SystemExit as err:
        # From click and rich, where the reader, such as `head`, has closed the pipe.
        if isinstance(err.__context__, BrokenPipeError):
            streams.stop_writing()
            return PIPE_CLOSED
        raise
    return code if isinstance(code, int) else 0


def _call(arguments: list[str]) -> object:
    """Run the command that the arguments name.

    Returns:
        What the command returns, or typer: an exit code, or None.

    Raises:
        CxrEdgeError: the call is wrong, or the command failed.
    """
    first = arguments[0] if arguments else "--help"
    if first not in COMMANDS and not first.startswith("-"):
        known = (*COMMANDS, "--version", "--help")
        raise UsageError(f"{unknown_name('command', first, known)}; see 'cxr-edge --help'")
    _refuse_empty(arguments)
    if first in COMMANDS:
        command = getattr(importlib.import_module(f"{__name__}.{COMMANDS[first]}"), first)
        values = read_call(command, arguments[1:]) if isinstance(command, FunctionType) else None
        if values is not None:
            return command(**values)
    from cxr_edge.cli.tree import call  # imports typer

    return call([first] if first in COMMANDS else COMMANDS)


def _refuse_empty(arguments: list[str]) -> None:
    """Refuse empty arguments: as a path, they would mean the working folder.

    Raises:
        UsageError: an argument, or the value of an option, is empty.
    """
    for i, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if argument.startswith("--") and equals and not value:
            before = option
        elif argument == "" and i > 0:
            before = arguments[i - 1]
        else:
            continue
        if before in _MAY_BE_EMPTY:
            continue
        what = f"value after {before}" if before.startswith("-") else "PATH"
        raise UsageError(f"an empty {what}; is a variable not set?")


def _announce(message: str) -> None:
    from cxr_edge.cli.output.console import Terminal

    Terminal().say(f"cxr-edge: {message}")


def _fail(error: CxrEdgeError) -> int:
    """Say what is wrong on one line, whatever a name in it holds."""
    streams.tell(f"cxr-edge: {printable(str(error))}")
    return error.exit_code


def _fail_for_system(error: OSError) -> int:
    """Report what the operating system refused and no command expected.

    Only writing to stdout fails without a file's name, and a working folder that was deleted.
    """
    reason = why(error)
    if error.filename is not None:
        name = error.filename if isinstance(error.filename, str) else repr(error.filename)
        return _fail(OutputError(f"{printable(name)}: {reason}"))
    try:
        Path.cwd()
    except OSError:
        return _fail(UsageError("the working folder does not exist any more; change to another"))
    code = _fail(OutputError(f"stdout: cannot be written: {reason}"))
    streams.stop_writing()
    return code
