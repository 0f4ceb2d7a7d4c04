"""What the service says of itself: its problems, whether it takes work, whether it is alive."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cxr_edge import __version__
from cxr_edge.device.sensors import is_throttled, temperature_c
from cxr_edge.service.clock import stamp
from cxr_edge.service.config import HealthSettings, StoreSettings
from cxr_edge.service.model import ServedModel

if TYPE_CHECKING:
    from cxr_edge.service.dicom.figures import DicomReport

Part = (
    Literal["model", "store", "disk", "inbox", "moving", "claimed", "extra", "keeping", "bundle"]
    | Literal["received", "received-moving", "received-claimed", "received-extra"]
    | Literal["worker", "reports", "unreported", "forward", "dead"]
)

_STOPS_WORK: tuple[Part, ...] = ("model", "store", "disk")
"""While one of these has a problem, no work is taken."""

_REMARKS: tuple[Part, ...] = ("bundle", "keeping", "unreported", "forward")
"""Problems that leave the service as good as it was."""

_ENOUGH_AGAIN = 1.1
"""Share of the least free disk space at which work is taken up again."""

_LONGEST_IMAGE_S = 120.0
"""After which one image has hung the worker."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The state of the service."""

    ok: bool
    problems: tuple[str, ...]
    """One line each; also remarks that leave the service ok."""
    paused: str
    """Why no work is taken; empty: it is."""
    bundle: str
    """SHA-256 of the bundle's manifest."""
    artifact: str
    engine: str
    threads: int
    labels: tuple[str, ...]
    positive_label: str | None
    last_check: str | None
    """When a golden input last had the original model's score; null: not yet."""
    waiting: int
    """Files and uploads that are not classified yet."""
    free_disk_mb: int
    temperature_c: float | None
    """Of the CPU; null: not measured here."""
    throttled: bool | None
    """Whether the device runs slower, as it is hot or short of voltage; null: unknown."""
    started: str
    version: str
    dicom: DicomReport | None = None
    """Images and reports over the network; null: DICOM is turned off."""


class Health:
    """Collects what the parts of the service report. Threads may share it."""

    def __init__(
        self,
        settings: HealthSettings,
        store: StoreSettings,
        folders: Iterable[Path],
        say: Callable[[str], None],
    ) -> None:
        """Begin without a problem.

        Args:
            settings: how often the model is checked.
            store: the least free disk space.
            folders: whose disks are watched.
            say: called with one line when a problem begins, and when it ends.
        """
        self._settings, self._store, self._say = settings, store, say
        self._folders = tuple(folders)
        self._lock = threading.Lock()
        self._problems: dict[Part, str] = {}
        self._model: ServedModel | None = None
        self._checked: float | None = None
        self._last_check: str | None = None
        self._beat = time.monotonic()
        self._started = stamp()
        self.waiting: Callable[[], int] = lambda: 0
        """Files and uploads that are not classified yet."""
        self.dicom: Callable[[], DicomReport | None] = lambda: None
        """The state of DICOM."""

    def set(self, part: Part, problem: str) -> None:
        """Report the problem of a part; empty: it has none."""
        with self._lock:
            before = self._problems.get(part, "")
            if problem:
                self._problems[part] = problem
            else:
                self._problems.pop(part, None)
        if problem and not before:
            stops = "; no work is taken until it is mended" if part in _STOPS_WORK else ""
            self._say(f"{problem}{stops}")
        elif before and not problem:
            self._say(f"over: {before}")

    def serves(self, model: ServedModel) -> None:
        """Say which model runs."""
        self._model = model

    def check_model(self) -> None:
        """Classify a golden input as any image; called by the worker."""
        assert self._model is not None  # noqa: S101
        problem = self._model.check()
        if not problem:
            self.passed()
        self.set("model", problem and f"the model does not work as it should: {problem}")

    def passed(self) -> None:
        """Say that the model was checked."""
        self._checked, self._last_check = time.monotonic(), stamp()

    def doubt_model(self) -> None:
        """Have the model checked before the next image: its output was no probability."""
        self._checked = None

    def check_disk(self) -> None:
        """Look at the free disk space."""
        least = self._store.min_free_mb
        paused = "disk" in self._problems
        free, folder = min((self._free_mb(folder), folder) for folder in self._folders)
        problem = ""
        if free < 0:
            problem = f"the disk of {folder} cannot be examined"
        elif free < least * (_ENOUGH_AGAIN if paused else 1):
            problem = (
                f"the disk of {folder} is nearly full: {free:,.0f} MB free, {least:,.0f} needed"
            )
        if not (paused and problem):  # said once, with its first figures
            self.set("disk", problem)

    @staticmethod
    def _free_mb(folder: Path) -> float:
        """Free space for a folder, or for the one that it is to be made in; -1: unknown."""
        while True:
            try:
                return shutil.disk_usage(folder).free / 1e6
            except FileNotFoundError:
                folder = folder.parent
            except OSError:  # of a share, or not permitted
                return -1

    @property
    def check_is_due(self) -> bool:
        """Whether the model is to be checked now."""
        return self._checked is None or (time.monotonic() - self._checked >= self._settings.check_s)

    def beat(self) -> None:
        """Say that the worker goes on."""
        self._beat = time.monotonic()

    @property
    def is_alive(self) -> bool:
        """Whether the model was lately seen to work, and the worker goes on."""
        now = time.monotonic()
        latest = 3 * self._settings.check_s + _LONGEST_IMAGE_S
        return (
            "model" not in self._problems
            and self._checked is not None
            and now - self._checked < latest
            and now - self._beat < _LONGEST_IMAGE_S
        )

    def has_problem(self, part: Part) -> bool:
        """Whether a part has a problem."""
        return part in self._problems

    @property
    def cannot_store(self) -> bool:
        """Whether no result can be stored now."""
        return self.has_problem("store") or self.has_problem("disk")

    @property
    def paused(self) -> str:
        """Why no work is taken; empty: it is."""
        problems = dict(self._problems)
        return next((problems[part] for part in _STOPS_WORK if part in problems), "")

    def report(self) -> HealthReport:
        """The state now."""
        model = self._model
        assert model is not None, "the model is loaded before anybody asks"  # noqa: S101
        stale = time.monotonic() - self._beat >= _LONGEST_IMAGE_S
        self.set("worker", "the worker has not moved for two minutes" if stale else "")
        with self._lock:
            problems = dict(self._problems)
        classifier = model.classifier
        return HealthReport(
            ok=not any(part not in _REMARKS for part in problems) and self._checked is not None,
            problems=tuple(problems.values()),
            paused=self.paused,
            bundle=model.sha256,
            artifact=classifier.artifact,
            engine=classifier.engine,
            threads=classifier.threads,
            labels=classifier.spec.labels,
            positive_label=classifier.spec.positive_label,
            last_check=self._last_check,
            waiting=self.waiting(),
            free_disk_mb=max(0, int(min(self._free_mb(folder) for folder in self._folders))),
            temperature_c=temperature_c(),
            throttled=is_throttled(),
            started=self._started,
            version=__version__,
            dicom=self.dicom(),
        )
