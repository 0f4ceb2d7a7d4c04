"""Messages through a real broker: names, last will, reconnecting. Needs Debian's mosquitto."""

from __future__ import annotations

import datetime
import ipaddress
import json
import logging
import os
import queue
import runpy
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import CallbackAPIVersion, Client

from cxr_edge.service.mqtt import Mqtt, MqttSettings

pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent.parent
FAKE: dict[str, Any] = runpy.run_path(str(ROOT / "tests/service/http/fake.py"))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Broker:
    """A mosquitto on a port of its own."""

    def __init__(self, folder: Path, settings: str = "allow_anonymous true") -> None:
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            pytest.fail("mosquitto is missing: apt-get install mosquitto")
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"user root\nlistener {self.port} 127.0.0.1\n{settings}\n")
        self._program = program
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "-c", self._config],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < until, "mosquitto does not listen"
                time.sleep(0.02)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


class Listener:
    """A subscriber that remembers all messages: topic, retained, payload."""

    def __init__(
        self, port: int, prepare: Callable[[Client], object] = lambda client: None
    ) -> None:
        self.messages: queue.Queue[tuple[str, bool, bytes]] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2)
        prepare(self._client)
        self._client.on_message = lambda client, userdata, message: self.messages.put(
            (message.topic, message.retain, message.payload)
        )
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        ready: queue.Queue[None] = queue.Queue()
        self._client.on_subscribe = lambda *_: ready.put(None)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        ready.get(timeout=10)

    def next(self) -> tuple[str, bool, bytes]:
        return self.messages.get(timeout=15)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.stop()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    listener = Listener(broker.port)
    yield listener
    listener.stop()


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def results(count: int) -> list[Any]:
    service = FAKE["FakeService"]()
    for number in range(count):
        service.submit(f"Doe-{number}.dcm", bytes([number, 0])).result()
    return list(service.results)


def test_results_and_availability(broker, listener):
    sender = Mqtt(MqttSettings(host="localhost", port=broker.port, prefix="ward/xray"))
    sender.start()
    assert listener.next() == ("ward/xray/availability", False, b"online")
    for result in results(3):
        sender.publish(result)
    for number in range(3):
        topic, retained, payload = listener.next()
        message = json.loads(payload)
        assert (topic, retained, message["stored"]["id"]) == (
            "ward/xray/results",
            False,
            number + 1,
        )
        assert message["schema"] == "cxr-edge.predictions/1"
        assert b"Doe" not in payload
    late = Listener(broker.port)
    assert late.next() == ("ward/xray/availability", True, b"online")
    late.stop()
    sender.stop()
    assert listener.next() == ("ward/xray/availability", False, b"offline")
    assert not sender.dropped


def test_a_device_that_is_gone_is_offline(broker, listener):
    """The broker says so in its place, as its last will."""
    code = (
        "import os, sys, time\n"
        "from cxr_edge.service.mqtt import MqttSettings\n"
        "from cxr_edge.service.mqtt import Mqtt\n"
        "sender = Mqtt(MqttSettings(host='127.0.0.1', port=int(sys.argv[1])))\n"
        "sender.start()\n"
        "time.sleep(60)\n"
    )
    device = subprocess.Popen([sys.executable, "-c", code, str(broker.port)], cwd=ROOT)
    assert listener.next() == ("cxr-edge/availability", False, b"online")
    device.kill()
    device.wait()
    assert listener.next() == ("cxr-edge/availability", False, b"offline")


def test_messages_wait_for_a_broker_that_comes_back(broker, caplog):
    sender = Mqtt(MqttSettings(host="127.0.0.1", port=broker.port, names=True))
    sender.start()
    wait_for(lambda: sender.connected)
    with caplog.at_level(logging.WARNING, "cxr_edge"):
        broker.stop()
        wait_for(lambda: not sender.connected)
        for result in results(30):  # more than may be under way unacknowledged
            sender.publish(result)
        time.sleep(1.5)
        broker.start()
        listener = Listener(broker.port)
        topics, paths = set(), []
        while len(paths) < 30:
            topic, _, payload = listener.next()
            topics.add(topic)
            if topic.endswith("/results"):
                paths.append(json.loads(payload)["stored"]["path"])
    assert paths == [f"Doe-{number}.dcm" for number in range(30)]
    assert "cxr-edge/availability" in topics
    sender.stop()
    listener.stop()
    lost, back = [record.getMessage() for record in caplog.records]
    assert "the connection ended" in lost and "connected to 127.0.0.1" in back


def test_passwords(tmp_path, caplog):
    passwords, secret = tmp_path / "passwords", tmp_path / "secret"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "xray", "pa55"], check=True)
    settings = f"allow_anonymous false\npassword_file {passwords}"
    broker = Broker(tmp_path, settings)
    try:
        for password, is_right in (("pa55\n", True), ("wrong", False)):
            secret.write_text(password)
            account = {"username": "xray", "password_file": str(secret)}
            sender = Mqtt(MqttSettings(host="127.0.0.1", port=broker.port, **account))
            with caplog.at_level(logging.WARNING, "cxr_edge"):
                sender.start()
                wait_for(lambda: sender.connected or caplog.records)  # noqa: B023
                assert sender.connected is is_right
                sender.stop()
    finally:
        broker.stop()
    (record,) = caplog.records
    assert "refuses the connection: Not authorized" in record.getMessage()
    assert "pa55" not in record.getMessage()


# paho-mqtt leaves a socket whose handshake failed to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls(tmp_path, caplog):
    write_certificate(tmp_path)
    settings = f"allow_anonymous true\ncertfile {tmp_path}/cert.pem\nkeyfile {tmp_path}/key.pem"
    broker = Broker(tmp_path, settings)
    try:
        trusting = {"tls": True, "ca_file": str(tmp_path / "cert.pem")}
        sender = Mqtt(MqttSettings(host="127.0.0.1", port=broker.port, **trusting))
        sender.start()
        wait_for(lambda: sender.connected)
        sender.stop()
        stranger = Mqtt(MqttSettings(host="127.0.0.1", port=broker.port, tls=True))
        with caplog.at_level(logging.WARNING, "cxr_edge"):
            stranger.start()
            wait_for(lambda: caplog.records)
            assert not stranger.connected
            assert "certificate verify failed" in caplog.records[0].getMessage()
            stranger.stop()
    finally:
        broker.stop()


def write_certificate(folder: Path) -> None:
    """Write a certificate of 127.0.0.1 that signs itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "broker")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
