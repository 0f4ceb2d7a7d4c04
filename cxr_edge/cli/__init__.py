"""The command line: parses arguments, calls the library, prints.

Results go to stdout, messages and progress to stderr.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Iterable

import typer

from cxr_edge.errors import CxrEdgeError

INTERRUPTED = 130
"""Exit code after Ctrl-C."""

COMMANDS = {
    "predict": "predicting",
    "verify": "inspecting",
    "info": "inspecting",
    "tune": "tuning",
    "doctor": "tuning",
    "benchmark": "benchmarking",
    "report": "reports",
    "export": "exporting",
    "train": "training",
    "evaluate": "evaluating",
    "data": "data",
}
"""Every command, in the order of the help, and its module in this package."""


def application(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """Build the command line with the named commands.

    Building a command takes some milliseconds, so a call builds only the one that it runs.
    """
    app = typer.Typer(
        name="cxr-edge",
        help="Export a Keras image classifier, check that it still makes the same decisions, and "
        "run it on a small device. Research software, not a medical device.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_keep_command_name)
    for name in names:
        command = getattr(importlib.import_module(f"{__name__}.{COMMANDS[name]}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command)
        else:
            app.command()(command)
    return app


def _keep_command_name() -> None:
    """Without a callback, typer drops the name of an only command."""


def main() -> None:
    """Run the command line and exit with a code documented in ``cxr_edge.errors``."""
    for stream in (sys.stdout, sys.stderr):
        # A file name may hold characters that the terminal's encoding lacks.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # Imports create 100,000 lasting objects; collecting garbage among them takes 10 ms.
    gc.set_threshold(50_000)
    command = sys.argv[1:2]
    try:
        application(command if command and command[0] in COMMANDS else COMMANDS)()
    except CxrEdgeError as err:
        print(f"cxr-edge: {err}", file=sys.stderr)
        sys.exit(err.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    finally:
        gc.freeze()  # skips a last collection of 25 ms at exit
