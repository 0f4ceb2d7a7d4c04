"""Tells systemd how the service is (sd_notify(3)); nothing where systemd did not start it."""

from __future__ import annotations

import os
import socket


def watchdog_s() -> float | None:
    """Within how many seconds systemd expects a sign of life; None: it expects none."""
    if os.environ.get("WATCHDOG_PID") not in (None, str(os.getpid())):
        return None
    try:
        return int(os.environ["WATCHDOG_USEC"]) / 1e6
    except (KeyError, ValueError):
        return None


def notify(*assignments: str) -> None:
    """Send assignments such as ``READY=1``; what systemd does not take is lost."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.sendto("\n".join(assignments).encode(), address)
    except OSError:
        return
