"""The process of the service: one for a store, its signals, its start and end."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from cxr_edge.errors import CxrEdgeError, OutputError, StoreError, UsageError
from cxr_edge.files import printable, why
from cxr_edge.service.config import ServiceConfig, read_config
from cxr_edge.service.model import ServedModel
from cxr_edge.service.notify import notify, watchdog_s
from cxr_edge.service.service import Say, Service
from cxr_edge.service.settings import SettingsFile

_TICK_S = 0.5
_LONGEST_FALLBACK_S, _FALLBACK_STEP_S = 60.0, 2.0


def serve(file: Path, say: Say) -> None:
    """Run the service until SIGTERM or SIGINT; SIGHUP reads the settings again.

    Args:
        file: ``cxr-edge.toml``.
        say: see :data:`Say`.

    Raises:
        CxrEdgeError: it cannot run; the first start and a reload alike.
    """
    config, source = read_config(file)
    os.umask(os.umask(0o077) | 0o007)  # images and results are not for every user of the computer
    with _signals() as signals, _alone(config):
        service = _started(config, source, say)
        while True:
            notify("READY=1", f"STATUS={service.describe()}")
            new = None
            try:
                while new is None and not signals.stop.is_set():
                    _look_after(service, signals)
                    if signals.reload.is_set():
                        signals.reload.clear()
                        new = _new_settings(file, service, say)
            finally:
                notify("STATUS=reading its settings" if new else "STOPPING=1")
                service.stop()
            if new is None:
                say("stopped")
                return
            service = _reloaded(new, service, say, signals)
            gc.collect()  # the parts of the service before refer to each other


class _Signals:
    def __init__(self) -> None:
        self.stop, self.reload, self.wake = (threading.Event() for _ in range(3))


def _started(
    config: ServiceConfig, source: SettingsFile, say: Say, model: ServedModel | None = None
) -> Service:
    service = Service(config, source, say, model=model)
    service.start()
    say(service.describe())
    return service


def _new_settings(
    file: Path, service: Service, say: Say
) -> tuple[ServiceConfig, SettingsFile] | None:
    """The settings as they are now; None: they are not to be used, and one line said why."""
    if service.health.cannot_store:
        say("the settings are not read again while results cannot be stored")
        return None
    try:
        config, source = read_config(file)
        if config.store.file != service.config.store.file:
            with source.blamed("store.file"):
                raise UsageError("the store cannot be changed while the service runs; restart it")
    except CxrEdgeError as err:
        say(f"the new settings are not used: {err}")
        return None
    return config, source


def _reloaded(
    new: tuple[ServiceConfig, SettingsFile], old: Service, say: Say, signals: _Signals
) -> Service:
    """Start with new settings; with the old ones, and their model, where these do not work."""
    try:
        return _started(*new, say)
    except CxrEdgeError as err:
        say(f"the new settings are not used: {err}")
    end = time.monotonic() + _LONGEST_FALLBACK_S
    while True:
        try:
            return _started(old.config, old.source, say, old.model)
        except StoreError:  # as on a full disk, which may end
            if time.monotonic() > end or signals.stop.wait(_FALLBACK_STEP_S):
                raise


def _look_after(service: Service, signals: _Signals) -> None:
    """Look after a service until it is to stop, or to read its settings again."""
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
    file = Path(f"{Path(config.store.file).resolve()}.lock")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as err:
        raise OutputError(f"{printable(file)}: cannot be written: {why(err)}") from err
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
