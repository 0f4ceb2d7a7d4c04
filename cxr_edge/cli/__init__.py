"""The command line: parses, calls the library, prints. Results go to stdout, all else to stderr."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Iterable

import typer

from cxr_edge.errors import CxrEdgeError

INTERRUPTED = 130

COMMANDS = {
    "predict": "predicting",
    "verify": "predicting",
    "info": "predicting",
    "tune": "tuning",
    "doctor": "tuning",
    "benchmark": "benchmarking",
    "report": "reports",
    "export": "exporting",
    "train": "training",
    "evaluate": "evaluating",
    "data": "data",
}
"""Every command, in the order of the help, and the module here that has it."""


def application(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with these commands.

    Each costs some milliseconds to describe, so that a call builds only the one that it names.
    """
    app = typer.Typer(
        name="cxr-edge",
        help="Take an image classifier from Keras to a small device, and prove it still decides "
        "alike. Research software, not a medical device.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_no_options)  # or a single command would take no name
    for name in names:
        command = getattr(importlib.import_module(f"{__name__}.{COMMANDS[name]}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command)
        else:
            app.command()(command)
    return app


def _no_options() -> None:
    """What comes before the command's name: nothing."""


def main() -> None:
    """Run the command line and exit with the code that ``cxr_edge.errors`` documents."""
    for stream in (sys.stdout, sys.stderr):
        # A file name may hold bytes that the terminal's encoding cannot show.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # Imports make a hundred thousand objects that stay: looking for garbage among them takes 10 ms.
    gc.set_threshold(50_000)
    called = sys.argv[1:2]
    try:
        application(called if called and called[0] in COMMANDS else COMMANDS)()
    except CxrEdgeError as err:
        print(f"cxr-edge: {err}", file=sys.stderr)
        sys.exit(err.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    finally:
        gc.freeze()  # and 25 ms once more at the end, when they all die anyway
