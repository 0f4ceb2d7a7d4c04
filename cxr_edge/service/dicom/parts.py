"""The running parts of DICOM: made where the settings ask, started and stopped together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from cxr_edge.extras import require_installed
from cxr_edge.service.clock import is_plausible
from cxr_edge.service.config import ServiceConfig
from cxr_edge.service.dicom.figures import Figures
from cxr_edge.service.dicom.forwarder import Forwarder
from cxr_edge.service.dicom.listener import Listener, quieten
from cxr_edge.service.dicom.outbox import Outbox
from cxr_edge.service.dicom.reports import Reporter
from cxr_edge.service.dicom.spool import ReceivedFolder
from cxr_edge.service.health import Health
from cxr_edge.service.inbox.intake import Intake
from cxr_edge.service.inbox.kinds import RECEIVED
from cxr_edge.service.inbox.sweep import Inbox
from cxr_edge.service.inbox.watcher import Watcher
from cxr_edge.service.model import ServedModel
from cxr_edge.service.recorder import Recorder
from cxr_edge.service.store.rows import StoredResult
from cxr_edge.service.store.writer import Store


class DicomParts:
    """Listener, folder of received objects, reports and their delivery, as far as wanted."""

    def __init__(
        self,
        config: ServiceConfig,
        recorder: Recorder,
        store: Store,
        health: Health,
        *,
        model: Callable[[], ServedModel],
        wake: Callable[[], None],
    ) -> None:
        """Make the parts; nothing runs yet.

        Args:
            config: all settings; the table ``dicom`` asks for something.
            recorder: classifies and stores.
            store: is asked for results.
            health: is told what does not work.
            model: the one that runs now.
            wake: called when an object waits to be classified.

        Raises:
            UsageError: a file that the settings name is unusable.
            MissingExtraError: a package is not installed.
        """
        settings = config.dicom
        packages = ["pydicom", "pynetdicom", *(["highdicom"] if settings.forward else [])]
        require_installed(packages, "dicom", user="the table [dicom]")
        quieten()
        self._config, self._wake = config, wake
        self._running = contextlib.ExitStack()
        self.figures = Figures()
        self.on_stored: Callable[[StoredResult, bytes], None] | None = None
        """Makes the reports of an image; None: they go nowhere."""
        self._forwarder: Forwarder | None = None
        if settings.forward:
            outbox = Outbox(Path(settings.outbox))
            self._forwarder = Forwarder(
                *(settings, outbox, self.figures, health),
                has_clock=lambda: is_plausible(store.newest_time()),
            )
            reporter = Reporter(
                config, outbox, health, model=model, on_report=self._forwarder.nudge
            )
            self.on_stored = reporter.make
        self.intake: Intake | None = None
        self._listener: Listener | None = None
        self._watcher: Watcher | None = None
        if settings.enabled:
            self._make_listener(recorder, store, health)
        health.dicom = self.figures.report

    def _make_listener(self, recorder: Recorder, store: Store, health: Health) -> None:
        settings = self._config.dicom
        self._inbox = Inbox(Path(settings.folder), 0.0)  # what is there is whole
        self.intake = Intake(
            *(self._config, self._inbox, recorder, store, health),
            kind=RECEIVED,
            on_stored=self.on_stored,
        )
        self._watcher = Watcher(
            self._inbox,
            settle_s=self._config.inbox.settle_s,
            sweep_s=self._config.inbox.sweep_s,
            on_sweep=self._after_sweep,
            is_watched=False,
        )
        self.intake.nudge = self._watcher.nudge
        folder = ReceivedFolder(
            Path(settings.folder),
            max_bytes=int(settings.max_object_mb * 1e6),
            min_free_bytes=self._config.store.min_free_mb * 1e6,
            is_full=lambda: health.has_problem("disk"),
        )
        self._listener = Listener(settings, folder, self.figures, self._watcher.nudge)

    def _after_sweep(self) -> None:
        if self.intake and self.intake.after_sweep():
            self._wake()

    @property
    def is_running(self) -> bool:
        """Whether the thread that listens is alive, where one is wanted."""
        return self._listener is None or self._listener.is_running

    @property
    def address(self) -> str:
        """Where it listens, for people; empty: it does not."""
        return self._listener.address if self._listener else ""

    def start(self) -> None:
        """Start every part.

        Raises:
            CxrEdgeError: one cannot be started; none runs then.
        """
        try:
            if self._forwarder:
                self._forwarder.start()
                self._running.callback(self._forwarder.stop)
            if self._listener and self._watcher:
                self._listener.start()  # makes the folder
                self._running.callback(self._listener.stop)
                self._watcher.start()
                self._running.callback(self._watcher.stop)
        except BaseException:
            self._running.close()
            raise

    def stop(self) -> None:
        """Stop every part."""
        self._running.close()
