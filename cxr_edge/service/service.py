"""The running parts of the service: started, looked after, given another bundle, stopped."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

from cxr_edge.bundle.installed import folder_of_current
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.served import Served, announce_served, hold_service_lock
from cxr_edge.bundle.upgrade import settle_bundles
from cxr_edge.errors import CxrEdgeError, EngineError, OutputError, StoreError
from cxr_edge.files import printable, why
from cxr_edge.service.config import ServiceConfig
from cxr_edge.service.connections import dicom_folders, make_dicom, make_http, make_mqtt
from cxr_edge.service.dicom.outbox import DEAD
from cxr_edge.service.health import Health
from cxr_edge.service.inbox.intake import Intake
from cxr_edge.service.inbox.sweep import Inbox
from cxr_edge.service.inbox.watcher import Watcher
from cxr_edge.service.model import ServedModel, bundle_identity
from cxr_edge.service.notify import notify
from cxr_edge.service.recorder import Recorder
from cxr_edge.service.settings import SettingsFile
from cxr_edge.service.store.retention import FileRetention, ResultRetention
from cxr_edge.service.store.rows import StoredResult
from cxr_edge.service.store.writer import Store
from cxr_edge.service.worker import Worker

_DICOM_FILES = ("enabled", "certificate", "private_key", "ca_file", "forward")

Say = Callable[[str], None]
"""Takes one line for the journal; no line names a file of the inbox."""


class Service:
    """The running parts of one configuration."""

    def __init__(
        self,
        config: ServiceConfig,
        source: SettingsFile,
        say: Say,
        *,
        model: ServedModel | None = None,
    ) -> None:
        """Open the store, load the model and check it; nothing runs yet.

        Args:
            config: all settings.
            source: their file, for messages.
            say: see :data:`Say`.
            model: of an earlier service with the same settings of the model; None: load it.

        Raises:
            CxrEdgeError: a part cannot be used.
        """
        self.config, self.source, self._say = config, source, say
        self._running = contextlib.ExitStack()
        """What ends with the service, the last first."""
        self.inbox: Inbox | None = None
        self.intake: Intake | None = None
        self._watcher: Watcher | None = None
        try:
            self._open(model)
        except BaseException:
            self._running.close()
            raise

    def _open(self, model: ServedModel | None) -> None:
        """Load the model, open the store, make the parts."""
        config, inbox = self.config, self.config.inbox
        self._bundles = folder_of_current(config.bundle) if config.bundle else None
        if self._bundles:
            settle_bundles(self._bundles)
            self._running.enter_context(hold_service_lock(self._bundles))
        with self.source.blamed("bundle", "key", "artifact", "engine", "threads", "profile"):
            self.model = model or ServedModel.load(config)
        self._looked_at = self.model.identity
        if problem := self.model.check_all():
            raise EngineError(f"the model does not make the original's decisions: {problem}")
        with self.source.blamed("store.file"):
            self.store = Store(Path(config.store.file))
        self._running.callback(self.store.close)
        self._note_that_it_runs()
        self._make_folders()
        kept = [Path(folder) for folder in (inbox.processed, inbox.failed) if folder]
        folders = {Path(config.store.file).parent, *kept, *dicom_folders(config)}
        self.health = Health(config.health, config.store, sorted(folders), self._say)
        self.health.serves(self.model)
        self.health.passed()
        self.recorder = Recorder(config, self.model, self.store, self.health, self._observe)
        with self.source.blamed(*(f"dicom.{key}" for key in _DICOM_FILES)):
            self._dicom = make_dicom(
                *(config, self.recorder, self.store, self.health),
                model=lambda: self.model,
                wake=lambda: self.worker.wake(),
            )
        self.intakes = self._make_intakes()
        self.worker = Worker(self.recorder, self.health, self.intakes, upkeep=self._upkeep)
        self.health.waiting = lambda: self.worker.waiting
        self._retention = ResultRetention(self.store, config.store)
        dead = [Path(config.dicom.outbox, DEAD)] if config.dicom.forward else []
        self._files = FileRetention([*kept, *dead], config.store, self.store.newest_time)
        self._new_model = threading.Event()
        with self.source.blamed("mqtt.host", "mqtt.username", "mqtt.password_file", "mqtt.tls"):
            self._mqtt = make_mqtt(config)
        with self.source.blamed("http.host", "http.token_file"):
            self._metrics, self._http = make_http(
                *(config, self.worker, self.store, self.health, self._mqtt),
                dicom=self._dicom.figures if self._dicom else None,
                newest=self.store.newest_time(),
            )

    def _note_that_it_runs(self) -> None:
        """Leave a file that only a clean end removes: without it, no file ended the process."""
        running = Path(f"{self.config.store.file}.running")
        if not running.exists():
            self.store.forget_attempts()
        with contextlib.suppress(OSError):  # on a full disk, where no work is taken either
            running.touch()

    def _make_folders(self) -> None:
        """Make the folders for files, and the inbox beside the store.

        An inbox elsewhere may be a share that is not mounted: nothing is made below it.

        Raises:
            OutputError: one cannot be made.
        """
        inbox = self.config.inbox
        folders = {"inbox.processed": inbox.processed, "inbox.failed": inbox.failed}
        if inbox.folder and Path(inbox.folder).parent == Path(self.config.store.file).parent:
            folders["inbox.folder"] = inbox.folder
        for key, folder in folders.items():
            with self.source.blamed(key):
                try:
                    if folder:
                        Path(folder).mkdir(parents=True, exist_ok=True)
                except OSError as err:
                    reason = f"cannot be made: {why(err)}"
                    if inbox.folder and not Path(inbox.folder).is_dir():
                        continue  # a share that is away: the health says so, and moving makes it
                    raise OutputError(f"{printable(folder)}: {reason}") from err

    def _make_intakes(self) -> list[Intake]:
        """Files of the inbox, with its watcher, and objects received by DICOM."""
        settings, dicom = self.config.inbox, self._dicom
        intakes = [dicom.intake] if dicom and dicom.intake else []
        self.inbox = self.intake = self._watcher = None
        if not settings.folder:
            return intakes
        self.inbox = inbox = Inbox(Path(settings.folder), settings.settle_s)
        self.intake = intake = Intake(
            *(self.config, inbox, self.recorder, self.store, self.health),
            on_stored=dicom.on_stored if dicom else None,
        )
        self._watcher = Watcher(
            inbox,
            settle_s=settings.settle_s,
            sweep_s=settings.sweep_s,
            on_sweep=lambda: self.worker.wake() if intake.after_sweep() else None,
        )
        intake.nudge = self._watcher.nudge
        return [intake, *intakes]

    def _observe(self, result: StoredResult) -> None:
        self._retention.count()
        if self._metrics:
            self._metrics.observe(result)
        if self._mqtt:
            self._mqtt.publish(result)

    def start(self) -> None:
        """Start every part.

        Raises:
            CxrEdgeError: one cannot be started; none runs then.
        """
        try:
            for part in (self._mqtt, self._files, self._http, self.worker, self._watcher):
                if part is None:
                    continue
                with self.source.blamed("http.host", "http.port"):
                    part.start()
                self._running.callback(part.stop)
            if self._dicom:
                keys = ("host", "port", "folder", "outbox")
                with self.source.blamed(*(f"dicom.{key}" for key in keys)):
                    self._dicom.start()
                self._running.callback(self._dicom.stop)
        except BaseException:
            self._running.close()
            raise
        self._announce(self.model.sha256, "")

    def stop(self) -> None:
        """Stop every part; the image in hand is finished and stored."""
        self._running.close()
        with contextlib.suppress(OSError):
            Path(f"{self.config.store.file}.running").unlink()

    # --- called by the worker

    def _upkeep(self) -> None:
        """Between two images: old results, a new bundle."""
        try:
            if self._retention.tidy_if_due():
                for intake in self.intakes:
                    intake.forget_gone()
        except StoreError as err:
            self.health.set("store", str(err))
        if self._new_model.is_set():
            self._new_model.clear()
            self._change_model()

    def _change_model(self) -> None:
        """Serve the bundle that is there now, or go on with the old one."""
        sha256 = ""
        try:
            model = ServedModel.load(self.config)
            sha256, problem = model.sha256, model.check_all()
        except CxrEdgeError as err:
            problem = str(err)
            with contextlib.suppress(CxrEdgeError):
                sha256 = Bundle.open(self.config.bundle).manifest.sha256
        if problem:
            self.health.set("bundle", f"the new bundle is not used: {problem}")
        else:
            self.model = self.recorder.model = model
            self.health.serves(model)
            self.health.passed()
            self.health.set("model", "")
            self.health.set("bundle", "")
            self._say(f"runs bundle {sha256[:16]}, {model.classifier.artifact} from now on")
        self._announce(sha256, problem)

    def _announce(self, checked: str, problem: str) -> None:
        """Tell whoever installs bundles what came of the one that was looked at."""
        if self._bundles is None:
            return
        served = Served(self.model.sha256, checked, not problem, problem)
        try:
            announce_served(self._bundles, served)
        except CxrEdgeError as err:
            self._say(str(err))

    # --- called by the main thread

    def look_after(self) -> None:
        """Look whether the bundle was replaced, and tell systemd how it goes.

        Raises:
            EngineError: the worker, or the thread that answers requests, has ended.
            StoreError: the database was deleted or replaced.
        """
        identity = bundle_identity(self.config)
        if identity is None and self.config.bundle:
            self._looked_at = None  # whatever comes next is looked at
            self.health.set("bundle", "the bundle is not there any more; the loaded one goes on")
        elif identity != self._looked_at:
            self._looked_at = identity
            self._new_model.set()
            self.worker.wake()
        if self._http and not self._http.is_running:
            raise EngineError("the thread that answers requests has ended")
        if self._dicom and not self._dicom.is_running:
            raise EngineError("the thread that listens for DICOM has ended")
        self.store.check_in_place()
        if not self.worker.is_running:
            failure = self.worker.failure
            raise EngineError(f"the worker ended: {failure!r}") from failure
        if self.health.is_alive:
            notify("WATCHDOG=1")

    def describe(self) -> str:
        """One line: what runs, and where work comes from."""
        classifier = self.model.classifier
        parts = [
            f"bundle {self.model.sha256[:16]}, {classifier.artifact} on {classifier.engine}",
        ]
        if self.config.inbox.folder:
            parts.append(f"inbox {printable(self.config.inbox.folder)}")
        if self._http:
            parts.append(self._http.address)
        if self._dicom and self._dicom.address:
            parts.append(f"DICOM {self._dicom.address}")
        return "ready: " + ", ".join(parts)
