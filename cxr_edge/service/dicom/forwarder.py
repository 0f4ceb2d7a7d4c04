"""The thread that delivers reports by C-STORE, and tries again for days."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

from cxr_edge.errors import CxrEdgeError, OutputError
from cxr_edge.extras import require
from cxr_edge.files import read_file, why
from cxr_edge.reporting import notice
from cxr_edge.service.dicom.accepted import CLASS_NOT_SUPPORTED
from cxr_edge.service.dicom.archive import (
    REPORT_CLASSES,
    Archive,
    Away,
    never_accepted,
    store,
)
from cxr_edge.service.dicom.figures import Figures
from cxr_edge.service.dicom.outbox import Outbox, WaitingReport
from cxr_edge.service.dicom.settings import DicomSettings
from cxr_edge.service.health import Health

_LONGEST_DELAY_S = 600.0
_LOOK_S = 30.0
"""Reports that somebody moves back are found this soon."""
_MOST_AT_A_TIME = 50
"""Reports of one association."""
_LEAST_ATTEMPTS = 3
"""Before a report is given up: a device may be off for a week, or its clock be set."""
_MAX_BYTES = 2**28
_STOP_S = 5.0


class Forwarder:
    """Delivers what is in the outbox."""

    def __init__(
        self,
        settings: DicomSettings,
        outbox: Outbox,
        figures: Figures,
        health: Health,
        *,
        has_clock: Callable[[], bool],
    ) -> None:
        """Prepare the thread.

        Args:
            settings: the table; ``forward`` is set.
            outbox: the reports.
            figures: counts.
            health: is told of an archive that is away, and of dead reports.
            has_clock: whether the clock can be right, so that ages mean something.

        Raises:
            UsageError: a certificate cannot be used.
            MissingExtraError: pynetdicom is not installed.
        """
        self._settings, self._outbox = settings, outbox
        self._figures, self._health, self._has_clock = figures, health, has_clock
        self._archive = Archive(settings)
        self._pydicom = require("pydicom", "dicom")
        self._attempts: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        """When a report that the archive refused is tried again, of the monotonic clock."""
        self._stop, self._changed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="forward", daemon=True)

    def start(self) -> None:
        """Begin to deliver.

        Raises:
            OutputError: the outbox cannot be used.
        """
        self._outbox.prepare()
        self._thread.start()

    def stop(self) -> None:
        """End; a report that is being sent is sent again by the next start."""
        self._stop.set()
        self._changed.set()
        self._thread.join(_STOP_S / 2)
        if self._thread.is_alive():  # its archive does not answer
            self._archive.cut()
            self._thread.join(_STOP_S / 2)

    def nudge(self) -> None:
        """Look into the outbox soon."""
        self._changed.set()

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            self._changed.clear()
            problem = ""
            try:
                self.deliver()
            except Away as err:
                problem = f"{self._archive.destination}: {err}"
            except OSError as err:
                problem = f"the outbox cannot be used: {why(err)}"
            except Exception as err:  # of pynetdicom
                problem = f"{self._archive.destination}: {type(err).__name__}"
            refused = problem or self._refused()
            self._health.set("forward", refused and f"reports wait: {refused}")
            failures = failures + 1 if problem else 0
            if problem:
                self._stop.wait(self._delay_s(failures))
            else:
                self._changed.wait(self._until_next_s())

    def _refused(self) -> str:
        """Which reports the archive does not take now, for people; empty: it takes all."""
        count = len(self._not_before)
        reports = "a report" if count == 1 else f"{count} reports"
        return f"{self._archive.destination}: refuses {reports}" if count else ""

    def _delay_s(self, failures: int) -> float:
        return min(self._settings.retry_s * 2.0 ** min(failures - 1, 30), _LONGEST_DELAY_S)

    def _until_next_s(self) -> float:
        due = min(self._not_before.values(), default=float("inf"))
        return max(0.01, min(_LOOK_S, due - time.monotonic()))

    def deliver(self) -> None:
        """Deliver what is due; give up what is too old.

        Raises:
            Away: the archive cannot be reached.
            OSError: the outbox cannot be read.
        """
        waiting = self._outbox.waiting()
        names = {report.file.name for report in waiting}
        self._attempts = {n: c for n, c in self._attempts.items() if n in names}
        self._not_before = {n: t for n, t in self._not_before.items() if n in names}
        try:
            now = time.monotonic()
            due = [r for r in waiting if self._not_before.get(r.file.name, 0) <= now]
            due.sort(key=lambda report: self._attempts.get(report.file.name, 0))
            for start in range(0, len(due), _MOST_AT_A_TIME):
                if not self._stop.is_set():
                    self._send(due[start : start + _MOST_AT_A_TIME])
        finally:
            self._tell()

    def _tell(self) -> None:
        waiting, dead = len(self._outbox.waiting()), self._outbox.count_dead()
        self._figures.reports_waiting, self._figures.reports_dead = waiting, dead
        reports = "a report" if dead == 1 else f"{dead} reports"
        problem = f"{reports} could not be delivered; see the folder dead of the outbox"
        self._health.set("dead", problem if dead else "")

    def _send(self, reports: Sequence[WaitingReport]) -> None:
        """Send some reports over one association.

        Raises:
            Away: the archive cannot be reached.
        """
        association = self._archive.associate()
        try:
            never = never_accepted(association)
            if not (association.is_established or never.issuperset(REPORT_CLASSES)):
                for report in reports:
                    self._failed(report)
                raise Away(_why_rejected(association))
            for report in reports:
                if self._stop.is_set():
                    return
                self._send_one(association, report, never)
        finally:
            if association.is_established:
                association.release()

    def _send_one(self, association: Any, report: WaitingReport, never: set[str]) -> None:
        dataset = self._read(report)
        if dataset is None:
            return
        sop_class = str(dataset.get("SOPClassUID"))
        if sop_class in never or sop_class not in REPORT_CLASSES:
            self._bury(report, "its kind is not accepted")
            return
        if sop_class not in {str(c.abstract_syntax) for c in association.accepted_contexts}:
            self._put_off(report)
            return
        try:
            status = store(association, dataset)
        except ValueError:
            self._bury(report, "it cannot be sent")
            return
        if status is None:
            self._put_off(report)  # perhaps the archive dies of it: others go first
            raise Away("the association ended")
        self._answered(report, status)

    def _read(self, report: WaitingReport) -> Any:
        """The report as pydicom has it; None: it is gone, or cannot be read, and is given up."""
        try:
            data = read_file(report.file, max_bytes=_MAX_BYTES, error=OutputError)
            return self._pydicom.dcmread(BytesIO(data))
        except CxrEdgeError:
            if not report.file.exists():
                return None
        except Exception as err:  # of pydicom, for what is no DICOM file
            notice(f"DICOM: a file of the outbox cannot be read: {type(err).__name__}")
        self._bury(report, "it cannot be read")
        return None

    def _answered(self, report: WaitingReport, status: int) -> None:
        # Warnings (PS3.7 C) tell of elements that were changed or dropped: the report is there.
        if status in (0x0000, 0x0001, 0x0107, 0x0116) or status >> 12 == 0xB:
            self._figures.deliver("delivered")
            self._not_before.pop(report.file.name, None)
            self._outbox.remove(report)
        elif status == CLASS_NOT_SUPPORTED:
            self._bury(report, "its kind is not accepted")
        else:
            self._put_off(report)

    def _put_off(self, report: WaitingReport) -> None:
        """Count a failed attempt, after which others go first."""
        if attempts := self._failed(report):
            self._not_before[report.file.name] = time.monotonic() + self._delay_s(attempts)

    def _failed(self, report: WaitingReport) -> int:
        """Count a failed attempt, and give a report up that is too old.

        Returns:
            How many failed; 0: it is given up.
        """
        self._figures.deliver("failed")
        name = report.file.name
        attempts = self._attempts[name] = self._attempts.get(name, 0) + 1
        is_old = time.time() - report.since_s > 3600 * self._settings.give_up_h
        if is_old and attempts >= _LEAST_ATTEMPTS and self._has_clock():
            self._bury(report, "it was tried for too long")
            return 0
        return attempts

    def _bury(self, report: WaitingReport, why: str) -> None:
        self._figures.deliver("dead")
        self._attempts.pop(report.file.name, None)
        self._not_before.pop(report.file.name, None)
        self._outbox.bury(report)
        notice(f"DICOM: a report is given up: {why}")


def _why_rejected(association: Any) -> str:
    """Why there is no association, in the words of the standard where the archive says it."""
    if not association.is_rejected:
        return "no connection"
    reason = str(getattr(association.acceptor.primitive, "reason_str", ""))
    return f"refuses the association ({reason or 'without a reason'})"
