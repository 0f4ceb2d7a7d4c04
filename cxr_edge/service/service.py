"""The one process: starts the parts, reacts to signals and to a new bundle, stops in order."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from cxr_edge.errors import CxrEdgeError, EngineError, OutputError, UsageError
from cxr_edge.files import printable
from cxr_edge.service.config import ServiceConfig, read_config
from cxr_edge.service.health import Health
from cxr_edge.service.inbox.sweep import Inbox
from cxr_edge.service.inbox.watcher import Watcher
from cxr_edge.service.model import ServedModel, manifest_identity
from cxr_edge.service.notify import notify, watchdog_s
from cxr_edge.service.recorder import Recorder
from cxr_edge.service.store.retention import FileRetention, ResultRetention
from cxr_edge.service.store.rows import StoredResult, StoreError
from cxr_edge.service.store.writer import Store
from cxr_edge.service.worker import Worker

Say = Callable[[str], None]
"""Takes one line for the journal; no line names a file of the inbox."""

_TICK_S = 0.5


class Service:
    """The running parts of one configuration."""

    def __init__(self, config: ServiceConfig, say: Say) -> None:
        """Open the store, load the model and check it; nothing runs yet.

        Raises:
            CxrEdgeError: a part cannot be used.
        """
        self.config, self._say = config, say
        self._make_folders()
        self.model = ServedModel.load(config)
        if problem := self.model.check_all():
            raise EngineError(f"the model does not make the original's decisions: {problem}")
        self._identity = self._bundle_identity()
        self.store = Store(Path(config.store.file))
        inbox = config.inbox
        folders = {Path(config.store.file).parent}
        if inbox.folder:
            folders |= {Path(inbox.processed), Path(inbox.failed)}
        self.health = Health(config.health, config.store, sorted(folders), say)
        self.health.serves(self.model)
        self.health.passed()
        self.recorder = Recorder(config, self.model, self.store, self.health, self._observe)
        self.inbox = Inbox(Path(inbox.folder), inbox.settle_s) if inbox.folder else None
        self._watcher = self._make_watcher()
        self.worker = Worker(
            self.recorder, self.health, self.inbox, upkeep=self._upkeep, nudge=self._nudge
        )
        self.health.waiting = lambda: self.worker.waiting
        self._retention = ResultRetention(self.store, config.store)
        kept = [Path(folder) for folder in (inbox.processed, inbox.failed) if folder]
        self._files = FileRetention(kept, config.store, self._newest)
        self._observers: list[Callable[[StoredResult], None]] = [lambda _: self._retention.count()]
        self._new_model = threading.Event()

    def _make_folders(self) -> None:
        inbox, state = self.config.inbox, Path(self.config.store.file).parent
        folders = [state]
        if inbox.folder:
            folders += [Path(inbox.processed), Path(inbox.failed)]
            # An inbox elsewhere may be a share that is not mounted: nothing is made below it.
            if Path(inbox.folder).parent == state:
                folders.append(Path(inbox.folder))
        for folder in folders:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as err:
                raise OutputError(f"{printable(folder)}: cannot be made: {err.strerror}") from err

    def _make_watcher(self) -> Watcher | None:
        if self.inbox is None:
            return None
        settings = self.config.inbox
        return Watcher(
            self.inbox,
            settle_s=settings.settle_s,
            sweep_s=settings.sweep_s,
            on_sweep=self._after_sweep,
        )

    def _after_sweep(self) -> None:
        assert self.inbox is not None  # noqa: S101
        self.health.set("inbox", self.inbox.problem)
        if self.inbox.ready:
            self.worker.wake()

    def _nudge(self) -> None:
        if self._watcher:
            self._watcher.nudge()

    def _newest(self) -> str:
        return next((result.finished for result in self.store.newest(1)), "")

    def _observe(self, result: StoredResult) -> None:
        for observer in self._observers:
            observer(result)

    def start(self) -> None:
        """Start every part.

        Raises:
            CxrEdgeError: one cannot be started.
        """
        self.worker.start()
        if self._watcher:
            self._watcher.start()
            self._after_sweep()
        self._files.start()

    def stop(self) -> None:
        """Stop every part; the image in hand is finished and stored."""
        if self._watcher:
            self._watcher.stop()
        self.worker.stop()
        self._files.stop()
        self.store.close()

    # --- called by the worker

    def _upkeep(self) -> None:
        """Between two images: old results, a new bundle."""
        try:
            self._retention.tidy_if_due()
        except StoreError as err:
            self.health.set("store", str(err))
        if self._new_model.is_set():
            self._new_model.clear()
            self._change_model()

    def _change_model(self) -> None:
        try:
            model = ServedModel.load(self.config)
            problem = model.check_all()
        except CxrEdgeError as err:
            problem = str(err)
        if problem:
            self.health.set("bundle", f"the new bundle is not used: {problem}")
            return
        self.model = self.recorder.model = model
        self.health.serves(model)
        self.health.passed()
        self.health.set("model", "")
        self.health.set("bundle", "")
        self._say(f"runs bundle {model.sha256[:16]}, {model.classifier.artifact} from now on")

    # --- called by the main thread

    def _bundle_identity(self) -> object:
        return manifest_identity(Path(self.config.bundle)) if self.config.bundle else None

    def look_after(self) -> None:
        """Look whether the bundle was replaced, and tell systemd how it goes.

        Raises:
            EngineError: the worker has ended.
        """
        identity = self._bundle_identity()
        if identity not in (None, self._identity):
            self._identity = identity
            self._new_model.set()
            self.worker.wake()
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
        if self.inbox:
            parts.append(f"inbox {printable(self.inbox.folder)}")
        return "ready: " + ", ".join(parts)


def serve(file: Path, say: Say) -> None:
    """Run the service until SIGTERM or SIGINT; SIGHUP reads the settings again.

    Args:
        file: ``cxr-edge.toml``.
        say: see :data:`Say`.

    Raises:
        CxrEdgeError: it cannot run; the first start and a reload alike.
    """
    config = read_config(file)
    with _signals() as signals, _alone(config):
        service = _started(config, say)
        while True:
            notify("READY=1", f"STATUS={service.describe()}")
            try:
                _look_after(service, signals)
            finally:
                notify("STOPPING=1" if signals.stop.is_set() else "STATUS=reading its settings")
                service.stop()
            if signals.stop.is_set():
                say("stopped")
                return
            signals.reload.clear()
            service = _reloaded(file, config, say)
            config = service.config


class _Signals:
    def __init__(self) -> None:
        self.stop, self.reload, self.wake = (threading.Event() for _ in range(3))


def _started(config: ServiceConfig, say: Say) -> Service:
    service = Service(config, say)
    service.start()
    say(service.describe())
    return service


def _reloaded(file: Path, old: ServiceConfig, say: Say) -> Service:
    """Start with the settings as they are now; with the old ones where these do not work."""
    try:
        new = read_config(file)
        if new.store.file != old.store.file:
            raise UsageError("store.file cannot be changed while the service runs; restart it")
        return _started(new, say)
    except CxrEdgeError as err:
        say(f"the new settings are not used: {err}")
        return _started(old, say)


def _look_after(service: Service, signals: _Signals) -> None:
    expected = watchdog_s()
    tick = min(_TICK_S, expected / 4) if expected else _TICK_S
    while not (signals.stop.is_set() or signals.reload.is_set()):
        service.look_after()
        signals.wake.wait(tick)
        signals.wake.clear()


@contextlib.contextmanager
def _signals() -> Iterator[_Signals]:
    """Note signals instead of being ended by them, while the block runs."""
    signals = _Signals()

    def handle(number: int, frame: FrameType | None) -> None:
        (signals.reload if number == signal.SIGHUP else signals.stop).set()
        signals.wake.set()

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _alone(config: ServiceConfig) -> Iterator[None]:
    """Let one process write to a store.

    Raises:
        UsageError: another service does.
        OutputError: the store's folder cannot be written.
    """
    file = Path(f"{config.store.file}.lock")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as err:
        raise OutputError(f"{printable(file)}: cannot be written: {err.strerror}") from err
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise UsageError(
                f"{printable(config.store.file)}: another cxr-edge serve uses it; stop that one"
            ) from err
        yield
    finally:
        os.close(lock)
