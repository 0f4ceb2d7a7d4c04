"""The command line: parses arguments, calls the library, prints.

Results go to stdout, messages and progress to stderr.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from cxr_edge.errors import CxrEdgeError, OutputError, UsageError
from cxr_edge.files import printable

# typer keeps click inside itself since 0.28, and exports few of its errors.
_click_errors: Any = sys.modules[typer.BadParameter.__module__]

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
    "spec": "specifying",
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
    app.callback()(_global_options)
    for name in names:
        command = getattr(importlib.import_module(f"{__name__}.{COMMANDS[name]}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command)
        else:
            app.command(help=reflow(command.__doc__ or ""))(command)
    return app


def reflow(docstring: str) -> str:
    """The paragraphs of a docstring without its line breaks, which a terminal sets anew."""
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _print_version(wanted: bool) -> None:
    if wanted:
        from cxr_edge import __version__

        print(f"cxr-edge {__version__}")
        raise typer.Exit


def _global_options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version."),
    ] = False,
) -> None:
    """Without a callback, typer drops the name of an only command."""


def main() -> None:
    """Run the command line and exit with a code documented in ``cxr_edge.errors``."""
    if sys.stderr is None:  # closed by the caller: nobody can be told anything
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - for the whole process
    try:
        sys.exit(_run())
    finally:
        gc.freeze()  # skips a last collection of 25 ms at exit


def _run() -> int:
    """Run the command; every mistake ends as one line on stderr.

    Returns:
        The exit code.
    """
    if sys.stdout is None:
        return _fail(UsageError("stdout is closed; redirect it, for example to /dev/null"))
    stdout = sys.stdout
    for stream in (sys.stdout, sys.stderr):
        # A file name may hold characters that the terminal's encoding lacks.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # Imports create 100,000 lasting objects; collecting garbage among them takes 10 ms.
    gc.set_threshold(50_000)
    command = sys.argv[1:2]
    app = application(command if command and command[0] in COMMANDS else COMMANDS)
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()  # a full disk is found here, not while the interpreter ends
    except CxrEdgeError as err:
        return _fail(err)
    except _click_errors.NoArgsIsHelpError as err:
        err.show()
        return UsageError.exit_code
    except _click_errors.UsageError as err:
        where = err.ctx.command_path if err.ctx else "cxr-edge"
        return _fail(UsageError(f"{err.format_message().rstrip('.')}; see '{where} --help'"))
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return _stop_writing(0)
    except OSError as err:
        if err.filename is not None:
            raise
        _fail(OutputError(f"stdout: cannot be written: {err.strerror}"))
        return _stop_writing(OutputError.exit_code)
    except SystemExit:
        if sys.stdout is not stdout:  # click: the reader, such as `head`, has closed the pipe
            return _stop_writing(0)
        raise
    return code if isinstance(code, int) else 0


def _fail(error: CxrEdgeError) -> int:
    """Say what is wrong on one line, whatever a name in it holds."""
    print(f"cxr-edge: {printable(str(error))}", file=sys.stderr)
    return error.exit_code


def _stop_writing(code: int) -> int:
    """Send what is still buffered for stdout nowhere: writing it would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return code
