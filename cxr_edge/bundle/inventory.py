"""The list of a device's bundles."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cxr_edge.bundle.installed import DEFAULT_FOLDER, InstalledBundles, Link
from cxr_edge.bundle.reader import Bundle
from cxr_edge.errors import BundleError
from cxr_edge.files import PathLike


@dataclass(frozen=True, slots=True)
class InstalledBundle:
    """A bundle of the folder."""

    name: str
    """Its folder, 16 hexadecimal digits."""
    sha256: str
    """Hash of its manifest; empty: it cannot be opened."""
    link: Link | None
    """The link that names it; None: neither does, and the next installation removes it."""
    installed: datetime.datetime | None
    """When its folder was written, local time; None: it is not there."""
    problem: str
    """Why it cannot be opened; empty: its manifest is whole."""


def list_bundles(into: PathLike = DEFAULT_FOLDER) -> tuple[InstalledBundle, ...]:
    """List the bundles of a device, the current one first, then the previous one.

    Args:
        into: folder of the installed bundles.

    Raises:
        BundleError: a link is not one that an installation makes.
        OutputError: the folder cannot be read.
    """
    installed = InstalledBundles(Path(into))
    current, previous = installed.linked("current"), installed.linked("previous")
    links: dict[str | None, Link] = {previous: "previous", current: "current"}
    ordered = dict.fromkeys(filter(None, (current, previous, *installed.names())))
    return tuple(_describe(installed.folder / name, links.get(name)) for name in ordered)


def _describe(folder: Path, link: Link | None) -> InstalledBundle:
    sha256 = problem = ""
    try:
        sha256 = Bundle.open(folder).manifest.sha256
    except BundleError as err:
        problem = str(err)
    installed = None
    if folder.exists():
        seconds = folder.stat().st_mtime
        installed = datetime.datetime.fromtimestamp(seconds).astimezone()
    return InstalledBundle(folder.name, sha256, link, installed, problem)
