"""Messages to a broker: what they carry, and that nobody waits for the broker.

tests/system/test_mosquitto.py has a real one.
"""

from __future__ import annotations

import json
import logging
import runpy
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from cxr_edge.errors import UsageError
from cxr_edge.service import mqtt
from cxr_edge.service.mqtt import Mqtt, MqttSettings, result_message

FAKE: dict[str, Any] = runpy.run_path(str(Path(__file__).parent / "http/fake.py"))


def draw_results(*uploads: bytes) -> list[Any]:
    service = FAKE["FakeService"]()
    for data in uploads:
        service.submit("Doe^John.dcm", data).result()
    return list(service.results)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_a_message_is_the_answer_of_a_post():
    (result,) = draw_results(b"\xff\0")
    message = result_message(result, names=True)
    assert message["schema"] == "cxr-edge.predictions/1"
    assert (message["source"], message["stored"]["path"]) == ("Doe^John.dcm", "Doe^John.dcm")
    assert (message["label"], message["stored"]["id"]) == ("PNEUMONIA", 1)


def test_names_and_texts_that_quote_them_are_left_out():
    for result in draw_results(b"\xff\0", b"bad"):
        message = result_message(result, names=False)
        assert "Doe" not in json.dumps(message)
        assert message.keys() == result_message(result, names=True).keys()
        assert "Doe" in json.dumps(result.document)
    assert message["error"] == "ImageError"


def test_without_a_broker_there_is_one_notice_and_a_bound(caplog, monkeypatch):
    monkeypatch.setattr(mqtt, "_MAX_MESSAGES", 3)
    sender = Mqtt(MqttSettings(host="127.0.0.1", port=closed_port()))
    (result,) = draw_results(b"\xff\0")
    with caplog.at_level(logging.WARNING, "cxr_edge"):
        sender.start()
        begun = time.monotonic()
        for _ in range(10):
            sender.publish(result)
        assert time.monotonic() - begun < 0.5
        until = time.monotonic() + 10
        while not caplog.records and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(1.2)  # a second attempt
        sender.stop()
    assert time.monotonic() - begun < 8
    assert not sender.connected
    assert sender.dropped == 7
    (record,) = caplog.records
    assert "no connection: [Errno 111] Connection refused; trying" in record.getMessage()
    assert "Doe" not in record.getMessage()


def test_who_accepts_but_never_answers_holds_nothing_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sender = Mqtt(MqttSettings(host="127.0.0.1", port=silent.getsockname()[1]))
        sender.start()
        begun = time.monotonic()
        for result in draw_results(b"\xff\0", b"\0\0"):
            sender.publish(result)
        assert time.monotonic() - begun < 0.5
        sender.stop()
        assert time.monotonic() - begun < 5
    assert not sender.connected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prefix": ""}, "is no topic"),
        ({"prefix": "a/#"}, "is no topic"),
        ({"prefix": "$SYS"}, "is no topic"),
        ({"host": "a..b"}, "is no name of a computer"),
        ({"password_file": "x"}, r"without mqtt\.username"),
        ({"username": "u", "password_file": "absent"}, "absent"),
        ({"ca_file": "x"}, r"without mqtt\.tls"),
        ({"tls": True, "ca_file": "absent"}, "absent: no certificates"),
        ({"tls": True, "ca_file": __file__}, "no certificates"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        Mqtt(MqttSettings(**{"host": "127.0.0.1", **settings}))
