"""What a request costs above ``Classifier.predict``: the same image both ways, in turn.

``python benchmarks/http_overhead.py [PORT]``: of the service on a port of this computer; without
one, of a server that has a classifier behind it and no store.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import runpy
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from cxr_edge import Classifier
from cxr_edge.data.phantom import draw_phantom

ROUNDS = 300
FAKE = runpy.run_path(str(Path(__file__).parent.parent / "tests/service/http/fake.py"))


def draw_image(seed: int) -> bytes:
    """A JPEG of a phantom; another seed gives other bytes."""
    image = draw_phantom(np.random.default_rng(seed), height=720, width=900)
    return cv2.imencode(".jpg", image)[1].tobytes()


@contextlib.contextmanager
def own_server(classifier: Classifier) -> Iterator[int]:
    """A server whose worker classifies and stores in memory."""
    service = FAKE["FakeService"]()
    service.predict = lambda name, data: {
        "ok": True,
        **dataclasses.asdict(classifier.predict(data)),
    }
    server = FAKE["serve"](service)
    yield server.port
    server.stop()
    service.pool.shutdown()


def milliseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e3


def measure(port: int, classifier: Classifier) -> dict[str, list[float]]:
    """Times of each way."""
    kept = http.client.HTTPConnection("127.0.0.1", port)

    def post(connection: http.client.HTTPConnection, data: bytes) -> None:
        connection.request("POST", "/v1/predictions?name=phantom.jpeg", data)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 201, answer.status

    def post_anew(data: bytes) -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            post(connection, data)

    times: dict[str, list[float]] = {"predict": [], "kept connection": [], "new connection": []}
    image = draw_image(1)
    for number in range(-20, ROUNDS):
        # Bytes behind a JPEG's end are ignored, so that each is a new delivery of one picture.
        tail = f"{time.time_ns()}-{number}".encode()
        each = {
            "predict": milliseconds(lambda: classifier.predict(image)),
            "kept connection": milliseconds(lambda: post(kept, image + tail)),  # noqa: B023
            "new connection": milliseconds(lambda: post_anew(image + tail + b"!")),  # noqa: B023
        }
        if number >= 0:  # warm
            for way, taken in each.items():
                times[way].append(taken)
    kept.close()
    print(f"{len(image):,} bytes, {ROUNDS} rounds; ms, and how much above predict")
    return times


def main() -> None:
    classifier = Classifier.load()
    with contextlib.ExitStack() as stack:
        port = int(sys.argv[1]) if sys.argv[1:] else stack.enter_context(own_server(classifier))
        times = measure(port, classifier)
    for name, figure in (("min", min), ("p50", statistics.median)):
        base = figure(times["predict"])
        figures = (f"{way} {figure(t):.2f} ({figure(t) - base:+.2f})" for way, t in times.items())
        print(f"{name}: {', '.join(figures)}")


if __name__ == "__main__":
    main()
