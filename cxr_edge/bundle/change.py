"""The moments in which ``current`` changes: check what is served, then confirm or go back."""

from __future__ import annotations

import time
from typing import Literal

from cxr_edge.bundle.installed import InstalledBundles, Pending
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.served import forget_served, read_served, service_is_running
from cxr_edge.bundle.verify import replay_golden
from cxr_edge.errors import BundleError, CxrEdgeError
from cxr_edge.reporting import notice

_POLL_S = 0.1

Checker = Literal["service", "this process"]
"""Who checked that the current bundle is served."""

Settled = Literal["nothing", "in-progress", "confirmed", "undone"]
"""What came of a change that was not confirmed; ``in-progress``: its process is at work."""


def change_current(installed: InstalledBundles, new: str, wait: float) -> Checker:
    """Let ``current`` name another bundle and check it; go back where that fails.

    Args:
        installed: this process is alone in it.
        new: name of the bundle, which was proven on this machine.
        wait: seconds that a running service may take to serve it.

    Returns:
        Who made the last check.

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
        why_not = _ask_service(installed, wait) if by_service else check_here(installed)
        if why_not:
            raise BundleError(f"{new} was not kept, {_serves(pending.old)}: {why_not}")
    except BaseException:  # Ctrl-C too: what was not confirmed does not stay
        _go_back(installed, pending)
        raise
    _confirm(installed, pending)
    return "service" if by_service else "this process"


def settle_pending(installed: InstalledBundles) -> Settled:
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
        why_not = check_here(installed)
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


def check_here(installed: InstalledBundles) -> str:
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


def _serves(name: str | None) -> str:
    return f"{name} is current again" if name else "no bundle is current"
