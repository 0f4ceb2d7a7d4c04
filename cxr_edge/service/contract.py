"""What HTTP, metrics and MQTT need of the store, the worker and the health check."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, Protocol

SCHEMA = "cxr-edge.predictions/1"


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A row of the store."""

    id: int
    source: Literal["inbox", "http", "dicom"]
    path: str
    content: str
    received: str
    finished: str
    bundle: str
    latency_ms: float
    document: dict[str, object]
    hash: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """The result of an upload."""

    result: StoredResult
    is_new: bool


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The state of the service."""

    ok: bool
    problems: tuple[str, ...]
    paused: str
    bundle: str
    artifact: str
    engine: str
    threads: int
    labels: tuple[str, ...]
    positive_label: str | None
    last_check: str | None
    waiting: int
    free_disk_mb: int
    temperature_c: float | None
    throttled: bool | None
    started: str
    version: str


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Results to a broker; the extra mqtt."""

    host: str = ""
    port: int = 1883
    username: str = ""
    password_file: str = ""
    tls: bool = False
    ca_file: str = ""
    prefix: str = "cxr-edge"
    names: bool = False


class QueueFull(Exception):  # noqa: N818
    """The worker has enough to do."""


class Paused(Exception):  # noqa: N818
    """The worker takes nothing; the message says why."""


class Stopping(Exception):  # noqa: N818
    """The service ends."""


class NoHeatmap(Exception):  # noqa: N818
    """There is no heat map; the message says why."""


class Store(Protocol):
    """Reads results."""

    def newest(self, limit: int, *, before: int | None = None) -> list[StoredResult]:
        """Results, newest first."""

    def find(self, id: int) -> StoredResult | None:
        """The result with an id."""


class Worker(Protocol):
    """Classifies."""

    def submit(self, name: str, data: bytes) -> Future[Delivered]:
        """Have an upload classified; returns at once."""

    def heatmap(self, result: StoredResult) -> Future[bytes]:
        """Have the heat map of a result drawn as a PNG; returns at once."""


class Health(Protocol):
    """Knows the state."""

    def report(self) -> HealthReport:
        """The state now."""
