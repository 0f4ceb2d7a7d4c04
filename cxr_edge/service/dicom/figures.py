"""What happened on the network, in numbers: nothing of a patient, an image or a sender."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from cxr_edge.reporting import notice

Refusal = Literal["address", "limit", "called", "calling", "protocol"]
"""Why there was no association, or why it was aborted."""
Delivery = Literal["delivered", "failed", "dead"]

_WHY: dict[Refusal, str] = {
    "address": "its address is none of dicom.addresses",
    "limit": "dicom.max_associations were open",
    "called": "the AE title that it called is not dicom.ae_title",
    "calling": "its own AE title is none of dicom.calling_ae_titles",
    "protocol": "it broke the protocol, or a limit of size or time",
}
_SAID_EVERY_S = 600.0
"""A line for each reason, however often it is one."""


@dataclass(frozen=True, slots=True)
class DicomReport:
    """The state of DICOM, for monitors and the page."""

    associations: int
    """That are open now."""
    received: int
    """Objects that were acknowledged since the start."""
    refused: int
    """Objects that were not, since the start."""
    turned_away: int
    """Associations that were refused or cut, since the start."""
    reports_waiting: int
    """For their archive."""
    reports_dead: int
    """That could not be delivered."""


@dataclass(slots=True)
class Figures:
    """Counts; threads share it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    associations: int = 0
    """That are open now."""
    accepted: int = 0
    """Associations since the start."""
    refusals: Counter[Refusal] = field(default_factory=Counter)
    objects: Counter[int] = field(default_factory=Counter)
    """By DIMSE status; 0: acknowledged."""
    deliveries: Counter[Delivery] = field(default_factory=Counter)
    reports_waiting: int = 0
    reports_dead: int = 0
    _said: dict[Refusal, float] = field(default_factory=dict)

    def accept(self) -> None:
        """Count an association that was accepted."""
        with self.lock:
            self.accepted += 1

    def refuse(self, reason: Refusal) -> None:
        """Count a connection that was refused or cut, and say so now and then."""
        now = time.monotonic()
        with self.lock:
            self.refusals[reason] += 1
            count = self.refusals[reason]
            is_due = now - self._said.get(reason, -_SAID_EVERY_S) >= _SAID_EVERY_S
            if is_due:
                self._said[reason] = now
        if is_due:
            since = f"{count} since the start"
            notice(f"DICOM: an association was refused or cut: {_WHY[reason]} ({since})")

    def answer(self, status: int) -> None:
        """Count an object by the status that it was answered with."""
        with self.lock:
            self.objects[status] += 1

    def deliver(self, outcome: Delivery) -> None:
        """Count an attempt to deliver a report."""
        with self.lock:
            self.deliveries[outcome] += 1

    def report(self) -> DicomReport:
        """The state now."""
        with self.lock:
            received = self.objects[0]
            return DicomReport(
                self.associations,
                received,
                self.objects.total() - received,
                self.refusals.total(),
                self.reports_waiting,
                self.reports_dead,
            )
