"""The parts that talk to others, HTTP and MQTT: made and imported where the settings ask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cxr_edge.service.config import ServiceConfig
from cxr_edge.service.health import Health
from cxr_edge.service.store.writer import Store
from cxr_edge.service.worker import Worker

if TYPE_CHECKING:
    from cxr_edge.service.http.server import HttpServer
    from cxr_edge.service.metrics import Metrics
    from cxr_edge.service.mqtt import Mqtt


def make_http(
    config: ServiceConfig,
    worker: Worker,
    store: Store,
    health: Health,
    mqtt: Mqtt | None,
    newest: str,
) -> tuple[Metrics | None, HttpServer | None]:
    """The figures and the server; None: HTTP is turned off.

    Args:
        config: all settings.
        worker: takes uploads.
        store: is read.
        health: is asked for the state.
        mqtt: the connection to a broker; None: there is none.
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
    metrics = Metrics(health, mqtt=mqtt, last_finished=newest or None)
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
