"""Change the bundle that a device serves, and go back if it does not serve well.

The order, each step on disk before the next one begins: copy the bundle, check the copy, write down
what is changed (``pending.json``), let ``current`` name the new bundle, check what is served, then
confirm (``previous``, no ``pending.json``) or let ``current`` name the old bundle again. A process
that dies on the way leaves ``pending.json``, which the next one, or the service when it starts,
settles.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxr_edge.bundle.installed import DEFAULT_FOLDER, InstalledBundles, Pending
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.served import forget_served, read_served, service_is_running
from cxr_edge.bundle.verify import replay_bundle, replay_golden, require_proven
from cxr_edge.errors import BundleError, CxrEdgeError, OutputError, UsageError
from cxr_edge.files import PathLike, printable
from cxr_edge.reporting import notice

LONGEST_WAIT_S = 30.0
"""How long a running service may take to serve a new bundle, unless another time is given."""

_POLL_S = 0.1

Settled = Literal["nothing", "in-progress", "confirmed", "undone"]
"""What came of a change that was not confirmed; ``in-progress``: its process is at work."""


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
    checked_by: Literal["service", "this process"]
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
        _settle(installed)
        name = installed.add(source, _prove)
        if installed.linked("current") != name:
            return _change(installed, name, wait)
        installed.sweep()
        return _state(installed, is_new=False, checked_by="this process")


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
        _settle(installed)
        previous = installed.linked("previous")
        if previous is None or previous == installed.linked("current"):
            raise BundleError(_no_previous(installed))
        _prove(Bundle.open(installed.folder / previous))
        return _change(installed, previous, wait)


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
            return _settle(installed)
    except TimeoutError:
        return "in-progress"


def _change(installed: InstalledBundles, new: str, wait: float) -> BundleChange:
    """Let ``current`` name another bundle and check it; go back where that fails.

    Raises:
        BundleError: it is not served; the old one is current.
        OutputError: the folder cannot be written.
    """
    pending = Pending(new, installed.linked("current"), is_tried=False)
    by_service = service_is_running(installed.folder)
    installed.write_pending(pending)
    try:
        with installed.as_owner():
            forget_served(installed.folder)
        installed.set_link("current", new)
        why_not = _ask_service(installed, wait) if by_service else _check_here(installed)
        if why_not:
            raise BundleError(f"{new} was not kept, {_serves(pending.old)}: {why_not}")
    except BaseException:  # Ctrl-C too: what was not confirmed does not stay
        _go_back(installed, pending)
        raise
    _confirm(installed, pending)
    checked_by: Literal["service", "this process"] = "service" if by_service else "this process"
    return _state(installed, is_new=True, checked_by=checked_by)


def _settle(installed: InstalledBundles) -> Settled:
    """Settle a change, by a process that is alone in the folder."""
    try:
        pending = installed.read_pending()
    except BundleError as err:  # damaged: whatever is current is whole
        notice(f"{err}; what is current stays so")
        installed.write_pending(None)
        return "undone"
    current = installed.linked("current")
    if pending is None:
        return "nothing"
    if current != pending.new:
        installed.write_pending(None)
        return "undone"
    if pending.is_tried:
        why_not = "a check of it did not end"
    else:
        installed.write_pending(Pending(pending.new, pending.old, is_tried=True))
        why_not = _check_here(installed)
    if why_not:
        _go_back(installed, pending)
        notice(f"{pending.new}, whose installation was cut short, was not kept: {why_not}")
        return "undone"
    _confirm(installed, pending)
    notice(f"{pending.new}, whose installation was cut short, passed its check and is current")
    return "confirmed"


def _confirm(installed: InstalledBundles, pending: Pending) -> None:
    if pending.old and pending.old != pending.new:
        installed.set_link("previous", pending.old)
    installed.write_pending(None)
    installed.sweep()


def _go_back(installed: InstalledBundles, pending: Pending) -> None:
    """Let ``current`` name the old bundle; the new one is removed by the next installation."""
    if installed.linked("current") != pending.old:
        installed.set_link("current", pending.old)
    installed.write_pending(None)


def _prove(bundle: Bundle) -> None:
    """Refuse a bundle that does not make the original's decisions on this machine.

    Raises:
        CxrEdgeError: as ``verify_bundle``.
    """
    require_proven(tuple(replay_bundle(bundle)), bundle)


def _check_here(installed: InstalledBundles) -> str:
    """Do in this process what a service does: hash the current bundle, load and replay it.

    Returns:
        Why it cannot be served; empty: it can.
    """
    try:
        bundle = Bundle.open(installed.folder / "current")
        for file in bundle.manifest.files:
            bundle.read(file)
        artifact, engine = bundle.choose(None, None)
        (record,) = [record for record in artifact.engines if record.engine == engine]
        return replay_golden(bundle, bundle.golden(), artifact, record).reason
    except CxrEdgeError as err:
        return str(err)


def _ask_service(installed: InstalledBundles, wait: float) -> str:
    """Wait until the running service has looked at the current bundle.

    One that dies meanwhile may have died of it, so only its word counts.

    Returns:
        Why it does not serve it; empty: it does.

    Raises:
        BundleError: the bundle cannot be opened.
    """
    sha256 = Bundle.open(installed.folder / "current").manifest.sha256
    end = time.monotonic() + wait
    while True:
        served = read_served(installed.folder)
        if served and served.checked == sha256:
            if served.ok and served.bundle == sha256:
                return ""
            return served.reason or "the service serves another bundle and does not say why"
        if time.monotonic() >= end:
            break
        time.sleep(min(_POLL_S, max(end - time.monotonic(), 0)))
    if service_is_running(installed.folder):
        return f"the service said nothing of it in {wait:g} s (--wait); see its log"
    return "the service stopped while it loaded it; see its log"


def _state(
    installed: InstalledBundles, *, is_new: bool, checked_by: Literal["service", "this process"]
) -> BundleChange:
    opened = Bundle.open(installed.folder / "current")
    folder = installed.folder / opened.manifest.sha256[:16]
    previous = installed.linked("previous")
    return BundleChange(opened.manifest.sha256, folder, is_new, previous, checked_by)


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


def _serves(name: str | None) -> str:
    return f"{name} is current again" if name else "no bundle is current"


def _no_previous(installed: InstalledBundles) -> str:
    name = printable(installed.folder)
    return f"{name}: has no previous bundle to go back to; see 'cxr-edge bundle list'"
