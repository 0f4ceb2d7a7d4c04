"""Results to an MQTT broker; the extra ``mqtt``.

The worker never waits for the broker: messages are kept in memory while it is away, up to a
bound, and then dropped. The store has every result, so no more than the message is lost.
"""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_edge.errors import UsageError, first_line
from cxr_edge.extras import require
from cxr_edge.files import printable, read_file
from cxr_edge.reporting import notice
from cxr_edge.service.settings import setting
from cxr_edge.service.store.rows import StoredResult, to_document

if TYPE_CHECKING:
    from paho.mqtt.client import Client

EXTRA = "mqtt"
ONLINE, OFFLINE = b"online", b"offline"

_MAX_MESSAGES = 1000
"""Kept while the broker is away; about 1 MB."""
_MAX_PASSWORD_BYTES = 4096
_KEEP_ALIVE_S = 30
_MAX_RETRY_S = 60
_STOP_S = 3.0
_NAME_BYTES = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:"


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Results to a broker; the extra mqtt."""

    host: str = setting("", "Host of the broker; empty: none.")
    port: int = setting(1883, "Port of the broker.", least=1, most=65535)
    username: str = setting("", "User at the broker; empty: none.")
    password_file: str = setting("", "File of the password; empty: none.")
    tls: bool = setting(False, "Whether to connect by TLS.")
    ca_file: str = setting("", "Certificates to trust (PEM); empty: the system's.")
    prefix: str = setting(
        "cxr-edge",
        "Results are published to PREFIX/results, online and offline to PREFIX/availability.",
    )
    names: bool = setting(False, "Whether messages carry file names, which may name patients.")


class Mqtt:
    """A connection to a broker, kept up by a thread of paho-mqtt.

    ``PREFIX/results`` has a message for each result, ``PREFIX/availability`` the retained word
    ``online`` or ``offline``; the broker writes ``offline`` when the device is gone.
    """

    def __init__(self, settings: MqttSettings) -> None:
        """Prepare the connection.

        Raises:
            UsageError: the settings do not fit together, or a file that they name is unusable.
            MissingExtraError: paho-mqtt is not installed.
        """
        self._settings = settings
        _check(settings)
        self._results = f"{settings.prefix}/results"
        self._availability = f"{settings.prefix}/availability"
        self.connected = False
        """Whether the broker accepted the connection."""
        self.dropped = 0
        """Messages for which there was no room."""
        self._is_reported = False
        self._client = self._make_client()

    def start(self) -> None:
        """Begin to connect, and to try again until it succeeds."""
        self._client.connect_async(self._settings.host, self._settings.port, _KEEP_ALIVE_S)
        self._client.loop_start()

    def publish(self, result: StoredResult) -> None:
        """Send a result when there is a connection; returns at once."""
        message = result_message(result, names=self._settings.names)
        sent = self._client.publish(self._results, json.dumps(message), qos=1)
        if sent.rc == self._module.MQTT_ERR_QUEUE_SIZE:
            self.dropped += 1

    def stop(self) -> None:
        """Say ``offline`` and end the connection; takes a few seconds at most."""
        if self.connected:
            sent = self._client.publish(self._availability, OFFLINE, qos=1, retain=True)
            if sent.rc == self._module.MQTT_ERR_SUCCESS:
                sent.wait_for_publish(_STOP_S)
        self._client.disconnect()
        # An attempt to connect may be under way, which paho-mqtt does not interrupt.
        stopping = threading.Thread(target=self._client.loop_stop, daemon=True)
        stopping.start()
        stopping.join(_STOP_S)

    def _make_client(self) -> Client:
        self._module = require("paho.mqtt.client", EXTRA)
        client: Client = self._module.Client(self._module.CallbackAPIVersion.VERSION2)
        client.max_queued_messages_set(_MAX_MESSAGES)
        client.reconnect_delay_set(1, _MAX_RETRY_S)
        client.will_set(self._availability, OFFLINE, qos=1, retain=True)
        if self._settings.username:
            client.username_pw_set(self._settings.username, _read_password(self._settings))
        if self._settings.tls:
            _set_tls(client, self._settings)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        return client

    def _on_connect(
        self, client: Client, userdata: object, flags: object, reason: Any, properties: object
    ) -> None:
        if reason.is_failure:
            self._report(f"the broker refuses the connection: {reason}")
            return
        self.connected = True
        client.publish(self._availability, ONLINE, qos=1, retain=True)
        if self._is_reported:
            notice(f"MQTT: connected to {self._broker}")
            self._is_reported = False

    def _on_connect_fail(self, client: Client, userdata: object) -> None:
        error = sys.exception()  # paho-mqtt calls this where it catches the error
        self._report("no connection" + (f": {first_line(error)}" if error else ""))

    def _on_disconnect(
        self, client: Client, userdata: object, flags: object, reason: Any, properties: object
    ) -> None:
        self.connected = False
        if reason.is_failure:
            self._report(f"the connection ended: {reason}")

    def _report(self, problem: str) -> None:
        """Log a problem, once until the connection is back."""
        if not self._is_reported:
            self._is_reported = True
            notice(f"MQTT: {self._broker}: {problem}; trying again until there is a connection")

    @property
    def _broker(self) -> str:
        return f"{printable(self._settings.host)} port {self._settings.port}"


def result_message(result: StoredResult, *, names: bool) -> dict[str, Any]:
    """A result as a message.

    Args:
        result: a new result.
        names: whether the message carries the file's name. Without it the text of a failure, which
            may quote the name, is left out too.
    """
    document = to_document(result)
    if not names:
        document["source"] = None
        if "heatmap" in document:
            document["heatmap"] = None
        document["stored"]["path"] = None
        if "message" in document:
            document["message"] = None
    return document


def _check(settings: MqttSettings) -> None:
    """Refuse settings that cannot work.

    Raises:
        UsageError: they cannot.
    """
    try:
        is_name = not settings.host.encode("idna").strip(_NAME_BYTES)
    except UnicodeError:
        is_name = False
    if not is_name:
        raise UsageError(f"mqtt.host {settings.host!r} is no name of a computer")
    prefix = settings.prefix
    if not prefix or set("#+\0") & set(prefix) or prefix.startswith(("/", "$")):
        raise UsageError(
            f"mqtt.prefix {prefix!r} is no topic; expected one without # and +, such as cxr-edge"
        )
    if settings.password_file and not settings.username:
        raise UsageError("mqtt.password_file is set without mqtt.username; MQTT needs both")
    if settings.ca_file and not settings.tls:
        raise UsageError("mqtt.ca_file is set without mqtt.tls; set tls = true")


def _read_password(settings: MqttSettings) -> str | None:
    if not settings.password_file:
        return None
    file = Path(settings.password_file)
    data = read_file(file, max_bytes=_MAX_PASSWORD_BYTES, error=UsageError)
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError as err:
        raise UsageError(f"{printable(file)}: the password is no text in UTF-8") from err


def _set_tls(client: Client, settings: MqttSettings) -> None:
    """Turn TLS on.

    Raises:
        UsageError: the file of certificates is unusable.
    """
    try:
        client.tls_set(ca_certs=settings.ca_file or None)
    except (OSError, ValueError) as err:  # ssl.SSLError is an OSError
        file = printable(settings.ca_file)
        raise UsageError(
            f"{file}: no certificates in PEM format can be read: {first_line(err)}"
        ) from err
