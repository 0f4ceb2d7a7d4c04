"""A service without a model: every image has the score that its first byte says."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import socket
import struct
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from cxr_edge.errors import NoHeatmap
from cxr_edge.service.health import HealthReport
from cxr_edge.service.http.app import build_app
from cxr_edge.service.http.server import HttpServer
from cxr_edge.service.http.settings import ServerSettings
from cxr_edge.service.metrics import Metrics
from cxr_edge.service.store.rows import StoredResult
from cxr_edge.service.worker import Delivered, Paused, QueueFull

LABELS = ("PNEUMONIA", "NORMAL")
THRESHOLD = 0.5
BUNDLE = "5ce1a9c0" * 8


def upload(score: float = 0.9, *, filler: int = 0, unlike: bool = False) -> bytes:
    """Bytes that the fake reads as an image of this score."""
    return bytes([round(score * 255), unlike]) + b"x" * filler


def png(width: int, height: int) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    rows = b"".join(b"\0" + bytes(x * 255 // width for x in range(width)) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


class FakeService:
    """Worker, store and health in one, in memory."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pool = ThreadPoolExecutor(1)
        self.metrics = Metrics(self)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.results: list[StoredResult] = []
        self.work: Callable[[], object] = lambda: None
        """Called before each classification."""
        self.predict: Callable[[str, bytes], dict[str, Any]] = document
        self.paused, self.problems, self.waiting = "", (), 0
        self.most_waiting = 10**6
        self.picture = png(700, 460)

    # Worker

    def submit(self, name: str, data: bytes) -> Future[Delivered]:
        if self.paused:
            raise Paused(self.paused)
        with self.lock:
            if self.waiting >= self.most_waiting:
                raise QueueFull
            self.waiting += 1
        return self.pool.submit(self._deliver, name, data)

    def _deliver(self, name: str, data: bytes) -> Delivered:
        self.work()
        content = hashlib.sha256(data).hexdigest()
        with self.lock:
            self.waiting -= 1
            for result in self.results:
                if (result.path, result.content) == (name, content):
                    return Delivered(result, False)
            return Delivered(self._store(name, data, content), True)

    def _store(self, name: str, data: bytes, content: str) -> StoredResult:
        moment = time.time() + len(self.results) / 1000
        now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{moment % 1:.3f}Z"[2:]
        number = len(self.results) + 1
        result = StoredResult(
            id=number,
            source="http",
            path=name,
            content=content,
            received=now,
            finished=now,
            bundle=BUNDLE,
            artifact="onnx-int8",
            engine="onnxruntime",
            latency_ms=7.25,
            kept=None,
            document=self.predict(name, data),
            hash=hashlib.sha256(str(number).encode()).hexdigest(),
        )
        self.results.append(result)
        self.metrics.observe(result)
        return result

    def heatmap(self, result: StoredResult) -> Future[bytes]:
        if not result.document["ok"]:
            raise NoHeatmap("nothing was predicted")
        if result.path.startswith("gone"):
            future: Future[bytes] = Future()
            future.set_exception(NoHeatmap("the image is no longer kept"))
            return future
        return self.pool.submit(lambda: self.picture)

    # Store

    def newest(self, limit: int, *, before: int | None = None) -> list[StoredResult]:
        with self.lock:
            older = [r for r in reversed(self.results) if before is None or r.id < before]
        return older[:limit]

    def find(self, id: int) -> StoredResult | None:
        with self.lock:
            return next((result for result in self.results if result.id == id), None)

    # Health

    def report(self) -> HealthReport:
        return HealthReport(
            ok=not self.problems,
            problems=tuple(self.problems),
            paused=self.paused,
            bundle=BUNDLE,
            artifact="tflite-int8-dynamic",
            engine="litert",
            threads=2,
            labels=LABELS,
            positive_label=LABELS[0],
            last_check="2026-11-26T06:10:24.123Z",
            waiting=self.waiting,
            free_disk_mb=21_480,
            temperature_c=51.6,
            throttled=False,
            started="2026-11-26T05:00:00.000Z",
            version="0.1.0",
        )


def document(name: str, data: bytes) -> dict[str, Any]:
    """What the classifier would say."""
    if data.startswith(b"bad"):
        message = f"{name}: this is no image; expected JPEG, PNG, BMP, TIFF, WebP or DICOM"
        return {"ok": False, "source": name, "error": "ImageError", "message": message}
    score = data[0] / 255
    return {
        "ok": True,
        "source": name,
        "label": LABELS[0] if score >= THRESHOLD else LABELS[1],
        "score": score,
        "scores": {LABELS[0]: score, LABELS[1]: 1 - score},
        "threshold": THRESHOLD,
        "uncertain": abs(score - THRESHOLD) < 0.1,
        "out_of_domain": len(data) > 1 and data[1] == 1,
        "engine": "litert",
        "artifact": "tflite-int8-dynamic",
        "heatmap": None,
    }


def serve(service: FakeService, **settings: Any) -> HttpServer:
    """A running server on a free port."""
    chosen = ServerSettings(**{"port": 0, **settings})
    app = build_app(service, service, service, service.metrics, chosen)
    server = HttpServer(app, chosen)
    server.start()
    return server


class Answer:
    """What a request was answered with."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.body = response.status, response.read()
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json", self.body
        return json.loads(self.body)

    def refusal(self) -> tuple[int, str]:
        """Status and type of a refusal, which has these and one line of text."""
        assert set(self.json) == {"error", "message"}
        message = self.json["message"]
        assert message.isprintable() and len(message) <= 300 and "Traceback" not in message
        return self.status, self.json["error"]


class Client:
    """Asks a server, each time on a new connection."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=_dashed(headers))

    def post(self, name: str | None, body: Any, **headers: str) -> Answer:
        query = "" if name is None else f"?name={urllib.parse.quote(name, safe='')}"
        return self.ask("POST", f"/v1/predictions{query}", body, _dashed(headers))

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=20)

    def raw(self, data: bytes) -> bytes:
        """What bytes are answered with until the server closes the connection."""
        with self.connect() as connection:
            connection.sendall(data)
            return received(connection)


def received(connection: socket.socket) -> bytes:
    """All that a connection brings until it is closed."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            data += chunk
    return data


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
