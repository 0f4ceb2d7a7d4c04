"""The command line: parses, calls the library, prints. Results go to stdout, all else to stderr."""

from __future__ import annotations

import os
import sys

import typer

from cxr_edge.cli import data, evaluating, exporting, predicting, training
from cxr_edge.errors import CxrEdgeError

INTERRUPTED = 130

app = typer.Typer(
    name="cxr-edge",
    help="Take an image classifier from Keras to a small device, and prove it still decides alike. "
    "Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (predicting, exporting, training, evaluating):
    module.register(app)
app.add_typer(data.app)


def main() -> None:
    """Run the command line and exit with the code that ``cxr_edge.errors`` documents."""
    for stream in (sys.stdout, sys.stderr):
        # A file name may hold bytes that the terminal's encoding cannot show.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        app()
    except CxrEdgeError as err:
        print(f"cxr-edge: {err}", file=sys.stderr)
        sys.exit(err.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
