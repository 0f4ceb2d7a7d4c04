"""``cxr-edge bundle``: which bundle a device serves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr_edge.cli import options
from cxr_edge.cli.output.console import Terminal
from cxr_edge.cli.output.tables import Cell, Column, Style, Styled, print_table
from cxr_edge.cli.tree import for_typer
from cxr_edge.files import printable

if TYPE_CHECKING:
    from cxr_edge.bundle.installed import Link
    from cxr_edge.bundle.inventory import InstalledBundle
    from cxr_edge.bundle.upgrade import BundleChange

bundle = typer.Typer(
    name="bundle", help="Install, list and roll back a device's bundles.", no_args_is_help=True
)

# As in cxr_edge.bundle.installed and upgrade, which import numpy.
DEFAULT_INTO = Path("/var/lib/cxr-edge/bundles")
DEFAULT_WAIT_S = 30.0

Into = Annotated[
    Path, typer.Option("--into", metavar="FOLDER", help="Folder of the installed bundles.")
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        help="How long a running service may take to serve the bundle, before the old one comes "
        "back.",
    ),
]

_LINK_STYLES: dict[Link | None, Style] = {"current": "good", "previous": "plain", None: "faint"}


@bundle.command()
@for_typer
def install(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="BUNDLE",
            path_type=options.BundlePath,
            help="Folder of an export, or compact.",
        ),
    ],
    into: Into = DEFAULT_INTO,
    key: options.Key = None,
    wait: Wait = DEFAULT_WAIT_S,
) -> None:
    """Check a bundle on this device and make it the current one, or leave the old one in place.

    Copies it, checks hashes and golden inputs of the copy, and changes the link 'current' in one
    step. Then the running service has to serve it; where none runs, the check is repeated here. If
    that fails, the old bundle is current again and the exit code is 5. Killed at any moment, the
    old or the new bundle is whole and current. Run as root, it writes as the folder's owner.
    """
    from cxr_edge.bundle.upgrade import install_bundle

    with Terminal().if_slow("checking the bundle on this machine"):
        change = install_bundle(folder, into=into, key=key, wait=wait)
    print(_sentence(change))


@bundle.command()
def rollback(into: Into = DEFAULT_INTO, wait: Wait = DEFAULT_WAIT_S) -> None:
    """Make the previous bundle current again, with the checks of an installation.

    The two change places: a second rollback goes forward again.
    """
    from cxr_edge.bundle.upgrade import rollback_bundle

    with Terminal().if_slow("checking the previous bundle on this machine"):
        change = rollback_bundle(into=into, wait=wait)
    print(_sentence(change))


@bundle.command(name="list")
def list_(into: Into = DEFAULT_INTO) -> None:
    """List the installed bundles, the current one first, with their hash and date."""
    from cxr_edge.bundle.inventory import list_bundles

    bundles = list_bundles(into)
    if not bundles:
        Terminal().say(
            f"cxr-edge: {printable(into)}: no bundle is installed; 'cxr-edge bundle install' does"
        )
        return
    columns = [Column("bundle"), Column("", 8), Column("installed"), Column("sha256 of manifest")]
    print_table(columns, [_row(installed) for installed in bundles])


def _row(installed: InstalledBundle) -> list[Cell]:
    when = f"{installed.installed:%Y-%m-%d %H:%M}" if installed.installed else ""
    link = Styled(installed.link or "unused", _LINK_STYLES[installed.link])
    digest: Cell = installed.sha256 or Styled(printable(installed.problem), "bad")
    return [installed.name, link, when, digest]


def _sentence(change: BundleChange) -> str:
    if not change.is_new:
        return f"{change.folder.name} is current already; it passed its check again"
    checked = (
        "the service serves it" if change.checked_by == "service" else "no service uses this folder"
    )
    back = f"; 'cxr-edge bundle rollback' goes back to {change.previous}" if change.previous else ""
    return f"{change.folder.name} is current, and {checked}{back}"
