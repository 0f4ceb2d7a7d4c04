"""Change the bundle that a device serves, and go back if it does not serve well.

The order, each step on disk before the next one begins: copy the bundle, check the copy, write down
what is changed (``pending.json``), let ``current`` name the new bundle, check what is served, then
confirm (``previous``, no ``pending.json``) or let ``current`` name the old bundle again. A process
that dies on the way leaves ``pending.json``, which the next one, or the service when it starts,
settles.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cxr_edge.bundle.change import Checker, Settled, change_current, settle_pending
from cxr_edge.bundle.installed import DEFAULT_FOLDER, InstalledBundles
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.verify import replay_bundle, require_proven
from cxr_edge.errors import BundleError, OutputError, UsageError
from cxr_edge.files import PathLike, printable

LONGEST_WAIT_S = 30.0
"""How long a running service may take to serve a new bundle, unless another time is given."""


@dataclass(frozen=True, slots=True)
class BundleChange:
    """What is current after an installation or a rollback."""

    sha256: str
    """Hash of the manifest of the current bundle."""
    folder: Path
    """Its folder."""
    is_new: bool
    """False: it was current before."""
    previous: str | None
    """Name of the bundle that a rollback would go to; None: there is none."""
    checked_by: Checker
    """Who made the last check."""


def install_bundle(
    bundle: PathLike,
    *,
    into: PathLike = DEFAULT_FOLDER,
    key: PathLike | None = None,
    wait: float = LONGEST_WAIT_S,
) -> BundleChange:
    """Make a bundle the current one of a device, or leave the old one current.

    Checks hashes and golden inputs of a copy on this machine before anything changes. A service
    that runs then has to serve it; where none runs, the golden inputs are replayed once more.

    Args:
        bundle: folder of an export.
        into: folder of the installed bundles; made if need be.
        key: file of the public key that the bundle must be signed for; None: it need not be signed.
        wait: seconds that a running service may take to serve it.

    Raises:
        BundleError: it cannot be opened, or the service did not serve it; the old one is current.
        ParityError: its decisions or scores differ from the original's on this machine.
        MissingExtraError: nothing could be checked, because an engine is not installed.
        EngineError: nothing could be checked, because no file is made for this CPU.
        OutputError: it could not be written, or another process installs.
        UsageError: ``key`` is no public key, or ``wait`` no time.
    """
    _check_wait(wait)
    source = Bundle.open(bundle, key=key)
    installed = InstalledBundles(Path(into))
    with _alone(installed):
        installed.linked("previous")  # what is wrong with the links is said before any work
        settle_pending(installed)
        name = installed.add(source, _prove)
        if installed.linked("current") != name:
            return _state(installed, change_current(installed, name, wait))
        installed.sweep()
        return _state(installed, None)


def rollback_bundle(
    *, into: PathLike = DEFAULT_FOLDER, wait: float = LONGEST_WAIT_S
) -> BundleChange:
    """Make the previous bundle current again, with the same checks; the two change places.

    Args:
        into: folder of the installed bundles.
        wait: seconds that a running service may take to serve it.

    Raises:
        BundleError: there is no previous bundle, or it is damaged or not served; nothing changed.
        ParityError: its decisions or scores differ from the original's on this machine.
        MissingExtraError: nothing could be checked, because an engine is not installed.
        EngineError: nothing could be checked, because no file is made for this CPU.
        OutputError: the folder cannot be written, or another process installs.
        UsageError: ``wait`` is no time.
    """
    _check_wait(wait)
    installed = InstalledBundles(Path(into))
    if not installed.exists():
        raise BundleError(_no_previous(installed))
    with _alone(installed):
        settle_pending(installed)
        previous = installed.linked("previous")
        if previous is None or previous == installed.linked("current"):
            raise BundleError(_no_previous(installed))
        _prove(Bundle.open(installed.folder / previous))
        return _state(installed, change_current(installed, previous, wait))


def settle_bundles(into: PathLike = DEFAULT_FOLDER) -> Settled:
    """Confirm or undo a change whose process died; for a service, before it opens ``current``.

    Replays the golden inputs on the new bundle, unless an earlier attempt to do so did not end: a
    bundle that kills its process must not do so at every start. Says in the log ``cxr_edge`` what
    was done.

    Args:
        into: folder of the installed bundles.

    Raises:
        BundleError: ``current`` is not the link that an installation makes.
        OutputError: the folder cannot be written.
    """
    installed = InstalledBundles(Path(into))
    if not installed.exists():
        return "nothing"
    try:
        with installed.alone(longest_wait_s=0):
            return settle_pending(installed)
    except TimeoutError:
        return "in-progress"


def _prove(bundle: Bundle) -> None:
    """Refuse a bundle that does not make the original's decisions on this machine.

    Raises:
        CxrEdgeError: as ``verify_bundle``.
    """
    require_proven(tuple(replay_bundle(bundle)), bundle)


def _state(installed: InstalledBundles, checked_by: Checker | None) -> BundleChange:
    """What is current now.

    Args:
        installed: the folder.
        checked_by: who checked the change; None: nothing was changed.
    """
    sha256 = Bundle.open(installed.folder / "current").manifest.sha256
    return BundleChange(
        sha256=sha256,
        folder=installed.folder / sha256[:16],
        is_new=checked_by is not None,
        previous=installed.linked("previous"),
        checked_by=checked_by or "this process",
    )


@contextlib.contextmanager
def _alone(installed: InstalledBundles) -> Iterator[None]:
    """Take turns with other processes.

    Raises:
        OutputError: one takes too long, or the folder cannot be written.
    """
    try:
        with installed.alone():
            yield
    except TimeoutError as err:
        raise OutputError(
            f"{printable(installed.folder)}: another process installs a bundle there; try again"
        ) from err


def _check_wait(seconds: float) -> None:
    """Refuse a time that does not end.

    Raises:
        UsageError: it is negative, infinite or NaN.
    """
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"--wait is {seconds:g}, expected seconds, 0 or more")


def _no_previous(installed: InstalledBundles) -> str:
    name = printable(installed.folder)
    return f"{name}: has no previous bundle to go back to; see 'cxr-edge bundle list'"
