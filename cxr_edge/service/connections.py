"""The parts that talk to others, HTTP, MQTT and DICOM: made and imported where the settings ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_edge.service.config import ServiceConfig
from cxr_edge.service.health import Health
from cxr_edge.service.model import ServedModel
from cxr_edge.service.recorder import Recorder
from cxr_edge.service.store.writer import Store
from cxr_edge.service.worker import Worker

if TYPE_CHECKING:
    from cxr_edge.service.dicom.figures import Figures
    from cxr_edge.service.dicom.parts import DicomParts
    from cxr_edge.service.http.server import HttpServer
    from cxr_edge.service.metrics import Metrics
    from cxr_edge.service.mqtt import Mqtt


def make_http(
    config: ServiceConfig,
    worker: Worker,
    store: Store,
    health: Health,
    mqtt: Mqtt | None,
    *,
    dicom: Figures | None,
    newest: str,
) -> tuple[Metrics | None, HttpServer | None]:
    """The figures and the server; None: HTTP is turned off.

    Args:
        config: all settings.
        worker: takes uploads.
        store: is read.
        health: is asked for the state.
        mqtt: the connection to a broker; None: there is none.
        dicom: counts of DICOM; None: it is turned off.
        newest: when the newest result was finished; empty: there is none.

    Raises:
        UsageError: the token cannot be used.
    """
    if not config.http.enabled:
        return None, None
    from cxr_edge.service.http.app import build_app
    from cxr_edge.service.http.server import HttpServer
    from cxr_edge.service.http.settings import ServerSettings, read_token
    from cxr_edge.service.metrics import Metrics

    http = config.http
    settings = ServerSettings(
        host=http.host,
        port=http.port,
        token=read_token(Path(http.token_file)) if http.token_file else None,
        max_upload_bytes=int(http.max_body_mb * 1e6),
    )
    metrics = Metrics(health, mqtt=mqtt, dicom=dicom, last_finished=newest or None)
    app = build_app(worker, store, health, metrics, settings)
    return metrics, HttpServer(app, settings)


def make_mqtt(config: ServiceConfig) -> Mqtt | None:
    """The connection to the broker; None: there is none.

    Raises:
        UsageError: its settings do not fit together.
        MissingExtraError: paho-mqtt is not installed.
    """
    if not config.mqtt.host:
        return None
    from cxr_edge.service.mqtt import Mqtt

    return Mqtt(config.mqtt)


def make_dicom(
    config: ServiceConfig,
    recorder: Recorder,
    store: Store,
    health: Health,
    *,
    model: Callable[[], ServedModel],
    wake: Callable[[], None],
) -> DicomParts | None:
    """The listener and the delivery of reports; None: neither is wanted.

    Args:
        config: all settings.
        recorder: classifies and stores.
        store: is asked for results.
        health: is told what does not work.
        model: the one that runs now.
        wake: called when an object waits to be classified.

    Raises:
        UsageError: a file that the settings name is unusable.
        MissingExtraError: a package is not installed.
    """
    if not (config.dicom.enabled or config.dicom.forward):
        return None
    from cxr_edge.service.dicom.parts import DicomParts

    return DicomParts(config, recorder, store, health, model=model, wake=wake)


def dicom_folders(config: ServiceConfig) -> list[Path]:
    """The folders of DICOM, whose disks must have room."""
    dicom = config.dicom
    received = [Path(dicom.folder)] if dicom.enabled else []
    return [*received, *([Path(dicom.outbox)] if dicom.forward else [])]
