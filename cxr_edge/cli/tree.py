"""The commands as typer has them: for help, mistakes, completion and what only it reads."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Annotated, Any, get_args, get_type_hints

import typer

from cxr_edge.cli import COMMANDS
from cxr_edge.cli.options import Option
from cxr_edge.errors import UsageError

# typer keeps click inside itself since 0.28, and exports few of its errors.
_click_errors: Any = sys.modules[typer.BadParameter.__module__]


def application(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """Build the command line with the named commands.

    Building a command takes some milliseconds, so a call builds only the one that it runs.
    """
    app = typer.Typer(
        name="cxr-edge",
        help="Export a Keras image classifier, check that it still makes the same decisions, and "
        "run it on a small device. Research software, not a medical device.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_global_options)
    for name in names:
        command = getattr(importlib.import_module(f"cxr_edge.cli.{COMMANDS[name]}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command)
        else:
            app.command(help=reflow(command.__doc__ or ""))(for_typer(command))
    return app


def for_typer(command: Callable[..., object]) -> Callable[..., object]:
    """The same command with the parameters as typer expects them."""

    @functools.wraps(command)
    def run(*arguments: object, **options: object) -> object:
        return command(*arguments, **options)

    def converted(hint: Any) -> Any:
        if not hasattr(hint, "__metadata__"):
            return hint
        kind, *rest = get_args(hint)
        of_typer = (
            getattr(typer, one.typer_name)(*one.names, **one.settings)
            if isinstance(one, Option)
            else one
            for one in rest
        )
        return Annotated[(kind, *of_typer)]

    hints = {
        name: converted(hint) for name, hint in get_type_hints(command, include_extras=True).items()
    }
    signature = inspect.signature(command)
    parameters = [
        parameter.replace(annotation=hints[parameter.name])
        for parameter in signature.parameters.values()
    ]
    run.__annotations__ = hints
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


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


def call(names: Iterable[str]) -> object:
    """Run the command line with the named commands.

    Returns:
        What typer returns: an exit code, or None.

    Raises:
        CxrEdgeError: the call is wrong, or the command failed.
    """
    try:
        return application(names)(standalone_mode=False)
    except _click_errors.NoArgsIsHelpError as err:
        err.show()
        return UsageError.exit_code
    except _click_errors.UsageError as err:
        where = err.ctx.command_path if err.ctx else "cxr-edge"
        message = err.format_message().rstrip(".")
        raise UsageError(f"{message}; see '{where} --help'") from err
    except typer.Abort as err:
        raise KeyboardInterrupt from err
