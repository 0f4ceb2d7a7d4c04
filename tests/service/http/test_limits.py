"""Oversized, slow, malformed and many requests: typed answers, and the service goes on (R11)."""

from __future__ import annotations

import contextlib
import runpy
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cxr_edge.errors import UsageError

FAKE: Any = runpy.run_path(str(Path(__file__).parent / "fake.py"))
received = FAKE["received"]
POST = b"POST /v1/predictions?name=a HTTP/1.1\r\nHost: localhost\r\n"


def is_alive(client) -> bool:
    return client.get("/healthz").status == 200


def status_of(answer: bytes) -> int:
    """Of a whole answer in JSON."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/json" in head, answer
    assert body.startswith(b'{"error"'), answer
    return int(head.split()[1])


@pytest.mark.parametrize("extra", [0, 1])
def test_the_limit_of_a_body_is_exact(start, service, upload, extra):
    client = start(max_upload_bytes=100_000)
    body = upload(filler=99_998 + extra)
    answer = client.post("a.png", body)
    assert len(service.results) == 1 - extra
    if extra:
        assert answer.refusal() == (413, "TooLarge")
    else:
        assert answer.status == 201
    assert is_alive(client)


def test_an_announced_length_over_the_limit_is_refused_before_it_is_sent(start):
    client = start(max_upload_bytes=1000)
    for length in (b"1001", b"9" * 300, b"2000000000"):
        begun = time.monotonic()
        with client.connect() as connection:
            connection.sendall(
                POST + b"Expect: 100-continue\r\nContent-Length: " + length + b"\r\n\r\n"
            )
            assert status_of(received(connection)) in (400, 413)
        assert time.monotonic() - begun < 5
    assert is_alive(client)


def test_endless_chunks_end_and_memory_is_given_back(start, service, upload):
    client = start(max_upload_bytes=200_000, max_upload_memory_bytes=250_000)
    begun = time.monotonic()
    with client.connect() as connection, contextlib.suppress(ConnectionError):
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        while time.monotonic() - begun < 10:
            connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
    assert time.monotonic() - begun < 5
    assert not service.results
    assert client.post("b.png", upload(filler=190_000)).status == 201


def test_a_body_shorter_than_announced_is_no_upload(start, service):
    client = start(body_timeout_s=0.2)
    with client.connect() as connection:
        connection.sendall(POST + b"Content-Length: 100\r\n\r\nshort")
        connection.shutdown(socket.SHUT_WR)
        received(connection)
    with client.connect() as connection:  # gone without a word
        connection.sendall(POST + b"Content-Length: 100\r\n\r\nshort")
    assert is_alive(client)
    assert not service.results


def test_a_body_longer_than_announced_is_no_second_request(client, service, upload):
    answer = client.raw(POST + b"Content-Length: 2\r\n\r\n" + upload() + b"\0\1\2 rest\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 201")
    assert answer.count(b"HTTP/1.1 400") == 1
    assert len(service.results) == 1


def test_a_slow_body_is_given_up(start, service):
    client = start(body_timeout_s=0.3)
    with client.connect() as connection:
        connection.sendall(POST + b"Content-Length: 1000\r\n\r\n")
        begun = time.monotonic()
        answer = b""
        connection.settimeout(0.05)
        while not answer and time.monotonic() - begun < 10:
            with contextlib.suppress(TimeoutError):
                connection.sendall(b"x")
                answer = connection.recv(65536)
        connection.settimeout(20)
        assert status_of(answer + received(connection)) == 408
    assert is_alive(client)
    assert not service.results


@pytest.mark.parametrize("begin", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n"])
def test_slow_headers_are_given_up(start, begin):
    client = start(header_timeout_s=0.3)
    with client.connect() as connection:
        connection.sendall(begin)
        assert status_of(received(connection)) == 408
    assert is_alive(client)


def test_dripping_headers_are_given_up_after_an_answer_too(start):
    client = start(header_timeout_s=0.3)
    with client.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        begun = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - begun < 5:
                connection.sendall(b"a: b\r\n")
                time.sleep(0.05)
                connection.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    if connection.recv(65536):
                        break
                connection.setblocking(True)
        assert time.monotonic() - begun < 4
    assert is_alive(client)


def test_who_does_not_read_is_let_go(start, service):
    client = start(write_timeout_s=0.3)
    service.picture = bytes(20_000_000)
    number = client.post("a.png", b"\xff\0").json["stored"]["id"]
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", client.server.port))
        path = f"GET /v1/predictions/{number}/heatmap HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.sendall(path.encode())
        time.sleep(2)
        assert len(received(connection)) < len(service.picture)
    assert is_alive(client)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # TLS
        b"\0" * 1000,
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        POST + b"Transfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_a_400(client, service, data, capfd, caplog):
    answer = client.raw(data)
    assert answer.startswith(b"HTTP/1.1 "), answer
    assert status_of(answer) in (400, 411, 501)
    assert not service.results
    assert is_alive(client)
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_chunks_of_a_byte_hold_nobody_up(client, service):
    """They are refused by their header; what follows it is not read."""
    with client.connect() as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"1\r\nx\r\n" * 100_000)
        begun = time.monotonic()
        assert is_alive(client)
        assert time.monotonic() - begun < 4  # it was more than ten where they were read
    assert client.raw(POST + b"Transfer-Encoding: chunked\r\n\r\n").count(b" 411 ") == 1
    assert not service.results


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content_Encoding": "gzip"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 201),
    ],
)
def test_forms_and_compressed_bodies_are_refused(client, upload, headers, status):
    assert client.post("a.png", upload(), **headers).status == status


def test_an_empty_body_is_refused(client):
    assert client.post("a.png", b"").refusal() == (400, "BadRequest")


def test_a_websocket_is_not_opened(client):
    answer = client.get("/v1/predictions", Upgrade="websocket", Connection="Upgrade")
    assert answer.status == 200


def test_too_many_connections_are_refused(start):
    client = start(max_connections=3)
    idle = [client.connect() for _ in range(3)]
    time.sleep(0.1)
    with client.connect() as connection:
        answer = received(connection)
    assert status_of(answer) == 503
    for connection in idle:
        connection.close()
    time.sleep(0.1)
    assert is_alive(client)


def test_uploads_have_a_limit_of_memory_together(start, service, upload):
    client = start(max_upload_memory_bytes=250_000)
    goes_on = threading.Event()
    service.work = lambda: goes_on.wait(10)
    with ThreadPoolExecutor(4) as pool:
        bodies = [upload(filler=100_000) for _ in range(4)]
        answers = [pool.submit(client.post, f"{n}.png", body) for n, body in enumerate(bodies)]
        time.sleep(0.5)
        goes_on.set()
        statuses = Counter(answer.result().status for answer in answers)
    assert statuses == {201: 2, 503: 2}
    assert client.post("4.png", upload(filler=240_000)).status == 201


@pytest.mark.slow
def test_200_requests_at_the_same_time(client, service, upload, capfd):
    """Forty images, each sent five times at once: each is stored once."""
    service.work = lambda: time.sleep(0.001)
    bodies = [upload(number / 40, filler=20_000) for number in range(40)]

    def send(number: int) -> int:
        name = f"{number % 40}.png"
        while True:
            answer = client.post(name, bodies[number % 40])
            if answer.status != 503:
                return answer.status
            assert answer.refusal()[1] == "Busy"
            time.sleep(0.05)

    with ThreadPoolExecutor(200) as pool:
        statuses = Counter(pool.map(send, range(200)))
    assert statuses == {201: 40, 200: 160}
    assert len(service.results) == 40
    assert is_alive(client)
    assert capfd.readouterr() == ("", "")


def test_a_port_in_use_is_one_line(client, start):
    with pytest.raises(
        UsageError, match=r"cannot listen on 127\.0\.0\.1 port \d+: Address already"
    ):
        start(port=client.server.port)


def test_an_address_of_another_computer_is_one_line(start):
    with pytest.raises(UsageError, match=r"cannot listen on 192\.0\.2\.1 port"):
        start(host="192.0.2.1", token="t")
    with pytest.raises(UsageError, match="cannot listen on no-such-name"):
        start(host="no-such-name.invalid", token="t")


def test_ipv6(start, upload):
    import http.client

    client = start(host="::1")
    connection = http.client.HTTPConnection("::1", client.server.port, timeout=10)
    connection.request("GET", "/healthz")
    assert connection.getresponse().read()
    connection.close()


def test_a_request_in_progress_is_answered_when_the_server_stops(start, service, upload):
    client = start()
    is_at_work, goes_on = threading.Event(), threading.Event()
    service.work = lambda: (is_at_work.set(), goes_on.wait(10))
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(client.post, "a.png", upload())
        assert is_at_work.wait(10)
        stop = pool.submit(client.server.stop)
        time.sleep(0.2)
        goes_on.set()
        assert answer.result().status == 201
        stop.result()
    with pytest.raises(ConnectionRefusedError):
        client.connect()
